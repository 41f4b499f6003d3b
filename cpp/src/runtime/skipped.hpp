// Which characters of a context were skimmed, and when (bskim_export/runtime/skipped.py).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "bskim/bskim.hpp"
#include "runtime/runner.hpp"
#include "runtime/window.hpp"

namespace bskim {

// The dropped tokens of one context.
class SkippedTokens {
public:
  explicit SkippedTokens(std::size_t block_size) : size_(block_size) {}

  // Take in a window, by its number. A later result takes the place of an earlier one.
  void note(std::size_t number, const Window& window, const WindowResult& result);

  // The dropped character ranges, which do not overlap, in the order of the context. A token that several windows hold
  // counts as dropped when the last of them drops it. White space between two tokens dropped after the same layer
  // belongs to the range.
  std::vector<Skipped> ranges() const;

private:
  struct Tokens {
    std::vector<Range> offsets;
    std::vector<std::int16_t> layers;
  };
  std::size_t size_;
  std::map<std::size_t, Tokens> windows_;
};

}  // namespace bskim
