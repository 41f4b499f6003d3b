#include "runtime/skipped.hpp"

#include <algorithm>

namespace bskim {

void SkippedTokens::note(std::size_t number, const Window& window, const WindowResult& result) {
  Tokens& tokens = windows_[number];
  tokens.offsets = window.offsets;
  tokens.layers.resize(window.offsets.size());
  for (std::size_t i = 0; i < tokens.layers.size(); ++i) {
    tokens.layers[i] = result.dropped_after[(window.question_length + i) / size_];
  }
}

std::vector<Skipped> SkippedTokens::ranges() const {
  // Of each token, by its place in the context, the layer after which the last window dropped it.
  std::map<Range, std::int16_t> dropped;
  for (const auto& [number, tokens] : windows_) {
    for (std::size_t i = 0; i < tokens.offsets.size(); ++i) {
      std::int16_t& layer = dropped.try_emplace(tokens.offsets[i], tokens.layers[i]).first->second;
      layer = std::max(layer, tokens.layers[i]);
    }
  }
  // Neighbours that were dropped after the same layer join one range.
  std::vector<Skipped> ranges;
  std::int16_t previous = KEPT;
  for (const auto& [range, layer] : dropped) {
    const auto start = static_cast<std::size_t>(range.first), end = static_cast<std::size_t>(range.second);
    if (layer != KEPT && layer == previous) {
      ranges.back().end = end;
    } else if (layer != KEPT) {
      ranges.push_back({start, end, layer, std::nullopt});
    }
    previous = layer;
  }
  return ranges;
}

}  // namespace bskim
