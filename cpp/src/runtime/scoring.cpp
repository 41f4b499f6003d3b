#include "runtime/scoring.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <unordered_map>

#include "unicode.hpp"

namespace bskim {
namespace {

constexpr double NOTHING = -std::numeric_limits<double>::infinity();

using Windows = std::vector<const Evidence*>;

// The probability of a span of a window from its logits, and the probability of the null.
struct Scale {
  std::function<double(std::size_t, const Pair&)> probability;
  double null = 0;
};

double log_add(const std::vector<double>& values) {
  const double most = values.empty() ? NOTHING : *std::max_element(values.begin(), values.end());
  if (most == NOTHING) return most;
  double sum = 0;
  for (const double value : values) sum += std::exp(value - most);
  return most + std::log(sum);
}

Scale logits_scale(const Windows& evidence) {
  std::vector<double> starts, ends, null_starts, null_ends;
  for (const Evidence* e : evidence) {
    starts.insert(starts.end(), {e->mass.start, e->null.start});
    ends.insert(ends.end(), {e->mass.end, e->null.end});
    null_starts.push_back(e->null.start);
    null_ends.push_back(e->null.end);
  }
  const double start = log_add(starts), end = log_add(ends);
  const double null_start = log_add(null_starts), null_end = log_add(null_ends);
  return {[start, end](std::size_t, const Pair& logits) { return std::exp(logits.start - start + logits.end - end); },
          null_start > NOTHING ? std::exp(null_start - start + null_end - end) : 0.0};
}

Scale null_scale(const Windows& evidence) {
  const auto lacks_cls = [](const Evidence* e) { return e->null.start == NOTHING; };
  if (std::any_of(evidence.begin(), evidence.end(), lacks_cls)) return logits_scale(evidence);
  std::vector<double> starts = {0}, ends = {0};
  for (const Evidence* e : evidence) {
    starts.push_back(e->mass.start - e->null.start);
    ends.push_back(e->mass.end - e->null.end);
  }
  const double start = log_add(starts), end = log_add(ends);
  const auto probability = [start, end, evidence](std::size_t number, const Pair& logits) {
    const Pair& null = evidence[number]->null;
    return std::exp(logits.start - null.start - start + logits.end - null.end - end);
  };
  return {probability, std::exp(-start - end)};
}

Scale window_scale(const Windows& evidence) {
  std::vector<Scale> alone;
  double null = evidence.empty() ? 1.0 : std::numeric_limits<double>::infinity();
  for (const Evidence* e : evidence) {
    alone.push_back(logits_scale({e}));
    null = std::min(null, alone.back().null);
  }
  return {[alone](std::size_t number, const Pair& logits) { return alone[number].probability(number, logits); }, null};
}

Scale make_scale(const std::string& name, const Windows& evidence) {
  if (name == "logits") return logits_scale(evidence);
  return name == "window" ? window_scale(evidence) : null_scale(evidence);
}

// The different texts, in the order of their first spans.
std::vector<Scored> join_texts(const Windows& evidence, const Scale& scale) {
  std::vector<Scored> answers;
  std::vector<double> best;
  std::unordered_map<Text, std::size_t> places;
  for (std::size_t number = 0; number < evidence.size(); ++number) {
    for (const Candidate& candidate : evidence[number]->candidates) {
      const double score = scale.probability(number, candidate.logits);
      if (score == 0) continue;
      const auto [found, is_new] = places.try_emplace(lower(candidate.text), answers.size());
      if (is_new) {
        answers.emplace_back();
        best.push_back(0);
      }
      const std::size_t place = found->second;
      const double total = answers[place].score + score;
      if (score > best[place]) {
        best[place] = score;
        answers[place] = {total, candidate.start, candidate.end, candidate.text, candidate.passage};
      }
      answers[place].score = total;
    }
  }
  return answers;
}

}  // namespace

std::vector<Scored> best_answers(const std::vector<Evidence>& evidence, const RunOptions& options) {
  Windows stayed;
  double surest = 0;
  for (const Evidence& one : evidence) {
    if (one.left) {
      surest = std::max(surest, one.best_score);
    } else {
      stayed.push_back(&one);
    }
  }
  const Scale scale = make_scale(options.window_scale, stayed);
  std::vector<Scored> found = join_texts(stayed, scale);
  if (options.handle_impossible_answer || found.empty()) {
    Scored null;
    null.score = stayed.empty() ? 1.0 - surest : scale.null;  // every window was sure that it holds nothing
    found.push_back(null);
  }
  std::stable_sort(found.begin(), found.end(), [](const Scored& a, const Scored& b) { return a.score > b.score; });
  if (static_cast<std::int64_t>(found.size()) > options.top_k) found.resize(static_cast<std::size_t>(options.top_k));
  for (Scored& answer : found) answer.score = std::min(1.0, answer.score);
  return found;
}

}  // namespace bskim
