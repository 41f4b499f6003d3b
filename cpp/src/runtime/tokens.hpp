// The tokens of a question and its context. A long context is tokenised piece by piece: a tokenizer needs many times
// what is kept of its work (bskim_export/runtime/tokens.py).
#pragma once

#include <cstddef>
#include <vector>

#include "text.hpp"
#include "tokenizer/tokenizer.hpp"

namespace bskim {

constexpr std::size_t PIECE = 50'000;  // characters that are tokenised together, if that makes no difference

// The tokens of `tokenizer.encode(question, context)`. Where that is certain whatever the text, because no token and no
// rule of the tokenizer reaches over a space between two words, a context of more than `piece` characters is cut there.
Tokens encode(const Tokenizer& tokenizer, const Text& question, const Text& context, std::size_t piece = PIECE);

// Where pieces begin, and the end: each is the first place to cut after so many characters.
std::vector<std::size_t> cuts(const Text& context, std::size_t piece);

}  // namespace bskim
