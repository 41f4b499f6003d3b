#include "tokenizer/normalized.hpp"

#include <algorithm>

namespace bskim::tokenizing {

Normalized Normalized::part(std::u32string_view whole, std::size_t begin, std::size_t end) {
  Normalized made;
  made.text.assign(whole.substr(begin, end - begin));
  made.spans.resize(end - begin);
  for (std::size_t i = 0; i < made.spans.size(); ++i) {
    const auto place = static_cast<std::int32_t>(begin + i);
    made.spans[i] = {place, place + 1};
  }
  return made;
}

void Normalized::transform(const std::vector<Changed>& changed) {
  Normalized made;
  made.text.reserve(changed.size());
  made.spans.reserve(changed.size());
  std::size_t next = 0;
  for (const Changed& c : changed) {
    Span span;
    if (c.change > 0) {
      if (next > 0 && !spans.empty()) span = spans[std::min(next, spans.size()) - 1];
    } else {
      if (!spans.empty()) span = spans[std::min(next, spans.size() - 1)];
      next += 1 + static_cast<std::size_t>(-static_cast<std::int64_t>(c.change));
    }
    made.push(c.character, span);
  }
  *this = std::move(made);
}

void Normalized::prepend(std::u32string_view prefix) {
  if (text.empty()) return;
  text.insert(0, prefix);
  spans.insert(spans.begin(), prefix.size(), Span(spans.front()));
}

bool Normalized::reaches(char32_t limit) const {
  return std::any_of(text.begin(), text.end(), [limit](char32_t c) { return c >= limit; });
}

}  // namespace bskim::tokenizing
