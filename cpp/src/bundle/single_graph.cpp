#include "bundle/single_graph.hpp"

#include <algorithm>

#include "bundle/tensors.hpp"

namespace bskim::single_graph {

std::vector<TensorSpec> input_specs(std::size_t layers) {
  const std::string count = std::to_string(layers);
  return {
      {"input_ids", "int64", {"batch", "sequence"}},  {"attention_mask", "int64", {"batch", "sequence"}},
      {"question_length", "int64", {"batch"}},        {"may_leave", "bool", {"batch"}},
      {"judged", "bool", {count, "batch", "blocks"}}, {"thresholds", "float32", {count, "batch", "blocks"}},
      {"droppable", "bool", {"batch", "blocks"}},
  };
}

std::vector<TensorSpec> output_specs(std::size_t layers) {
  return {
      {"start_logits", "float32", {"batch", "sequence"}},
      {"end_logits", "float32", {"batch", "sequence"}},
      {"dropped_after", "int64", {"batch", "blocks"}},
      {"keep_probability", "float32", {"batch", std::to_string(layers), "blocks"}},
  };
}

std::vector<TensorSpec> dense_input_specs(const std::vector<TensorSpec>& of_batches) {
  std::vector<TensorSpec> specs;
  for (const TensorSpec& spec : of_batches) {
    if (std::find(TOKEN_INPUTS.begin(), TOKEN_INPUTS.end(), spec.name) != TOKEN_INPUTS.end()) specs.push_back(spec);
  }
  specs.push_back({LENGTH, "int64", {"1"}});
  return specs;
}

}  // namespace bskim::single_graph
