#include "blocks.hpp"

#include <algorithm>

namespace bskim {

Grid build_grid(const std::vector<std::size_t>& window) {
  Grid grid;
  // A row for each window that is there, as wide as the one of most blocks.
  std::vector<std::size_t> row(window.size()), column(window.size());
  for (std::size_t i = 0; i < window.size(); ++i) {
    const bool is_new = i == 0 || window[i] != window[i - 1];
    grid.rows += is_new ? 1 : 0;
    row[i] = grid.rows - 1;
    column[i] = is_new ? 0 : column[i - 1] + 1;
    grid.width = std::max(grid.width, column[i] + 1);
  }
  // Empty cells keep 0, the number of a block that exists; the mask hides them.
  grid.table.assign(grid.rows * grid.width, 0);
  grid.back.resize(window.size());
  for (std::size_t i = 0; i < window.size(); ++i) {
    const std::size_t cell = row[i] * grid.width + column[i];
    grid.back[i] = static_cast<std::int64_t>(cell);
    grid.table[cell] = static_cast<std::int64_t>(i);
  }
  return grid;
}

Ints diagonal_rows(const Ints& cells, const Grid& grid, std::size_t block_size, std::size_t heads) {
  const auto width = static_cast<std::int64_t>(grid.width), size = static_cast<std::int64_t>(block_size);
  const auto count = static_cast<std::int64_t>(heads);
  const std::int64_t per_head = width * size * width;
  Ints rows;
  rows.reserve(cells.size() * heads * block_size);
  for (const std::int64_t cell : cells) {
    // The first row of a cell, in its window's first head: `block` * k rows down the map, each of M parts, and `block`
    // parts to the right.
    const std::int64_t origin = cell / width * count * per_head + cell % width * (size * width + 1);
    for (std::int64_t head = 0; head < count; ++head) {
      for (std::int64_t row = 0; row < size; ++row) rows.push_back(origin + head * per_head + row * width);
    }
  }
  return rows;
}

}  // namespace bskim
