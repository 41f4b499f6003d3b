#include "runtime/runner.hpp"

#include <algorithm>
#include <utility>

#include "backends/catalogue.hpp"
#include "runtime/orchestrator.hpp"
#include "runtime/single.hpp"

namespace bskim {

std::vector<float> WindowResult::keep_probability() const {
  std::vector<float> last(dropped_after.size(), 1.0f);
  for (const auto& row : probabilities) {
    for (std::size_t i = 0; i < last.size(); ++i) {
      if (row[i] != NOT_JUDGED) last[i] = row[i];
    }
  }
  return last;
}

int WindowResult::left_after() const {
  return *std::max_element(dropped_after.begin(), dropped_after.end());
}

void WindowResult::leave(std::size_t row) {
  const auto& scores = probabilities[row];
  const auto best = std::max_element(scores.begin(), scores.end());
  left = true;
  best_block = static_cast<int>(best - scores.begin());
  best_score = *best;
}

std::unique_ptr<Runner> make_runner(std::shared_ptr<const Bundle> bundle, const BackendOptions& options) {
  auto backend = open_backend(options);
  if (!bundle->manifest().graphs_alone().empty() && backend->runs_single()) {
    return std::make_unique<SingleRunner>(std::move(bundle), std::move(backend));
  }
  return std::make_unique<Orchestrator>(std::move(bundle), std::move(backend));
}

}  // namespace bskim
