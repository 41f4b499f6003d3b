#include "runtime/budget.hpp"

#include <algorithm>
#include <tuple>

namespace bskim {

Choice choose_blocks(const std::map<std::size_t, Judged>& judged, std::size_t max_blocks) {
  std::vector<std::tuple<float, std::size_t, std::size_t>> blocks;  // sorted by them: best first, then first first
  for (const auto& [window, one] : judged) {
    for (std::size_t i = one.unjudged; i < one.probabilities.size(); ++i) {
      blocks.emplace_back(-one.probabilities[i], window, i);
    }
  }
  const auto end = blocks.begin() + static_cast<std::ptrdiff_t>(std::min(max_blocks, blocks.size()));
  std::partial_sort(blocks.begin(), end, blocks.end());
  Choice choice;
  for (auto one = blocks.begin(); one != end; ++one) {
    const auto [score, window, block] = *one;
    Chosen& chosen = choice.windows[window];
    chosen.resize(judged.at(window).probabilities.size());
    chosen[block] = true;
    if (!choice.best) choice.best = std::pair<std::size_t, int>(window, static_cast<int>(block));
  }
  return choice;
}

}  // namespace bskim
