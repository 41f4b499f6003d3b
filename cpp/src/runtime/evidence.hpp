// What one window says about the answer, in a few numbers: all that is kept of it once it has run
// (bskim_export/runtime/evidence.py).
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "runtime/characters.hpp"
#include "runtime/options.hpp"
#include "runtime/runner.hpp"
#include "runtime/window.hpp"
#include "text.hpp"

namespace bskim {

// A number for where an answer starts, and one for where it ends.
struct Pair {
  double start = -std::numeric_limits<double>::infinity();
  double end = -std::numeric_limits<double>::infinity();
};

// A candidate for the answer: its tokens, as numbers among the passage tokens, and the logits of the first and the
// last.
struct Span {
  std::size_t first, last;
  Pair logits;
};

// A span as the reader of its passage sees it: characters [start, end) of the passage of that number.
struct Candidate {
  std::size_t passage, start, end;
  Text text;
  Pair logits;
};

// What one window says. A window that left says that it holds nothing.
struct Evidence {
  std::vector<Candidate> candidates;  // its best spans, best first
  Pair mass;                          // the log of the summed exp of the logits of its kept passage tokens
  Pair null;                          // the logits of [CLS], which stand for "not in this window"
  bool left = false;                  // the window left the batch, and after which layer
  int left_after = 0;
  double best_score = 0;  // of such a window, the highest keep probability of its blocks then, and that block
  int best_block = -1;
};

// The spans of one window with the highest sums of start and end logit, best first, at most `count`; and mass and null
// of the window. Of equal sums, the first of the text wins. Dropped tokens are no candidates.
struct Best {
  std::vector<Span> spans;
  Pair mass, null;
};
Best best_spans(const Window& window, const WindowResult& result, std::optional<std::int64_t> cls_token_id,
                std::size_t max_answer_len, std::size_t count, const std::vector<bool>& edges);

// Reads the evidence of the windows of one passage, whose text must outlive this. `hidden` characters at its beginning
// are none that an answer may come from, as a title; offsets count from behind them.
class EvidenceReader {
public:
  EvidenceReader(std::size_t passage, const Text& context, std::size_t hidden, std::optional<std::int64_t> cls_token_id,
                 const RunOptions& options);

  Evidence read(const Window& window, const WindowResult& result) const;

private:
  std::size_t passage_;
  const Text* context_;
  std::size_t hidden_;
  std::optional<std::int64_t> cls_token_id_;
  const RunOptions* options_;
  std::size_t count_;
  Characters characters_;
};

}  // namespace bskim
