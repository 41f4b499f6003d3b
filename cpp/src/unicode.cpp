#include "unicode.hpp"

#include <unicode/uchar.h>

namespace bskim {
namespace {

constexpr int UNICODE = 14;  // major version that Python 3.11 has
constexpr char32_t CAPITAL_SIGMA = 0x3A3, SIGMA = 0x3C3, FINAL_SIGMA = 0x3C2;
constexpr char32_t CAPITAL_I_WITH_DOT = 0x130;  // the one character that becomes two

bool is_known(char32_t character) {
  if (character < 0x300) return true;  // the most frequent ones, faster
  UVersionInfo age;
  u_charAge(static_cast<UChar32>(character), age);
  return age[0] <= UNICODE;
}

bool is_cased(char32_t c) {
  return is_known(c) && u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_CASED);
}

bool is_case_ignorable(char32_t c) {
  return is_known(c) && u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_CASE_IGNORABLE);
}

// Whether a capital sigma ends a word: a letter is before it, and none is behind it.
bool is_final(std::u32string_view text, std::size_t place) {
  std::size_t before = place;
  while (before > 0 && is_case_ignorable(text[before - 1])) --before;
  if (before == 0 || !is_cased(text[before - 1])) return false;
  std::size_t behind = place + 1;
  while (behind < text.size() && is_case_ignorable(text[behind])) ++behind;
  return behind == text.size() || !is_cased(text[behind]);
}

}  // namespace

bool is_space(char32_t character) {
  if (!is_known(character)) return false;
  const auto c = static_cast<UChar32>(character);
  const UCharDirection direction = u_charDirection(c);
  return direction == U_WHITE_SPACE_NEUTRAL || direction == U_BLOCK_SEPARATOR || direction == U_SEGMENT_SEPARATOR ||
         u_charType(c) == U_SPACE_SEPARATOR;
}

bool is_alnum(char32_t character) {
  if (!is_known(character)) return false;
  const auto c = static_cast<UChar32>(character);
  return (U_GET_GC_MASK(c) & U_GC_L_MASK) != 0 || u_getIntPropertyValue(c, UCHAR_NUMERIC_TYPE) != U_NT_NONE;
}

bool is_mark(char32_t character) {
  return is_known(character) && (U_GET_GC_MASK(static_cast<UChar32>(character)) & U_GC_M_MASK) != 0;
}

Text lower(std::u32string_view text) {
  Text out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i];
    if (c == CAPITAL_SIGMA) {
      out += is_final(text, i) ? FINAL_SIGMA : SIGMA;
    } else if (c == CAPITAL_I_WITH_DOT) {
      out += U"i\u0307";
    } else {
      out += is_known(c) ? static_cast<char32_t>(u_tolower(static_cast<UChar32>(c))) : c;
    }
  }
  return out;
}

}  // namespace bskim
