// What changes a text before it is split.
#pragma once

#include <memory>

#include "tokenizer/normalized.hpp"
#include "tokenizer/part.hpp"

namespace bskim::tokenizing {

class Normalizer {
public:
  virtual ~Normalizer() = default;
  virtual void apply(Normalized& text) const = 0;
  // At most so many characters take the place of one, by what the file says. Normal forms are not counted: they are
  // bounded, however often they are applied.
  virtual double growth() const { return 1; }
};

// Read the `normalizer` of a tokenizer.json; none if it is null. Throws BundleError.
std::unique_ptr<Normalizer> read_normalizer(const Part& part);

// The charsmap of a sentencepiece model.
std::unique_ptr<Normalizer> read_precompiled(const Part& part);

// Normal forms, and what rules share.
void to_decomposed(Normalized& text, bool compatible);
void to_composed(Normalized& text, bool compatible);
void to_lowercase(Normalized& text);

}  // namespace bskim::tokenizing
