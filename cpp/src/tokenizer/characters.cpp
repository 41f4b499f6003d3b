#include "tokenizer/characters.hpp"

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/utf16.h>

#include <algorithm>

namespace bskim::tokenizing {
namespace {

struct Range {
  char32_t first, last;
};

// Letters, numbers and other characters of words that Unicode 15.1 and 16 added, which an older ICU does not know.
constexpr Range kNewLetters[] = {{0x1C89, 0x1C8A},   {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},   {0x105C0, 0x105F3},
                                 {0x10D4A, 0x10D65}, {0x10D6F, 0x10D85}, {0x10EC2, 0x10EC4}, {0x11380, 0x11389},
                                 {0x1138B, 0x1138B}, {0x1138E, 0x1138E}, {0x11390, 0x113B5}, {0x113B7, 0x113B7},
                                 {0x113D1, 0x113D1}, {0x113D3, 0x113D3}, {0x11BC0, 0x11BE0}, {0x13460, 0x143FA},
                                 {0x16100, 0x1611D}, {0x16D40, 0x16D6C}, {0x18CFF, 0x18CFF}, {0x1E5D0, 0x1E5ED},
                                 {0x1E5F0, 0x1E5F0}, {0x2EBF0, 0x2EE5D}};
constexpr Range kNewNumbers[] = {{0x10D40, 0x10D49}, {0x116D0, 0x116E3}, {0x11BF0, 0x11BF9}, {0x16130, 0x16139},
                                 {0x16D70, 0x16D79}, {0x1CCF0, 0x1CCF9}, {0x1E5F1, 0x1E5FA}};
constexpr Range kNewMarks[] = {{0x897, 0x897},     {0x10D69, 0x10D6D}, {0x10EFC, 0x10EFC}, {0x113B8, 0x113C0},
                               {0x113C2, 0x113C2}, {0x113C5, 0x113C5}, {0x113C7, 0x113CA}, {0x113CC, 0x113D0},
                               {0x113D2, 0x113D2}, {0x113E1, 0x113E2}, {0x11F5A, 0x11F5A}, {0x1611E, 0x1612F},
                               {0x1E5EE, 0x1E5EF}};

// Capital letters of Unicode 16 and 17: from them, add `shift`.
struct Lowered {
  char32_t first, last;
  std::int32_t shift;
};
constexpr Lowered kNewCapitals[] = {{0x1C89, 0x1C89, 1},   {0xA7CB, 0xA7CB, -42343}, {0xA7CC, 0xA7CC, 1},
                                    {0xA7CE, 0xA7CE, 1},   {0xA7D2, 0xA7D2, 1},      {0xA7D4, 0xA7D4, 1},
                                    {0xA7DA, 0xA7DA, 1},   {0xA7DC, 0xA7DC, -42561}, {0x10D50, 0x10D65, 32},
                                    {0x16EA0, 0x16EB8, 27}};

template <std::size_t N>
bool in(const Range (&ranges)[N], char32_t c) {
  const auto* found = std::upper_bound(ranges, ranges + N, c, [](char32_t v, const Range& r) { return v < r.first; });
  return found != ranges && c <= (found - 1)->last;
}

int age(char32_t c) {
  UVersionInfo version;
  u_charAge(static_cast<UChar32>(c), version);
  return version[0];
}

// Whether the character was assigned by that version of Unicode.
bool assigned(char32_t c, int version) {
  const int since = age(c);
  return since > 0 && since <= version;
}

bool has(char32_t c, std::uint32_t mask) {
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & mask) != 0;
}

bool is_ascii_alphanumeric(char32_t c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

}  // namespace

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_bert_control(char32_t c) {
  if (c < 0x80) return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7F;
  return has(c, U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK) && assigned(c, 8);
}

bool is_bert_punctuation(char32_t c) {
  if (c < 0x80) return c > 0x20 && c < 0x7F && !is_ascii_alphanumeric(c);
  // These two are of other categories by now.
  return c == 0x166D || c == 0x111C9 || (has(c, U_GC_P_MASK) && assigned(c, 8));
}

bool is_chinese(char32_t c) {
  if (c < 0x3400) return false;
  return (c >= 0x4E00 && c <= 0x9FFF) || c <= 0x4DBF || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

bool is_nonspacing_mark(char32_t c) {
  if (c < 0x300) return false;
  if (c == 0x1734) return true;
  // These became such marks later.
  if (c == 0x1885 || c == 0x1886 || c == 0xA9BD || c == 0x111C9) return false;
  return has(c, U_GC_MN_MASK) && assigned(c, 8);
}

bool is_combining_mark(char32_t c) {
  if (c < 0x300) return false;
  // These are of other categories by now.
  if (c == 0x1CF2 || c == 0x1CF3) return true;
  if (c == 0x111C9) return false;
  return has(c, U_GC_M_MASK) && assigned(c, 9);
}

bool is_word(char32_t c) {
  if (c < 0x80) return is_ascii_alphanumeric(c) || c == '_';
  const bool known = u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_ALPHABETIC) ||
                     u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_JOIN_CONTROL) ||
                     has(c, U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK);
  return (known && age(c) <= 16) || in(kNewLetters, c) || in(kNewNumbers, c) || in(kNewMarks, c);
}

