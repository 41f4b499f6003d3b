#include "tokenizer/added_tokens.hpp"

#include <algorithm>
#include <map>

#include "errors.hpp"
#include "tokenizer/characters.hpp"

namespace bskim::tokenizing {
namespace {

[[noreturn]] void fail_overlap() {
  throw BundleError(
      "A token that was added to the tokenizer stands among spaces that belong to the one before it. "
      "Use another tokenizer.");
}

}  // namespace

AddedTokens::AddedTokens(const Part& root, const Vocabulary& vocabulary, const Normalizer* normalizer) {
  if (!root.has("added_tokens")) return;
  const Part part = root.at("added_tokens");
  std::map<std::u32string, std::int32_t> ids;
  // The library does not ask for the ids of the file: a token that the model does not know gets the next one.
  auto next = static_cast<std::int32_t>(vocabulary.size);
  for (const Part& item : part.items()) {
    token_id(item.at("id"));
    item.only({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    item.at("special").boolean();
    Token token{item.at("content").characters(), item.at("single_word").boolean(), item.at("lstrip").boolean(),
                item.at("rstrip").boolean(), item.at("normalized").boolean()};
    if (token.content.empty()) continue;
    auto found = ids.find(token.content);
    if (found == ids.end()) {
      const std::int32_t known = vocabulary.trie.find(token.content);
      found = ids.emplace(token.content, known == Trie::kNone ? next++ : known).first;
    }
    tokens_.insert_or_assign(found->second, std::move(token));
  }
  build(part, normalizer);
}

void AddedTokens::build(const Part& part, const Normalizer* normalizer) {
  for (const auto& [id, token] : tokens_) {
    Normalized text = Normalized::part(token.content, 0, token.content.size());
    if (token.normalized && normalizer) normalizer->apply(text);
    Trie& trie = token.normalized ? behind_ : before_;
    if (text.text.empty()) part.fail("nothing is left of a token when it is normalised. Remove it, and export again.");
    // Which one the library finds is chance.
    if (trie.find(text.text) != Trie::kNone) part.fail("two tokens are the same when normalised. Remove one.");
    trie.insert(text.text, id);
    (token.normalized ? any_behind_ : any_before_) = true;
  }
}

template <typename Give>
void AddedTokens::find(std::u32string_view text, const Trie& trie, Give give) const {
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {
    // The longest that begins here.
    std::int32_t id = Trie::kNone;
    std::size_t end = at;
    std::int32_t node = Trie::kRoot;
    for (std::size_t i = at; i < text.size(); ++i) {
      node = trie.child(node, text[i]);
      if (node == Trie::kNone) break;
      if (trie.value(node) == Trie::kNone) continue;
      id = trie.value(node);
      end = i + 1;
    }
    if (id == Trie::kNone) {
      ++at;
      continue;
    }
    std::size_t begin = at;
    at = end;
    const Token& token = tokens_.at(id);
    if (token.single_word && ((begin > 0 && is_word(text[begin - 1])) || (end < text.size() && is_word(text[end])))) {
      continue;
    }
    if (token.lstrip) {
      // It may stand in what the one before it took.
      if (begin < done) begin = done;
      while (begin > done && is_space(text[begin - 1])) --begin;
    }
    if (token.rstrip) {
      while (end < text.size() && is_space(text[end])) ++end;
    }
    if (begin > end) fail_overlap();  // the library does, too
    if (begin == end) continue;
    if (done < begin) give(done, begin, -1);
    give(begin, end, id);
    done = end;
  }
  if (done < text.size()) give(done, text.size(), -1);
}

Words AddedTokens::split(std::u32string_view text, const Normalizer* normalizer) const {
  Words words;
  const auto append = [&](const Normalized& part, std::size_t begin, std::size_t end, std::int32_t id) {
    const std::size_t place = words.text.text.size();
    words.text.text.append(part.text, begin, end - begin);
    words.text.spans.insert(words.text.spans.end(), part.spans.begin() + static_cast<std::ptrdiff_t>(begin),
                            part.spans.begin() + static_cast<std::ptrdiff_t>(end));
    words.splits.push_back({place, words.text.text.size(), id});
  };
  const auto normalize = [&](std::size_t begin, std::size_t end, std::int32_t id) {
    Normalized part = Normalized::part(text, begin, end);
    if (id >= 0) {
      append(part, 0, part.text.size(), id);
      return;
    }
    if (normalizer) normalizer->apply(part);
    if (any_behind_) {
      find(part.text, behind_, [&](std::size_t b, std::size_t e, std::int32_t found) { append(part, b, e, found); });
    } else if (words.splits.empty() && begin == 0 && end == text.size()) {
      // All of the text, as it mostly is.
      if (part.text.empty()) return;
      words.text = std::move(part);
      words.splits.push_back({0, words.text.text.size(), -1});
    } else if (!part.text.empty()) {
      append(part, 0, part.text.size(), -1);
    }
  };
  if (any_before_) {
    find(text, before_, normalize);
  } else if (!text.empty()) {
    normalize(0, text.size(), -1);
  }
  return words;
}

}  // namespace bskim::tokenizing
