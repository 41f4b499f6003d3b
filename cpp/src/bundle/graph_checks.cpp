// Whether stages cover the model, and every graph has the tensors of the table (bskim_export/bundle/checks.py).
#include <algorithm>
#include <cstdio>

#include "bundle/faults.hpp"
#include "bundle/single_graph.hpp"
#include "bundle/tensors.hpp"
#include "joined.hpp"

namespace bskim {
namespace {

std::string numbered(const char* kind, std::size_t number) {
  char text[64];
  std::snprintf(text, sizeof text, "onnx/%s_%02zu.onnx", kind, number);
  return text;
}

std::string symmetric_file(const std::string& file) {
  return file.substr(0, file.size() - std::string(".onnx").size()) + ".symmetric.onnx";
}

bool contains(const Names& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Axes as Python shows them: numbers bare, names in quotes.
std::string shown_axes(const std::vector<std::string>& axes) {
  std::string out = "[";
  for (const std::string& axis : axes) {
    const bool digits = axis.find_first_not_of("-0123456789'") == std::string::npos;
    out += (out.size() > 1 ? ", " : "") + (digits ? axis : python_repr(axis));
  }
  return shorten(out + "]", 120);
}

void check_specs(const Manifest& manifest, const std::vector<TensorSpec>& specs, const std::string& place) {
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const TensorSpec& found = specs[i];
    const TensorSpec expected = specify(found.name, manifest.model, manifest.precision);
    if (found == expected) continue;
    throw Fault{place + "[" + std::to_string(i) + "]",
                "'" + found.name + "' should be " + expected.dtype + " " + shown_axes(expected.axes) + ", found " +
                    first_characters(found.dtype, 20) + " " + shown_axes(found.axes)};
  }
}

// `file` is what the graph must be called, `inputs` are those that it may have, in their order; its outputs must be one
// of `outputs`.
void check_graph(const Manifest& manifest, const Graph& graph, const std::string& place, const std::string& file,
                 const Names& inputs, const std::vector<Names>& outputs) {
  require(graph.file == file, place + ": file",
          "expected '" + file + "', found '" + first_characters(graph.file, 80) + "'");
  require(!graph.symmetric || (manifest.precision == "int8" && *graph.symmetric == symmetric_file(file)),
          place + ": symmetric", "expected null, or '" + symmetric_file(file) + "' in an INT8 bundle");
  const Names names = graph.input_names();
  Names ordered;
  for (const std::string& name : inputs) {
    if (contains(names, name)) ordered.push_back(name);
  }
  require(!names.empty() && names == ordered, place + ": inputs",
          "expected some of " + joined(inputs) + ", in this order, found " + shorten(python_repr(names), 120));
  const Names given = graph.output_names();
  require(std::find(outputs.begin(), outputs.end(), given) != outputs.end(), place + ": outputs",
          "expected " + joined(outputs.back()) + ", found " + shorten(python_repr(given), 120));
  check_specs(manifest, graph.inputs, place + ": inputs");
  check_specs(manifest, graph.outputs, place + ": outputs");
}

// Layers: all of the model's, once each, a predictor behind every stage but the last.
void check_layers(const Manifest& manifest) {
  const auto& stages = manifest.stages;
  const auto num_layers = static_cast<std::size_t>(manifest.model.num_layers);
  require(!stages.empty(), "stages", "there is none");
  std::vector<int> covered;
  for (std::size_t i = 0; i < stages.size() && covered.size() <= num_layers; ++i) {
    const Stage& stage = stages[i];
    const std::string place = "stages[" + std::to_string(i) + "]";
    covered.insert(covered.end(), stage.layers.begin(), stage.layers.end());
    if (i + 1 == stages.size()) {
      require(!stage.skim_layer && !stage.skim, place,
              "no predictor follows the last stage, but this one names skim or skim_layer");
    } else {
      require(stage.skim_layer && stage.skim, place,
              "skim and skim_layer are both needed, of every stage but the last");
      require(!stage.layers.empty() && stage.layers.back() == *stage.skim_layer, place + ": skim_layer",
              "expected the last of layers " + shorten(python_repr(stage.layers), 120));
    }
  }
  bool all = covered.size() == num_layers;
  for (std::size_t i = 0; all && i < covered.size(); ++i) all = covered[i] == static_cast<int>(i);
  require(all, "stages",
          "their layers are not 0 to " + std::to_string(num_layers - 1) +
              ", once each and in order: " + shorten(python_repr(covered), 120));
}

void check_predictor(const Manifest& manifest, const Stage& stage, const std::string& place) {
  const std::string file = numbered("skim", static_cast<std::size_t>(*stage.skim_layer));
  check_graph(manifest, *stage.skim, place, file, PREDICTOR_INPUTS, {PREDICTOR_OUTPUTS});
  const Names given = stage.graph.output_names();
  Names missing;
  for (const std::string& name : stage.skim->input_names()) {
    if (contains(STAGE_OUTPUTS, name) && !contains(given, name)) missing.push_back(name);
  }
  require(missing.empty(), place + ": inputs", "the stage before it gives no " + joined(missing));
}

}  // namespace

void check_stages(const Manifest& manifest) {
  check_layers(manifest);
  const auto& stages = manifest.stages;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const Stage& stage = stages[i];
    const std::string place = "stages[" + std::to_string(i) + "]";
    std::vector<Names> outputs = {{STAGE_OUTPUTS[0], STAGE_OUTPUTS[1]}, STAGE_OUTPUTS};
    if (i + 1 == stages.size()) outputs = {LOGITS};
    check_graph(manifest, stage.graph, place + ": graph", numbered("stage", i),
                i > 0 ? LATER_STAGE_INPUTS : FIRST_STAGE_INPUTS, outputs);
    if (stage.skim && stage.skim_layer) check_predictor(manifest, stage, place + ": skim");
  }
  // Without predictors, the one stage is the whole model.
  const std::string file = stages.size() > 1 ? "onnx/dense.onnx" : numbered("stage", 0);
  check_graph(manifest, manifest.dense, "dense", file, FIRST_STAGE_INPUTS, {LOGITS});
}

// They come together, but for a model without predictors.
void check_graphs_alone(const Manifest& manifest) {
  const std::size_t layers = manifest.skim_layers().size();
  const auto check = [&](const char* place, const std::optional<Graph>& graph, const char* file,
                         const std::vector<TensorSpec>& inputs, const std::vector<TensorSpec>& outputs) {
    if (!graph) return;
    const std::string name = place;
    require(single_graph::runs_on_cpu(manifest.precision), name,
            "a bundle in " + manifest.precision + " has no graph of one window");
    require(graph->file == file && !graph->symmetric, name + ": file",
            std::string("expected '") + file + "' in one form, found '" + first_characters(graph->file, 80) + "'");
    require(graph->inputs == inputs, name + ": inputs", "they are not those of the model's graph of one window");
    require(graph->outputs == outputs, name + ": outputs", "they are not those of the model's graph of one window");
  };
  check("single", manifest.single, single_graph::SKIM_FILE, single_graph::input_specs(layers),
        single_graph::output_specs(layers));
  check("dense_alone", manifest.dense_alone, single_graph::DENSE_FILE,
        single_graph::dense_input_specs(manifest.dense.inputs), manifest.dense.outputs);
  require(!manifest.single || layers > 0, "single", "a bundle without predictors has no such graph");
  require(manifest.single.has_value() == manifest.dense_alone.has_value() || layers == 0, "dense_alone",
          "the graphs of one window are there both, or none of them is");
}

}  // namespace bskim
