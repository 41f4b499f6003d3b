#include "runtime/options.hpp"

#include <algorithm>

#include "bundle/json.hpp"
#include "errors.hpp"
#include "runtime/windows.hpp"

namespace bskim {

RunOptions RunOptions::resolve(const RunDefaults& defaults, std::int64_t limit, int batch_size,
                               const AskOptions& given) {
  RunOptions options;
  options.max_seq_len = given.max_seq_len ? check_count(1, "max_seq_len", *given.max_seq_len) : defaults.max_seq_len;
  const std::int64_t length = options.max_seq_len;
  if (length > limit) {
    throw InputError("max_seq_len is " + std::to_string(length) + "; the bundle was exported for at most " +
                     std::to_string(limit) + ".");
  }
  options.window_scale = given.window_scale.value_or(defaults.window_scale);
  const std::string& scale = options.window_scale;
  if (scale != "null" && scale != "logits" && scale != "window") {
    throw InputError("window_scale must be one of null, logits, window, got " +
                     first_characters(python_repr(scale), 60) + ".");
  }
  const bool shorter = length < defaults.max_seq_len;
  options.doc_stride = given.doc_stride.value_or(
      static_cast<int>(shorter ? std::min(defaults.doc_stride, length / 2) : defaults.doc_stride));
  check_count(0, "doc_stride", options.doc_stride);
  options.max_answer_len = given.max_answer_len ? *given.max_answer_len : defaults.max_answer_len;
  check_count(1, "max_answer_len", options.max_answer_len);
  options.top_k = check_count(1, "top_k", given.top_k);
  options.handle_impossible_answer = given.handle_impossible_answer;
  options.align_to_words = given.align_to_words;
  options.batch_size = check_count(1, "batch_size", given.batch_size.value_or(batch_size));
  options.max_windows = check_count(1, "max_windows", given.max_windows ? *given.max_windows : MAX_WINDOWS);
  if (given.max_blocks) options.max_blocks = check_count(1, "max_blocks", *given.max_blocks);
  return options;
}

std::int64_t check_count(std::int64_t least, const char* name, std::int64_t value) {
  if (value < least) {
    throw InputError(std::string(name) + " parameter should be >= " + std::to_string(least) + " (got " +
                     std::to_string(value) + ")");
  }
  return value;
}

double check_threshold(double value) {
  if (!(value >= 0 && value <= 1)) {
    throw InputError("threshold must be a number from 0 (keep every block) to 1, got " + python_repr(value) + ".");
  }
  return value;
}

}  // namespace bskim
