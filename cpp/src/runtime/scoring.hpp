// From the evidence of a question's windows to its answers: one scale for all of them
// (bskim_export/runtime/scoring.py).
#pragma once

#include <optional>
#include <vector>

#include "runtime/evidence.hpp"
#include "runtime/options.hpp"
#include "text.hpp"

namespace bskim {

// An answer in characters; the null answer is from no passage.
struct Scored {
  double score = 0;
  std::size_t start = 0, end = 0;
  Text text;
  std::optional<std::size_t> passage;
};

// The best answers of one question, best first. The probability of a span is the product of those of its start and its
// end. Over which tokens these are normalised is `options.window_scale`:
//
// - "null": over the kept passage tokens of all windows and one null, after the logits of each window were measured
// from
//   those of its own [CLS].
// - "logits": over the kept passage tokens and [CLS] of all windows, with the logits as they are. For a model without
//   [CLS], "null" is this too.
// - "window": over each window by itself.
//
// Spans with the same text, whatever its case, are one answer, with the place and the casing of the most probable of
// them; its score is the sum of their probabilities, and 1 at most.
std::vector<Scored> best_answers(const std::vector<Evidence>& evidence, const RunOptions& options);

}  // namespace bskim
