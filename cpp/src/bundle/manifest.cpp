#include "bundle/manifest.hpp"

#include <algorithm>

namespace bskim {
namespace {

std::vector<std::string> names(const std::vector<TensorSpec>& specs) {
  std::vector<std::string> found;
  for (const TensorSpec& spec : specs) found.push_back(spec.name);
  return found;
}

}  // namespace

bool Graph::takes(const std::string& name) const {
  return std::any_of(inputs.begin(), inputs.end(), [&](const TensorSpec& spec) { return spec.name == name; });
}

std::vector<std::string> Graph::input_names() const {
  return names(inputs);
}

std::vector<std::string> Graph::output_names() const {
  return names(outputs);
}

std::vector<int> Manifest::skim_layers() const {
  std::vector<int> layers;
  for (const Stage& stage : stages) {
    if (stage.skim_layer) layers.push_back(*stage.skim_layer);
  }
  return layers;
}

std::vector<const Graph*> Manifest::graphs() const {
  std::vector<const Graph*> found;
  for (const Stage& stage : stages) {
    found.push_back(&stage.graph);
    if (stage.skim) found.push_back(&*stage.skim);
  }
  found.push_back(&dense);
  return found;
}

std::vector<const Graph*> Manifest::graphs_alone() const {
  std::vector<const Graph*> found;
  if (single) found.push_back(&*single);
  if (dense_alone) found.push_back(&*dense_alone);
  return found;
}

}  // namespace bskim
