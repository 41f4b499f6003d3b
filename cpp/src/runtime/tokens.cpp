#include "runtime/tokens.hpp"

#include <string_view>

namespace bskim {
namespace {

bool is_ascii_alnum(char32_t c) {
  return (c >= U'0' && c <= U'9') || (c >= U'A' && c <= U'Z') || (c >= U'a' && c <= U'z');
}

// Whether a word ends before this place, and a single space and another word follow.
bool is_cut(const Text& text, std::size_t place) {
  if (place == 0 || text[place] != U' ' || place + 1 == text.size() || !is_ascii_alnum(text[place + 1])) return false;
  const char32_t before = text[place - 1];
  return is_ascii_alnum(before) || std::u32string_view(U".,;:!?").find(before) != std::u32string_view::npos;
}

template <typename T>
void append(std::vector<T>& whole, const std::vector<T>& part) {
  whole.insert(whole.end(), part.begin(), part.end());
}

// Keep the tokens up to `end`, and return those behind it.
Tokens split(Tokens& tokens, std::size_t end) {
  Tokens rest;
  const auto take = [end](auto& from, auto& to) {
    to.assign(from.begin() + static_cast<std::ptrdiff_t>(end), from.end());
    from.resize(end);
  };
  take(tokens.ids, rest.ids);
  take(tokens.types, rest.types);
  take(tokens.offsets, rest.offsets);
  take(tokens.words, rest.words);
  take(tokens.sequence, rest.sequence);
  return rest;
}

void append(Tokens& whole, const Tokens& part) {
  append(whole.ids, part.ids);
  append(whole.types, part.types);
  append(whole.offsets, part.offsets);
  append(whole.words, part.words);
  append(whole.sequence, part.sequence);
}

}  // namespace

std::vector<std::size_t> cuts(const Text& context, std::size_t piece) {
  std::vector<std::size_t> places = {0};
  for (std::size_t place = piece; place < context.size(); ++place) {
    if (!is_cut(context, place)) continue;
    places.push_back(place);
    place += piece - 1;
  }
  places.push_back(context.size());
  return places;
}

Tokens encode(const Tokenizer& tokenizer, const Text& question, const Text& context, std::size_t piece) {
  if (context.size() <= piece || !tokenizer.splits_at_spaces()) return tokenizer.encode(question, context);
  const std::vector<std::size_t> places = cuts(context, piece);
  Tokens tokens = tokenizer.encode(question, context.substr(0, places[1]));
  if (places.size() == 2) return tokens;

  // What a piece adds belongs behind the last token of the context, before the special tokens at the end.
  std::size_t end = tokens.size();
  while (end > 0 && tokens.sequence[end - 1] != 1) --end;
  if (end == 0) return tokenizer.encode(question, context);
  const Tokens specials = split(tokens, end);
  const std::uint8_t type = tokens.types.back();
  for (std::size_t i = 1; i + 1 < places.size(); ++i) {
    Tokens found = tokenizer.encode_alone(context.substr(places[i], places[i + 1] - places[i]));
    const std::int32_t words = tokens.words.back() + 1;
    const auto start = static_cast<std::int32_t>(places[i]);
    for (std::size_t j = 0; j < found.size(); ++j) {
      found.types[j] = type;
      found.sequence[j] = 1;
      found.offsets[j].first += start;
      found.offsets[j].second += start;
      if (found.words[j] >= 0) found.words[j] += words;
    }
    append(tokens, found);
  }
  append(tokens, specials);
  return tokens;
}

}  // namespace bskim
