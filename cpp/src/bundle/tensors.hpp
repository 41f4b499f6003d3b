// Every tensor that crosses between graphs and host: names, types and axes (bskim_export/bundle/tensors.py).
#pragma once

#include <string>
#include <vector>

#include "bundle/manifest.hpp"

namespace bskim {

using Names = std::vector<std::string>;

extern const Names TOKEN_INPUTS, FIRST_STAGE_INPUTS, LATER_STAGE_INPUTS, PREDICTOR_INPUTS, STAGE_OUTPUTS,
    PREDICTOR_OUTPUTS, LOGITS;

// The type of hidden states, by the precision of a bundle; empty if there is no such precision.
std::string hidden_dtype(const std::string& precision);
inline constexpr const char* PRECISIONS = "fp32, int8, fp16, bf16";

// A tensor of the table as it is in a bundle of this model and precision. The name must be in the table.
TensorSpec specify(const std::string& name, const Model& model, const std::string& precision);

// Nothing but graphs reads it.
bool is_between_engines(const std::string& name);

bool operator==(const TensorSpec& a, const TensorSpec& b);
inline bool operator!=(const TensorSpec& a, const TensorSpec& b) {
  return !(a == b);
}

}  // namespace bskim