bool is_letter(char32_t c) {
  if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return (has(c, U_GC_L_MASK) && age(c) <= 16) || in(kNewLetters, c);
}

bool is_number(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  return (has(c, U_GC_N_MASK) && age(c) <= 16) || in(kNewNumbers, c);
}

std::size_t lowercase(char32_t c, std::array<char32_t, 2>& out) {
  out[0] = c;
  if (c < 0x80) {
    if (c >= 'A' && c <= 'Z') out[0] = c + 32;
    return 1;
  }
  // The only character whose lower case is two.
  if (c == 0x130) {
    out = {'i', 0x307};
    return 2;
  }
  for (const Lowered& r : kNewCapitals) {
    if (c >= r.first && c <= r.last) {
      out[0] = static_cast<char32_t>(static_cast<std::int32_t>(c) + r.shift);
      return 1;
    }
  }
  const auto lower = static_cast<char32_t>(u_tolower(static_cast<UChar32>(c)));
  if (lower != c && age(c) <= 17) out[0] = lower;
  return 1;
}

void decompose(char32_t c, Form form, std::u32string& out) {
  if (c < 0xA0 || !assigned(c, 9)) {
    out.push_back(c);
    return;
  }
  UErrorCode error = U_ZERO_ERROR;
  const UNormalizer2* normalizer =
      form == Form::kCanonical ? unorm2_getNFDInstance(&error) : unorm2_getNFKDInstance(&error);
  std::array<UChar, 64> units;  // the longest decomposition has 18 characters
  const std::int32_t length = U_FAILURE(error) ? -1
                                               : unorm2_getDecomposition(normalizer, static_cast<UChar32>(c),
                                                                         units.data(), units.size(), &error);
  if (length < 0 || U_FAILURE(error)) {
    out.push_back(c);
    return;
  }
  for (std::int32_t i = 0; i < length;) {
    UChar32 point;
    U16_NEXT(units.data(), i, length, point);
    out.push_back(static_cast<char32_t>(point));
  }
}

char32_t compose(char32_t a, char32_t b) {
  UErrorCode error = U_ZERO_ERROR;
  const UNormalizer2* normalizer = unorm2_getNFCInstance(&error);
  if (U_FAILURE(error)) return 0;
  const UChar32 both = unorm2_composePair(normalizer, static_cast<UChar32>(a), static_cast<UChar32>(b));
  return both > 0 && assigned(static_cast<char32_t>(both), 9) ? static_cast<char32_t>(both) : 0;
}

std::uint8_t combining_class(char32_t c) {
  if (c < 0x300) return 0;
  const std::uint8_t found = u_getCombiningClass(static_cast<UChar32>(c));
  return found != 0 && assigned(c, 9) ? found : 0;
}

bool Graphemes::begins(char32_t c) {
  const int now = c >= 0x20 && c < 0x7F ? U_GCB_OTHER
                                        : u_getIntPropertyValue(static_cast<UChar32>(c), UCHAR_GRAPHEME_CLUSTER_BREAK);
  const bool pictograph = c >= 0x80 && u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_EXTENDED_PICTOGRAPHIC);
  const int last = before_;
  const auto hard = [](int kind) { return kind == U_GCB_CR || kind == U_GCB_LF || kind == U_GCB_CONTROL; };
  bool cut = true;
  if (last == -1) {
    cut = true;
  } else if (last == U_GCB_CR && now == U_GCB_LF) {
    cut = false;
  } else if (hard(last) || hard(now)) {
    cut = true;
  } else if (last == U_GCB_L && (now == U_GCB_L || now == U_GCB_V || now == U_GCB_LV || now == U_GCB_LVT)) {
    cut = false;
  } else if ((last == U_GCB_LV || last == U_GCB_V) && (now == U_GCB_V || now == U_GCB_T)) {
    cut = false;
  } else if ((last == U_GCB_LVT || last == U_GCB_T) && now == U_GCB_T) {
    cut = false;
  } else if (now == U_GCB_EXTEND || now == U_GCB_ZWJ || now == U_GCB_SPACING_MARK || last == U_GCB_PREPEND) {
    cut = false;
  } else if (joined_ && pictograph) {
    cut = false;
  } else if (odd_flag_ && now == U_GCB_REGIONAL_INDICATOR) {
    cut = false;
  }
  odd_flag_ = now == U_GCB_REGIONAL_INDICATOR && !odd_flag_;
  joined_ = emoji_ && now == U_GCB_ZWJ;
  emoji_ = pictograph || (emoji_ && now == U_GCB_EXTEND);
  before_ = now;
  return cut;
}

}  // namespace bskim::tokenizing
