#include "runtime/evidence.hpp"

#include <algorithm>
#include <cmath>

namespace bskim {
namespace {

double log_sum(const std::vector<double>& logits) {
  if (logits.empty()) return Pair().start;
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const double logit : logits) sum += std::exp(logit - most);
  return most + std::log(sum);
}

// A span by its first token and its length, and the sum of its logits.
struct Sum {
  double value;
  std::uint32_t first, further;
};

// NumPy leaves open which of equal sums argpartition takes, and its answer differs between processors. Here it is the
// first one, as NumPy's stable sort would have it.
bool is_better(const Sum& a, const Sum& b) {
  if (a.value != b.value) return a.value > b.value;
  return a.first != b.first ? a.first < b.first : a.further < b.further;
}

// The null: the logits of the first [CLS] that was kept.
Pair find_null(const Window& window, const WindowResult& result, std::optional<std::int64_t> cls_token_id) {
  if (!cls_token_id) return {};
  for (std::size_t i = 0; i < window.input_ids.size(); ++i) {
    if (window.input_ids[i] == *cls_token_id && std::isfinite(result.start_logits[i])) {
      return {result.start_logits[i], result.end_logits[i]};
    }
  }
  return {};
}

}  // namespace

Best best_spans(const Window& window, const WindowResult& result, std::optional<std::int64_t> cls_token_id,
                std::size_t max_answer_len, std::size_t count, const std::vector<bool>& edges) {
  const std::size_t tokens = window.offsets.size();
  const float* start = result.start_logits.data() + window.question_length;
  const float* end = result.end_logits.data() + window.question_length;
  std::vector<bool> candidate(tokens);
  std::vector<double> starts, ends;
  for (std::size_t i = 0; i < tokens; ++i) {
    const bool kept = std::isfinite(start[i]);
    candidate[i] = kept && edges[i];
    if (!kept) continue;
    starts.push_back(start[i]);
    ends.push_back(end[i]);
  }
  Best best;
  best.mass = {log_sum(starts), log_sum(ends)};
  best.null = find_null(window, result, cls_token_id);

  // A heap of the best ones, the worst of them on top.
  std::vector<Sum> heap;
  for (std::size_t first = 0; first < tokens; ++first) {
    if (!candidate[first]) continue;
    const std::size_t stop = std::min(tokens, first + std::min(max_answer_len, tokens));
    for (std::size_t last = first; last < stop; ++last) {
      if (!candidate[last]) continue;
      const Sum sum{static_cast<double>(start[first]) + static_cast<double>(end[last]),
                    static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(last - first)};
      if (heap.size() == count) {
        if (!is_better(sum, heap.front())) continue;
        std::pop_heap(heap.begin(), heap.end(), is_better);
        heap.pop_back();
      }
      heap.push_back(sum);
      std::push_heap(heap.begin(), heap.end(), is_better);
    }
  }
  std::sort(heap.begin(), heap.end(), is_better);
  for (const Sum& sum : heap) {
    const std::size_t last = sum.first + sum.further;
    best.spans.push_back({sum.first, last, {start[sum.first], end[last]}});
  }
  return best;
}

EvidenceReader::EvidenceReader(std::size_t passage, const Text& context, std::size_t hidden,
                               std::optional<std::int64_t> cls_token_id, const RunOptions& options)
    : passage_(passage),
      context_(&context),
      hidden_(hidden),
      cls_token_id_(cls_token_id),
      options_(&options),
      // A few spans more than are asked for: several may be widened to the same words.
      count_(static_cast<std::size_t>(options.align_to_words ? options.top_k * 2 + 10 : options.top_k)),
      characters_(context) {}

Evidence EvidenceReader::read(const Window& window, const WindowResult& result) const {
  Evidence evidence;
  if (result.left) {
    evidence.left = true;
    evidence.left_after = result.left_after();
    evidence.best_score = result.best_score;
    evidence.best_block = result.best_block;
    return evidence;
  }
  std::vector<bool> edges = characters_.edges(window);
  for (std::size_t i = 0; hidden_ > 0 && i < edges.size(); ++i) {
    if (static_cast<std::size_t>(window.offsets[i].first) < hidden_) edges[i] = false;
  }
  Best best =
      best_spans(window, result, cls_token_id_, static_cast<std::size_t>(options_->max_answer_len), count_, edges);
  evidence.mass = best.mass;
  evidence.null = best.null;
  for (const Span& span : best.spans) {
    auto [start, end] = characters_.span(window, span.first, span.last, options_->align_to_words);
    start = std::max(start, hidden_);
    Text text = start < end ? context_->substr(start, end - start) : Text();
    evidence.candidates.push_back({passage_, start - hidden_, end - hidden_, std::move(text), span.logits});
  }
  return evidence;
}

}  // namespace bskim
