// A tokenizer.json of the `tokenizers` library, read and run: the same ids, offsets and words.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "text.hpp"

namespace bskim {

// All T tokens of a question, its context and the special tokens, in one row (bskim_export/runtime/tokens.py).
struct Tokens {
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> types;
  std::vector<std::pair<std::int32_t, std::int32_t>> offsets;  // characters of the question or of the context
  std::vector<std::int32_t> words;    // numbered over the question and over the context; -1: none
  std::vector<std::int8_t> sequence;  // 0: question, 1: context, -1: special

  std::size_t size() const { return ids.size(); }
};

class Tokenizer {
public:
  // Throws BundleError, naming the component, if it is one that this library does not know, or if the JSON is damaged.
  // `where` names the file in errors.
  static Tokenizer from_json(std::string_view json, std::string_view where);

  // As `tokenizers.Tokenizer.encode(question, context)`, without truncation or padding. Safe from several threads.
  Tokens encode(const Text& question, const Text& context) const;

  // As `encode(text, add_special_tokens=False)`; sequence is 0.
  Tokens encode_alone(const Text& text) const;

  // As `num_special_tokens_to_add(True)`.
  std::size_t special_tokens_of_a_pair() const;

  // Whether a text's tokens are those of its words, each by itself: so it is in BERT's kind.
  // See splits_at_spaces in bskim_export/runtime/tokens.py.
  bool splits_at_spaces() const;

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

private:
  struct Parts;
  explicit Tokenizer(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace bskim
