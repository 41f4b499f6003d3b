#include "bundle/tensors.hpp"

#include <map>

namespace bskim {
namespace {

const char* const HIDDEN = "hidden";  // the type of hidden states, which the precision of a bundle decides

struct Tensor {
  std::string dtype;
  Names axes;  // names of sizes; "a * b" is a product of two
};

const std::map<std::string, Tensor>& table() {
  static const std::map<std::string, Tensor> rows = {
      {"input_ids", {"int64", {"blocks", "block_size"}}},
      {"token_type_ids", {"int64", {"blocks", "block_size"}}},
      {"position_ids", {"int64", {"blocks", "block_size"}}},
      {"last_context", {HIDDEN, {"cells_before", "block_size", "context_size"}}},
      {"last_residual", {HIDDEN, {"blocks_before", "block_size", "hidden_size"}}},
      {"keep_cells", {"int64", {"blocks"}}},
      {"keep", {"int64", {"blocks"}}},
      {"table", {"int64", {"windows", "width"}}},
      {"back", {"int64", {"blocks"}}},
      {"mask", {"float32", {"windows", "width * block_size"}}},
      {"probe", {"int64", {"passage_blocks", "heads", "block_size"}}},
      {"context", {HIDDEN, {"cells", "block_size", "context_size"}}},
      {"residual", {HIDDEN, {"blocks", "block_size", "hidden_size"}}},
      {"diagonal", {"float32", {"passage_blocks", "heads", "block_size", "block_size"}}},
      {"passage", {"float32", {"windows", "width * block_size"}}},
      {"asked", {"int64", {"windows", "question_blocks"}}},
      {"question", {"float32", {"windows", "question_blocks * block_size"}}},
      {"scored", {"int64", {"passage_blocks"}}},
      {"keep_probability", {"float32", {"passage_blocks"}}},
      {"start_logits", {"float32", {"blocks", "block_size"}}},
      {"end_logits", {"float32", {"blocks", "block_size"}}},
  };
  return rows;
}

// An axis of a size that the model decides as its digits, any other as its name.
std::string size_of(const std::string& axis, const Model& model) {
  if (axis == "block_size") return std::to_string(model.block_size);
  if (axis == "heads") return std::to_string(model.num_heads);
  if (axis == "context_size") return std::to_string(model.num_heads * model.head_size);
  if (axis == "hidden_size") return std::to_string(model.hidden_size);
  return axis;
}

}  // namespace

const Names TOKEN_INPUTS = {"input_ids", "token_type_ids", "position_ids"};
const Names FIRST_STAGE_INPUTS = {"input_ids", "token_type_ids", "position_ids", "table", "back", "mask", "probe"};
const Names LATER_STAGE_INPUTS = {"last_context", "last_residual", "keep_cells", "keep",
                                  "table",        "back",          "mask",       "probe"};
const Names PREDICTOR_INPUTS = {"diagonal", "context", "residual", "table", "passage", "asked", "question", "scored"};
const Names STAGE_OUTPUTS = {"context", "residual", "diagonal"};
const Names PREDICTOR_OUTPUTS = {"keep_probability"};
const Names LOGITS = {"start_logits", "end_logits"};

std::string hidden_dtype(const std::string& precision) {
  if (precision == "fp32" || precision == "int8") return "float32";
  if (precision == "fp16") return "float16";
  if (precision == "bf16") return "bfloat16";
  return "";
}

TensorSpec specify(const std::string& name, const Model& model, const std::string& precision) {
  const Tensor& tensor = table().at(name);
  TensorSpec spec{name, tensor.dtype == HIDDEN ? hidden_dtype(precision) : tensor.dtype, {}};
  for (const std::string& axis : tensor.axes) {
    const auto product = axis.find(" * ");
    if (product == std::string::npos) {
      spec.axes.push_back(size_of(axis, model));
    } else {
      spec.axes.push_back(axis.substr(0, product + 3) + size_of(axis.substr(product + 3), model));
    }
  }
  return spec;
}

bool is_between_engines(const std::string& name) {
  return name == "last_context" || name == "last_residual" || name == "context" || name == "residual" ||
         name == "diagonal";
}

bool operator==(const TensorSpec& a, const TensorSpec& b) {
  return a.name == b.name && a.dtype == b.dtype && a.axes == b.axes;
}

}  // namespace bskim
