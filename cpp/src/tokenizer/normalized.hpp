// A text on its way through a tokenizer, and where each of its characters came from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bskim::tokenizing {

// Characters [begin, end) of the text that was passed to the tokenizer.
struct Span {
  std::int32_t begin = 0, end = 0;
};

// A character that takes the place of others. change 0: of the next one. -n: of the next one, and n more behind it are
// dropped. 1: of none; it is said to come from where the one before it does.
struct Changed {
  char32_t character;
  std::int32_t change;
};

struct Normalized {
  std::u32string text;
  std::vector<Span> spans;  // of each character

  // Characters [begin, end) of `whole`, unchanged.
  static Normalized part(std::u32string_view whole, std::size_t begin, std::size_t end);

  void push(char32_t c, Span span) {
    text.push_back(c);
    spans.push_back(span);
  }

  // Put `changed` in the place of all characters.
  void transform(const std::vector<Changed>& changed);

  // Put a text before a text that is not empty. It is said to come from where the first character does.
  void prepend(std::u32string_view prefix);

  // Drop the characters for which `drop` holds.
  template <typename Drop>
  void remove_if(Drop drop) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (drop(text[i])) continue;
      text[kept] = text[i];
      spans[kept++] = spans[i];
    }
    text.resize(kept);
    spans.resize(kept);
  }

  // Whether there is a character that is not below `limit`: most rules have nothing to do in ASCII.
  bool reaches(char32_t limit) const;
};

}  // namespace bskim::tokenizing
