// The tensors of the graphs that take one window alone (bskim_export/bundle/single_graph.py).
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "bundle/manifest.hpp"

namespace bskim::single_graph {

inline constexpr const char* SKIM_FILE = "onnx/skim.onnx";
inline constexpr const char* DENSE_FILE = "onnx/dense_alone.onnx";
inline constexpr const char* LENGTH = "length";
inline constexpr float NEVER = 2.0f;  // a threshold that no keep probability reaches

// Bundles of this precision have both graphs: runtimes of the CPU compile shapes that depend on data.
inline bool runs_on_cpu(const std::string& precision) {
  return precision == "fp32" || precision == "int8";
}

std::vector<TensorSpec> input_specs(std::size_t layers);
std::vector<TensorSpec> output_specs(std::size_t layers);

// Of the dense graph of one window, from those of the dense graph of batches.
std::vector<TensorSpec> dense_input_specs(const std::vector<TensorSpec>& of_batches);

}  // namespace bskim::single_graph
