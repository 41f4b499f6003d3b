// What makes tokens of a word.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/part.hpp"
#include "tokenizer/trie.hpp"

namespace bskim::tokenizing {

// How many characters at the ends of a token are spaces, as byte-level post-processors count them.
struct Spaces {
  std::int32_t before = 0, behind = 0;
};
Spaces spaces_of(std::u32string_view token);

// A token of the characters [begin, end) of a word.
struct Piece {
  std::int32_t id;
  std::uint32_t begin, end;
};

// Room that a model works in, kept from word to word.
struct Workspace {
  struct Symbol {
    std::int32_t id, before, behind;
    std::uint32_t length;  // in bytes of UTF-8; 0: it was merged into another one
  };
  struct Merge {
    std::int32_t rank, place, id;
  };
  struct Step {
    double score;
    std::int32_t id, from;
  };
  std::vector<Symbol> symbols;
  std::vector<Merge> merges;
  std::vector<Step> steps;
  std::vector<Piece> pieces;
};

// The texts of a model's tokens.
struct Vocabulary {
  Trie trie;
  std::size_t size = 0;
  std::unordered_map<std::int32_t, Spaces> spaces;  // of those tokens that have any

  void add(std::u32string_view token, std::int32_t id);
};

class Model {
public:
  virtual ~Model() = default;
  // Append the tokens of a word. Throws BundleError: it needs a token for what is unknown, and there is none.
  virtual void tokenize(std::u32string_view word, Workspace& room, std::vector<Piece>& out) const = 0;
  // The spaces of a token that `tokenize` gave.
  virtual Spaces spaces(const Piece& piece, std::u32string_view word) const;

  const Vocabulary& vocabulary() const { return vocabulary_; }

protected:
  Vocabulary vocabulary_;
};

// Read the `model` of a tokenizer.json. Throws BundleError.
std::unique_ptr<Model> read_model(const Part& part);

std::unique_ptr<Model> read_wordpiece(const Part& part);
std::unique_ptr<Model> read_bpe(const Part& part);
std::unique_ptr<Model> read_unigram(const Part& part);

// Read a vocabulary that is an object of texts and ids.
Vocabulary read_vocabulary(const Part& part);

// Throw BundleError: there is no token for a word.
[[noreturn]] void no_unknown_token();

}  // namespace bskim::tokenizing
