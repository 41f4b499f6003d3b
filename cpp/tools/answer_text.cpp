#include "answer_text.hpp"

#include <unicode/uchar.h>

#include <algorithm>
#include <cstdio>

namespace {

using Text = std::u32string;

// The texts are known to be UTF-8: they were answered.
Text decode(const std::string& bytes) {
  Text text;
  for (std::size_t i = 0; i < bytes.size();) {
    const auto first = static_cast<unsigned char>(bytes[i]);
    const std::size_t more = first < 0x80 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
    char32_t code = more == 0 ? first : first & (0x3Fu >> more);
    for (std::size_t j = 1; j <= more && i + j < bytes.size(); ++j) code = code << 6 | (bytes[i + j] & 0x3F);
    text += code;
    i += more + 1;
  }
  return text;
}

// What a terminal might obey is shown as an escape.
void append(std::string& out, char32_t c) {
  if ((c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7F && c < 0xA0)) {
    char escape[8];
    std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned>(c));
    out += escape;
  } else if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
  } else if (c < 0x10000) {
    out += {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3F)),
            static_cast<char>(0x80 | (c & 0x3F))};
  } else {
    out += {static_cast<char>(0xF0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 0x3F)),
            static_cast<char>(0x80 | (c >> 6 & 0x3F)), static_cast<char>(0x80 | (c & 0x3F))};
  }
}

bool is_blank(char32_t c) {
  return u_isUWhiteSpace(static_cast<UChar32>(c)) || (c >= 0x1C && c <= 0x1F);
}

std::size_t cells(char32_t c) {
  const auto code = static_cast<UChar32>(c);
  if (c < 0x20 || (U_GET_GC_MASK(code) & (U_GC_MN_MASK | U_GC_ME_MASK | U_GC_CF_MASK)) != 0) return 0;
  const int width = u_getIntPropertyValue(code, UCHAR_EAST_ASIAN_WIDTH);
  return width == U_EA_WIDE || width == U_EA_FULLWIDTH ? 2 : 1;
}

std::size_t cells(const Text& text) {
  std::size_t count = 0;
  for (const char32_t c : text) count += cells(c);
  return count;
}

// Cut a word that is too long for a line into pieces that are not.
std::vector<Text> fold(const Text& word, std::size_t width) {
  std::vector<Text> pieces(1);
  std::size_t used = 0;
  for (const char32_t c : word) {
    if (used + cells(c) > width) {
      pieces.emplace_back();
      used = 0;
    }
    pieces.back() += c;
    used += cells(c);
  }
  return pieces;
}

// Break one line before words that do not fit. Blanks stay where they are, unless they are beyond the width.
std::string wrap_line(const Text& line, std::size_t width) {
  std::vector<Text> lines(1);
  std::size_t used = 0;
  for (std::size_t place = 0; place < line.size();) {
    std::size_t end = place;
    while (end < line.size() && is_blank(line[end])) ++end;
    if (end == line.size()) {  // no word is behind the last blanks
      lines.back() += line.substr(place);
      break;
    }
    while (end < line.size() && !is_blank(line[end])) ++end;
    const std::size_t word = cells(line.substr(place, end - place));
    while (end < line.size() && is_blank(line[end])) ++end;
    const Text whole = line.substr(place, end - place);
    if (used + word > width && word > width) {
      for (const Text& piece : fold(whole, width)) {
        if (!lines.back().empty()) lines.emplace_back();
        lines.back() = piece;
        used = cells(piece);
      }
    } else {
      if (used + word > width && used > 0) {
        lines.emplace_back();
        used = 0;
      }
      lines.back() += whole;
      used += cells(whole);
    }
    place = end;
  }
  std::string out;
  for (Text& one : lines) {
    while (one.size() > width && is_blank(one.back())) one.pop_back();
    for (const char32_t c : one) append(out, c);
    out += '\n';
  }
  return out;
}

std::string wrap(const Text& text, std::size_t width) {
  std::string out;
  for (std::size_t place = 0; place <= text.size();) {
    const std::size_t end = std::min(text.find(U'\n', place), text.size());
    out += wrap_line(text.substr(place, end - place), width);
    place = end + 1;
  }
  return out;
}

Text mark_skipped(const Text& context, const std::vector<bskim::Skipped>& skipped) {
  Text shown;
  std::size_t done = 0;
  for (const bskim::Skipped& one : skipped) {
    shown += context.substr(done, one.start - done) + U'⟨' + context.substr(one.start, one.end - one.start) + U'⟩';
    for (const char digit : std::to_string(one.layer)) shown += U'₀' + static_cast<char32_t>(digit - '0');
    done = one.end;
  }
  return shown + context.substr(done);
}

}  // namespace

std::string show(const std::string& question, const std::string& context, const bskim::Answers& found,
                 std::size_t width) {
  const Text characters = decode(context);
  std::string out = wrap(U"Question  " + decode(question), width);
  out += wrap(mark_skipped(characters, found.skipped), width);
  bool first = true;
  for (const bskim::Answer& one : found.answers) {
    char score[32];
    std::snprintf(score, sizeof score, "  (score %.3f)", one.score);
    const std::string text = one.text.empty() ? "none" : one.text;
    out += wrap(decode((first ? "Answer    " : "or        ") + text + score), width);
    first = false;
  }
  std::size_t skimmed = 0;
  for (const bskim::Skipped& one : found.skipped) skimmed += one.end - one.start;
  return out + "Skimmed   " + std::to_string(skimmed) + " of " + std::to_string(characters.size()) + " characters\n";
}
