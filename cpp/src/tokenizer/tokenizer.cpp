#include "tokenizer/tokenizer.hpp"

#include <limits>

#include "errors.hpp"
#include "tokenizer/added_tokens.hpp"
#include "tokenizer/model.hpp"
#include "tokenizer/normalizer.hpp"
#include "tokenizer/part.hpp"
#include "tokenizer/post_processor.hpp"
#include "tokenizer/pre_tokenizer.hpp"

namespace bskim {

using namespace tokenizing;

namespace {

constexpr std::size_t kMostCharacters = std::numeric_limits<std::int32_t>::max() / 8;

// A component, or null if the file does not have it.
template <typename Read>
auto read_or_none(const Part& root, const char* name, Read read) -> decltype(read(root)) {
  return root.has(name) ? read(root.at(name)) : nullptr;
}

// Whether a normalizer changes each word by itself: see splits_at_spaces in bskim_export/runtime/tokens.py.
bool has_local_normalizer(const Part& root) {
  if (!root.has("normalizer")) return true;
  const std::string& kind = root.at("normalizer").kind();
  return kind == "BertNormalizer" || kind == "Lowercase";
}

}  // namespace

struct Tokenizer::Parts {
  explicit Parts(const Part& root)
      : normalizer(read_or_none(root, "normalizer", read_normalizer)),
        pre_tokenizer(read_or_none(root, "pre_tokenizer", read_pre_tokenizer)),
        model(read_model(root.at("model"))),
        added(root, model->vocabulary(), normalizer.get()),
        post_processor(root),
        splits_at_spaces(has_local_normalizer(root) && root.has("pre_tokenizer") &&
                         root.at("pre_tokenizer").kind() == "BertPreTokenizer") {}

  Encoded encode(const Text& text) const;

  std::unique_ptr<Normalizer> normalizer;
  std::unique_ptr<PreTokenizer> pre_tokenizer;
  std::unique_ptr<Model> model;
  AddedTokens added;
  PostProcessor post_processor;
  bool splits_at_spaces;
};

Encoded Tokenizer::Parts::encode(const Text& text) const {
  if (text.size() > kMostCharacters) {
    throw InputError("A text of " + std::to_string(text.size()) + " characters is too long. Split it.");
  }
  Words words = added.split(text, normalizer.get());
  if (pre_tokenizer) pre_tokenizer->apply(words);

  Encoded out;
  Tokens& tokens = out.tokens;
  std::vector<Piece> pieces;
  Workspace room;
  for (std::size_t i = 0; i < words.splits.size(); ++i) {
    const Split& split = words.splits[i];
    const std::u32string_view word = words.view(split);
    pieces.clear();
    if (split.added >= 0) {
      pieces.push_back({split.added, 0, static_cast<std::uint32_t>(word.size())});
    } else {
      model->tokenize(word, room, pieces);
    }
    for (const Piece& piece : pieces) {
      tokens.ids.push_back(piece.id);
      tokens.offsets.emplace_back(words.text.spans[split.begin + piece.begin].begin,
                                  words.text.spans[split.begin + piece.end - 1].end);
      tokens.words.push_back(static_cast<std::int32_t>(i));
      if (!post_processor.wants_spaces()) continue;
      out.spaces.push_back(split.added >= 0 ? spaces_of(word) : model->spaces(piece, word));
    }
  }
  return out;
}

Tokenizer::Tokenizer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::from_json(std::string_view json, std::string_view where) {
  const File file(json, where);
  const Part root = file.root();
  root.only({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
             "decoder", "model"});
  if (root.has("version") && root.at("version").text() != "1.0") {
    root.at("version").refuse("the version " + shown(root.at("version").text()));
  }
  return Tokenizer(std::make_unique<Parts>(root));
}

Tokens Tokenizer::encode(const Text& question, const Text& context) const {
  return parts_->post_processor.pair(parts_->encode(question), parts_->encode(context));
}

Tokens Tokenizer::encode_alone(const Text& text) const {
  return parts_->post_processor.alone(parts_->encode(text));
}

std::size_t Tokenizer::special_tokens_of_a_pair() const {
  return parts_->post_processor.special_tokens_of_a_pair();
}

bool Tokenizer::splits_at_spaces() const {
  return parts_->splits_at_spaces;
}

}  // namespace bskim
