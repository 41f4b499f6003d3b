// From tokens to the characters of an answer: its edges stand where a reader would put them
// (bskim_export/runtime/characters.py).
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/window.hpp"
#include "text.hpp"

namespace bskim {

using Place = std::pair<std::size_t, std::size_t>;

// The characters of one context, which must outlive this.
class Characters {
public:
  explicit Characters(std::u32string_view context);

  // Of each passage token of a window, whether it can be seen, and so may begin or end an answer.
  std::vector<bool> edges(const Window& window) const;

  // The characters [start, end) of the span between two tokens, both included, as numbers among the passage tokens.
  // `align_to_words` widens it to the whole words of its first and its last token.
  Place span(const Window& window, std::size_t first, std::size_t last, bool align_to_words) const;

  // A range without white space and invisible marks at its edges, and with the marks of its last letter. One that
  // begins with a combining mark gets the letter that the mark belongs to.
  Place trim(std::size_t start, std::size_t end) const;

private:
  std::size_t take_in_before(const Window& window, std::size_t start) const;
  std::size_t take_in_behind(const Window& window, std::size_t end) const;

  std::u32string_view context_;
  std::vector<std::uint32_t> visible_;  // how many visible characters there are before each
};

}  // namespace bskim
