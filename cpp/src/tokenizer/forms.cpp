// Unicode's normal forms, and lower case.
#include <algorithm>

#include "tokenizer/characters.hpp"
#include "tokenizer/normalizer.hpp"

namespace bskim::tokenizing {
namespace {

struct Decomposed {
  char32_t character;
  std::int32_t change;
  std::uint8_t combining;
};

std::vector<Decomposed> decomposition(const Normalized& text, bool compatible) {
  std::vector<Decomposed> all;
  all.reserve(text.text.size());
  std::u32string parts;
  for (char32_t c : text.text) {
    parts.clear();
    decompose(c, compatible ? Form::kCompatible : Form::kCanonical, parts);
    for (std::size_t i = 0; i < parts.size(); ++i) all.push_back({parts[i], i > 0, combining_class(parts[i])});
  }
  // Marks in their order, between characters that combine with nothing.
  const auto before = [](const Decomposed& a, const Decomposed& b) { return a.combining < b.combining; };
  for (auto begin = all.begin(); begin != all.end();) {
    if (begin->combining == 0) {
      ++begin;
      continue;
    }
    const auto end = std::find_if(begin, all.end(), [](const Decomposed& d) { return d.combining == 0; });
    std::stable_sort(begin, end, before);
    begin = end;
  }
  return all;
}

}  // namespace

void to_decomposed(Normalized& text, bool compatible) {
  if (!text.reaches(compatible ? 0xA0 : 0xC0)) return;
  std::vector<Changed> changed;
  for (const Decomposed& d : decomposition(text, compatible)) changed.push_back({d.character, d.change});
  text.transform(changed);
}

void to_composed(Normalized& text, bool compatible) {
  if (!text.reaches(compatible ? 0xA0 : 0x300)) return;
  std::vector<Changed> changed;
  std::ptrdiff_t starter = -1;  // what marks compose with
  int last = -1;                // the combining class of the last mark that did not; -1: none
  for (const Decomposed& d : decomposition(text, compatible)) {
    if (starter >= 0 && last < static_cast<int>(d.combining)) {
      Changed& base = changed[static_cast<std::size_t>(starter)];
      const char32_t both = compose(base.character, d.character);
      if (both != 0) {
        base.character = both;
        base.change += d.change - 1;
        continue;
      }
    }
    if (d.combining == 0) {
      starter = static_cast<std::ptrdiff_t>(changed.size());
      last = -1;
    } else if (starter >= 0) {
      last = d.combining;
    }
    changed.push_back({d.character, d.change});
  }
  text.transform(changed);
}

void to_lowercase(Normalized& text) {
  std::array<char32_t, 2> lower;
  bool longer = false;
  for (std::size_t i = 0; i < text.text.size(); ++i) longer = longer || lowercase(text.text[i], lower) > 1;
  if (!longer) {
    for (char32_t& c : text.text) {
      lowercase(c, lower);
      c = lower[0];
    }
    return;
  }
  Normalized made;
  for (std::size_t i = 0; i < text.text.size(); ++i) {
    const std::size_t count = lowercase(text.text[i], lower);
    for (std::size_t k = 0; k < count; ++k) made.push(lower[k], text.spans[i]);
  }
  text = std::move(made);
}

}  // namespace bskim::tokenizing
