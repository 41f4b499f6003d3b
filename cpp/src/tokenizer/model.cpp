#include "tokenizer/model.hpp"

#include <nlohmann/json.hpp>

#include "errors.hpp"
#include "text.hpp"
#include "tokenizer/characters.hpp"

namespace bskim::tokenizing {
namespace {

constexpr char32_t kByteLevelSpace = 0x120;

}  // namespace

Spaces spaces_of(std::u32string_view token) {
  const auto space = [](char32_t c) { return c == kByteLevelSpace || is_space(c); };
  Spaces found;
  const auto size = static_cast<std::int32_t>(token.size());
  while (found.before < size && space(token[static_cast<std::size_t>(found.before)])) ++found.before;
  while (found.behind < size && space(token[static_cast<std::size_t>(size - 1 - found.behind)])) ++found.behind;
  return found;
}

void Vocabulary::add(std::u32string_view token, std::int32_t id) {
  trie.insert(token, id);
  const Spaces found = spaces_of(token);
  if (found.before > 0 || found.behind > 0) spaces[id] = found;
}

Spaces Model::spaces(const Piece& piece, std::u32string_view) const {
  const auto found = vocabulary_.spaces.find(piece.id);
  return found == vocabulary_.spaces.end() ? Spaces() : found->second;
}

Vocabulary read_vocabulary(const Part& part) {
  if (!part.json().is_object()) part.fail("it must be an object. The file is damaged: export the bundle again.");
  Vocabulary made;
  for (const auto& item : part.json().items()) {
    if (!item.value().is_number_unsigned() || item.value().get<std::uint64_t>() > INT32_MAX) {
      part.fail("the id of " + shown(item.key()) + " is none. The file is damaged: export the bundle again.");
    }
    made.add(decode_utf8(item.key(), "a token"), item.value().get<std::int32_t>());
    ++made.size;
  }
  return made;
}

void no_unknown_token() {
  throw BundleError(
      "The tokenizer has no token for what it does not know, and met such a text. Use another tokenizer.");
}

std::unique_ptr<Model> read_model(const Part& part) {
  const std::string& kind = part.kind();
  if (kind == "WordPiece") return read_wordpiece(part);
  if (kind == "BPE") return read_bpe(part);
  if (kind == "Unigram") return read_unigram(part);
  part.refuse("the kind " + shown(kind));
}

}  // namespace bskim::tokenizing
