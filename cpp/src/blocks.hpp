// Block arithmetic: how packed blocks map to windows and to the attention grid (bskim_export/blocks.py).
//
// A batch holds N live blocks of `block_size` positions, those of one window next to each other and windows in order.
// Attention runs on a grid of B windows by M blocks (M is the largest count of live blocks in a window), whose cell
// (b, m) has the number b * M + m.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace bskim {

// Additive attention mask of a position that must not be attended to.
constexpr float MASKED = -1e4f;

// Stands for "never dropped" wherever a layer number says after which layer a block was dropped: later than any.
constexpr std::int16_t KEPT = std::numeric_limits<std::int16_t>::max();

constexpr std::size_t count_blocks(std::size_t length, std::size_t block_size) {
  return (length + block_size - 1) / block_size;
}

using Ints = std::vector<std::int64_t>;

// The places of N packed blocks in the attention grid.
struct Grid {
  std::size_t rows = 0, width = 0;  // B and M
  Ints table;                       // [B * M], the packed index of each cell's block (0 for an empty cell)
  Ints back;                        // [N], the cell of each packed block
};

// Lay packed blocks out. `window` is the one that each belongs to, non-decreasing; gaps are fine.
Grid build_grid(const std::vector<std::size_t>& window);

// Where the attention map holds the diagonal blocks of some cells, [P, heads, block_size]. The map
// [B, heads, M * k, M * k] is seen as rows of k numbers: row r of block m of a head of window b is row
// ((b * heads + head) * M * k + m * k + r) * M + m.
Ints diagonal_rows(const Ints& cells, const Grid& grid, std::size_t block_size, std::size_t heads);

}  // namespace bskim
