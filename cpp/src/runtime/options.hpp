// How questions are run: the one place where windows, strides and answer lengths are chosen
// (bskim_export/runtime/options.py).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "bskim/bskim.hpp"
#include "bundle/manifest.hpp"

namespace bskim {

constexpr int BATCH_SIZE = 8;

// The settings of a run; see AskOptions.
struct RunOptions {
  std::int64_t max_seq_len = 0, doc_stride = 0, max_answer_len = 0, top_k = 1;
  bool handle_impossible_answer = false;
  bool align_to_words = true;
  std::int64_t batch_size = BATCH_SIZE, max_windows = 0;
  std::optional<std::int64_t> max_blocks;
  std::string window_scale;

  // None stands for the default: the bundle's, or the pipeline's batch size. Windows that are shorter than the default
  // share no more than half of their positions. `limit`: positions that the model takes at most. Throws InputError.
  static RunOptions resolve(const RunDefaults& defaults, std::int64_t limit, int batch_size, const AskOptions& given);
};

// Throw InputError if a number is too small.
std::int64_t check_count(std::int64_t least, const char* name, std::int64_t value);

// Throw InputError if it is no number from 0 to 1.
double check_threshold(double value);

}  // namespace bskim
