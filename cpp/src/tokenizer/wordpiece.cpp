// BERT's model: the longest known beginning of what is left of a word, again and again.
#include <limits>

#include "tokenizer/model.hpp"

namespace bskim::tokenizing {
namespace {

class WordPiece : public Model {
public:
  explicit WordPiece(const Part& part) {
    part.only({"type", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"});
    vocabulary_ = read_vocabulary(part.at("vocab"));
    unknown_ = vocabulary_.trie.find(part.at("unk_token").characters());
    longest_ = static_cast<std::size_t>(
        part.at("max_input_chars_per_word").integer(0, std::numeric_limits<std::int64_t>::max()));
    inside_ = vocabulary_.trie.walk(Trie::kRoot, part.at("continuing_subword_prefix").characters());
  }

  void tokenize(std::u32string_view word, Workspace&, std::vector<Piece>& out) const override {
    const std::size_t before = out.size();
    std::size_t begin = 0;
    while (begin < word.size() && word.size() <= longest_) {
      std::int32_t node = begin == 0 ? Trie::kRoot : inside_;
      std::int32_t id = Trie::kNone;
      std::size_t end = begin;
      for (std::size_t i = begin; i < word.size() && node != Trie::kNone; ++i) {
        node = vocabulary_.trie.child(node, word[i]);
        if (node != Trie::kNone && vocabulary_.trie.value(node) != Trie::kNone) {
          id = vocabulary_.trie.value(node);
          end = i + 1;
        }
      }
      if (id == Trie::kNone) break;
      out.push_back({id, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)});
      begin = end;
    }
    if (begin == word.size() && word.size() <= longest_) return;
    if (unknown_ == Trie::kNone) no_unknown_token();
    out.resize(before);
    out.push_back({unknown_, 0, static_cast<std::uint32_t>(word.size())});
  }

private:
  std::int32_t unknown_ = Trie::kNone;
  std::int32_t inside_ = Trie::kNone;  // where what continues a word is found
  std::size_t longest_ = 0;
};

}  // namespace

std::unique_ptr<Model> read_wordpiece(const Part& part) {
  return std::make_unique<WordPiece>(part);
}

}  // namespace bskim::tokenizing
