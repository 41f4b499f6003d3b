#include "runtime/visible.hpp"

#include <array>

#include "unicode.hpp"

namespace bskim {
namespace {

struct Span32 {
  char32_t first, last;
};

// Joiners, direction marks, soft hyphens, byte order marks, fillers, variation selectors, tags.
constexpr std::array<Span32, 17> IGNORABLE = {{{0xAD, 0xAD},
                                               {0x34F, 0x34F},
                                               {0x61C, 0x61C},
                                               {0x115F, 0x1160},
                                               {0x17B4, 0x17B5},
                                               {0x180B, 0x180F},
                                               {0x200B, 0x200F},
                                               {0x202A, 0x202E},
                                               {0x2060, 0x206F},
                                               {0x3164, 0x3164},
                                               {0xFE00, 0xFE0F},
                                               {0xFEFF, 0xFEFF},
                                               {0xFFA0, 0xFFA0},
                                               {0xFFF0, 0xFFF8},
                                               {0x1BCA0, 0x1BCA3},
                                               {0x1D173, 0x1D17A},
                                               {0xE0000, 0xE0FFF}}};

// Choose the form of the character before them, and belong to it: variation selectors, and the tags of flags.
constexpr std::array<Span32, 5> SELECTORS = {
    {{0x180B, 0x180D}, {0x180F, 0x180F}, {0xFE00, 0xFE0F}, {0xE0020, 0xE007F}, {0xE0100, 0xE01EF}}};

template <std::size_t N>
bool is_among(const std::array<Span32, N>& spans, char32_t character) {
  for (const Span32& span : spans) {
    if (character >= span.first && character <= span.last) return true;
  }
  return false;
}

}  // namespace

bool is_hidden(char32_t character) {
  if (character > 0x20 && character < 0x7F) return false;
  if (character <= 0x9F) return true;
  return is_among(IGNORABLE, character) || is_space(character);
}

std::pair<std::size_t, std::size_t> visible_range(std::u32string_view text) {
  std::size_t start = 0;
  while (start < text.size() && is_hidden(text[start])) ++start;
  if (start == text.size()) return {0, 0};
  std::size_t end = text.size();
  while (is_hidden(text[end - 1])) --end;
  while (end < text.size() && is_among(SELECTORS, text[end])) ++end;
  return {start, end};
}

}  // namespace bskim
