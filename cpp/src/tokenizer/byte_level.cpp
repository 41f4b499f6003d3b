// GPT-2's words, whose bytes each become a visible character.
#include <array>

#include "tokenizer/characters.hpp"
#include "tokenizer/pre_tokenizer.hpp"

namespace bskim::tokenizing {
namespace {

enum class Kind { kSpace, kLetter, kNumber, kOther };

Kind kind(char32_t c) {
  if (is_space(c)) return Kind::kSpace;
  return is_letter(c) ? Kind::kLetter : is_number(c) ? Kind::kNumber : Kind::kOther;
}

// The length of 's, 't, 're, 've, 'm, 'll or 'd at the beginning of a text; 0: none is there.
std::size_t contraction(std::u32string_view text) {
  if (text.size() < 2 || text[0] != '\'') return 0;
  const std::u32string_view two = text.substr(1, 2);
  if (two[0] == 's' || two[0] == 't' || two[0] == 'm' || two[0] == 'd') return 2;
  return two == U"re" || two == U"ve" || two == U"ll" ? 3 : 0;
}

// Where the word at `begin` ends, as this regular expression finds it:
// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
std::size_t end_of_word(std::u32string_view text, std::size_t begin) {
  if (const std::size_t length = contraction(text.substr(begin))) return begin + length;
  std::size_t end = begin;
  if (text[end] == ' ' && end + 1 < text.size() && kind(text[end + 1]) != Kind::kSpace) ++end;
  const Kind first = kind(text[end++]);
  while (end < text.size() && kind(text[end]) == first) ++end;
  // The last of many spaces belongs to the word behind them.
  return first == Kind::kSpace && end < text.size() && end - begin > 1 ? end - 1 : end;
}

class ByteLevel : public PreTokenizer {
public:
  explicit ByteLevel(const Part& part) {
    part.only({"type", "add_prefix_space", "trim_offsets", "use_regex"});
    prefix_ = part.at("add_prefix_space").boolean();
    part.at("trim_offsets").boolean();
    split_ = part.boolean("use_regex", true);
    char32_t next = 0x100;
    for (std::size_t b = 0; b < 256; ++b) {
      const bool visible = (b > 0x20 && b < 0x7F) || (b > 0xA0 && b != 0xAD);
      visible_[b] = visible ? static_cast<char32_t>(b) : next++;
    }
  }

  void apply(Words& words) const override {
    if (prefix_) {
      rewrite_each(words, [](const Words& all, const Split& split, Normalized& made) {
        if (all.text.text[split.begin] != ' ') made.push(U' ', all.text.spans[split.begin]);
        for (std::size_t i = split.begin; i < split.end; ++i) made.push(all.text.text[i], all.text.spans[i]);
      });
    }
    if (split_) {
      split_each(words, [](std::u32string_view word, auto give) {
        for (std::size_t begin = 0, end = 0; begin < word.size(); begin = end) {
          end = end_of_word(word, begin);
          give(begin, end);
        }
      });
    }
    rewrite_each(words, [this](const Words& all, const Split& split, Normalized& made) {
      for (std::size_t i = split.begin; i < split.end; ++i) {
        const char32_t c = all.text.text[i];
        const Span span = all.text.spans[i];
        const auto push = [&](char32_t byte) { made.push(visible_[byte], span); };
        if (c < 0x80) {
          push(c);
          continue;
        }
        if (c < 0x800) {
          push(0xC0 | (c >> 6));
        } else {
          if (c < 0x10000) {
            push(0xE0 | (c >> 12));
          } else {
            push(0xF0 | (c >> 18));
            push(0x80 | ((c >> 12) & 0x3F));
          }
          push(0x80 | ((c >> 6) & 0x3F));
        }
        push(0x80 | (c & 0x3F));
      }
    });
  }

private:
  std::array<char32_t, 256> visible_;  // of each byte
  bool prefix_, split_;
};

}  // namespace

std::unique_ptr<PreTokenizer> read_byte_level(const Part& part) {
  return std::make_unique<ByteLevel>(part);
}

}  // namespace bskim::tokenizing
