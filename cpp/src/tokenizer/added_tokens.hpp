// Tokens that are found in a text before it is split: special ones, and what users added.
#pragma once

#include <unordered_map>
#include <vector>

#include "tokenizer/model.hpp"
#include "tokenizer/normalizer.hpp"
#include "tokenizer/pre_tokenizer.hpp"

namespace bskim::tokenizing {

class AddedTokens {
public:
  // Read the `added_tokens` of a tokenizer.json, if it has any. Throws BundleError.
  AddedTokens(const Part& root, const Vocabulary& vocabulary, const Normalizer* normalizer);

  // Find them in a text, and normalise what is between them. Some are looked for before that, others behind it.
  Words split(std::u32string_view text, const Normalizer* normalizer) const;

private:
  struct Token {
    std::u32string content;
    bool single_word, lstrip, rstrip, normalized;
  };

  void build(const Part& part, const Normalizer* normalizer);
  // Call `give` with the [begin, end) and the id of each token, and with what is between them and -1.
  template <typename Give>
  void find(std::u32string_view text, const Trie& trie, Give give) const;

  std::unordered_map<std::int32_t, Token> tokens_;
  Trie before_, behind_;  // those that are looked for before and behind normalisation
  bool any_before_ = false, any_behind_ = false;
};

}  // namespace bskim::tokenizing
