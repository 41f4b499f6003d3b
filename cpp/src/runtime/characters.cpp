#include "runtime/characters.hpp"

#include <algorithm>

#include "runtime/visible.hpp"
#include "unicode.hpp"

namespace bskim {
namespace {

constexpr char32_t JOINER = 0x200D;

bool is_word(char32_t character) {
  return is_alnum(character) || is_mark(character);
}

bool is_skin_tone(char32_t character) {
  return character >= 0x1F3FB && character < 0x1F400;
}

// Whether a character and the one before it are one to a reader.
bool belongs_to_the_one_before(std::u32string_view text, std::size_t place) {
  const char32_t character = text[place];
  const bool joins = character == JOINER && !(place + 1 < text.size() && is_space(text[place + 1]));
  return is_mark(character) || joins || is_skin_tone(character) || (text[place - 1] == JOINER && !is_space(character));
}

Range token_range(const Window& window, std::size_t first, std::size_t last, bool align_to_words) {
  const auto& words = window.words;
  if (align_to_words && words[first] >= 0 && words[last] >= 0) {
    // A word's tokens stand together.
    while (first > 0 && words[first - 1] == words[first]) --first;
    while (last + 1 < words.size() && words[last + 1] == words[last]) ++last;
  }
  return {window.offsets[first].first, window.offsets[last].second};
}

// The end of the last token before a character, or that character if the window does not show it.
std::size_t covered_until(const Window& window, std::size_t start) {
  std::int64_t found = -1;
  for (const auto& [begin, end] : window.offsets) {
    if (begin < end && static_cast<std::size_t>(end) <= start) found = std::max<std::int64_t>(found, end);
  }
  if (found >= 0) return static_cast<std::size_t>(found);
  return window.is_first ? 0 : start;  // what is before the first token of a later window belongs to other windows
}

// The start of the first token from a character on, or that character if the window does not show it.
std::size_t covered_from(const Window& window, std::size_t end, std::size_t length) {
  std::int64_t found = -1;
  for (const auto& [begin, stop] : window.offsets) {
    if (begin < stop && static_cast<std::size_t>(begin) >= end && (found < 0 || begin < found)) found = begin;
  }
  if (found >= 0) return static_cast<std::size_t>(found);
  return window.is_last ? length : end;
}

}  // namespace

Characters::Characters(std::u32string_view context) : context_(context), visible_(context.size() + 1, 0) {
  for (std::size_t i = 0; i < context.size(); ++i) visible_[i + 1] = visible_[i] + (is_hidden(context[i]) ? 0 : 1);
}

std::vector<bool> Characters::edges(const Window& window) const {
  std::vector<bool> seen(window.offsets.size());
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const auto start = static_cast<std::size_t>(window.offsets[i].first);
    const auto end = static_cast<std::size_t>(window.offsets[i].second);
    // A token of no characters stands for the letter before it, if no other token has that.
    seen[i] = start == end ? take_in_before(window, start) < start : visible_[end] > visible_[start];
  }
  return seen;
}

Place Characters::span(const Window& window, std::size_t first, std::size_t last, bool align_to_words) const {
  const Range range = token_range(window, first, last, align_to_words);
  const std::size_t start = take_in_before(window, static_cast<std::size_t>(range.first));
  const std::size_t end = take_in_behind(window, static_cast<std::size_t>(range.second));
  return trim(start, end);
}

Place Characters::trim(std::size_t start, std::size_t end) const {
  const std::u32string_view text = context_;
  const auto [inner_start, inner_end] =
      start < end ? visible_range(text.substr(start, end - start)) : std::pair<std::size_t, std::size_t>(0, 0);
  end = start + inner_end;
  start += inner_start;
  while (0 < start && start < end && belongs_to_the_one_before(text, start) && !is_space(text[start - 1])) --start;
  while (start < end && end < text.size() && belongs_to_the_one_before(text, end)) ++end;
  return {start, end};
}

// Move a start outwards over letters and digits that no token has.
std::size_t Characters::take_in_before(const Window& window, std::size_t start) const {
  if (start == 0 || !is_word(context_[start - 1])) return start;
  const std::size_t covered = covered_until(window, start);
  while (start > covered && is_word(context_[start - 1])) --start;
  return start;
}

// Move an end outwards over letters and digits that no token has.
std::size_t Characters::take_in_behind(const Window& window, std::size_t end) const {
  if (end == context_.size() || !is_word(context_[end])) return end;
  const std::size_t covered = covered_from(window, end, context_.size());
  while (end < covered && is_word(context_[end])) ++end;
  return end;
}

}  // namespace bskim
