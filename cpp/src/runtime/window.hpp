// One window, padded to whole blocks (bskim_export/runtime/windows.py: Window).
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace bskim {

using Range = std::pair<std::int32_t, std::int32_t>;

struct Window {
  std::vector<std::int64_t> input_ids, token_type_ids, position_ids;  // [K * block_size]
  std::size_t length = 0;                                             // real tokens
  std::size_t question_length = 0;                                    // tokens before the first passage token
  std::size_t question_blocks = 0;  // leading blocks that hold any of those; they always stay
  bool may_leave = false;
  std::vector<Range> offsets;       // of each passage token
  std::vector<std::int32_t> words;  // of each passage token
  bool is_first = true, is_last = true;
  bool judge_shared = false;

  std::size_t unjudged_blocks() const { return question_blocks - (judge_shared ? 1 : 0); }
};

}  // namespace bskim
