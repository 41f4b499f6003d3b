// A bound on the work that a question may cost, however long its document is: `max_blocks`
// (bskim_export/runtime/budget.py).
//
// All windows run to the first predictor and leave there. Of all blocks of the document, the best-scored go on: their
// windows run once more, and at that predictor lose all others.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/window.hpp"

namespace bskim {

using Chosen = std::vector<bool>;  // [K]: the blocks of a window that may go on

// A window that runs once more.
struct Again {
  std::size_t number;  // among the windows of its question
  Window window;
  std::optional<int> protected_block;  // one that must stay
  std::optional<Chosen> chosen;        // the blocks that may go on; none: all
};

// What the first run said of a window: how many blocks no predictor judges, and the keep probabilities of all.
struct Judged {
  std::size_t unjudged;
  std::vector<float> probabilities;
};

// The windows of a question that go on, in order, with their chosen blocks, and the window and number of the best one.
// Of equal blocks, those that come first are chosen.
struct Choice {
  std::map<std::size_t, Chosen> windows;
  std::optional<std::pair<std::size_t, int>> best;
};
Choice choose_blocks(const std::map<std::size_t, Judged>& judged, std::size_t max_blocks);

}  // namespace bskim
