// What puts special tokens around texts, and trims offsets.
#pragma once

#include <vector>

#include "tokenizer/model.hpp"
#include "tokenizer/part.hpp"
#include "tokenizer/tokenizer.hpp"

namespace bskim::tokenizing {

// The tokens of one text.
struct Encoded {
  Tokens tokens;
  std::vector<Spaces> spaces;  // of each; only with `wants_spaces`
};

class PostProcessor {
public:
  // Read the `post_processor` of a tokenizer.json, if it has one. Throws BundleError.
  explicit PostProcessor(const Part& root);

  // Whether it needs to know the spaces of tokens.
  bool wants_spaces() const { return !trims_.empty(); }

  Tokens pair(Encoded question, Encoded context) const;
  Tokens alone(Encoded text) const;
  std::size_t special_tokens_of_a_pair() const;

private:
  // One of the two texts, or a special token.
  struct Item {
    int text;  // 0 or 1; -1: a special token
    std::int32_t id;
    std::uint8_t type;
  };

  void read(const Part& part, bool nested);
  void read_template(const Part& part);
  std::vector<Item> read_items(const Part& part, const Part& specials, int texts) const;
  // The template of BERT's or RoBERTa's processor. `twice`: another separator between the texts.
  void read_fixed(const Part& part, bool twice);
  void trim(Encoded& text) const;
  static void append(const Item& item, const Tokens& text, Tokens& out);

  std::vector<bool> trims_;  // of each trimming: whether a space was added before the text
  std::vector<Item> pair_;
  std::uint8_t alone_type_ = 0;
};

}  // namespace bskim::tokenizing
