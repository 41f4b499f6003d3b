// The examples of bskim_export/blocks.py, and what follows from them.
#include <doctest/doctest.h>

#include "blocks.hpp"

using namespace bskim;

TEST_CASE("blocks are counted up") {
  CHECK(count_blocks(0, 32) == 0);
  CHECK(count_blocks(32, 32) == 1);
  CHECK(count_blocks(33, 32) == 2);
}

TEST_CASE("each window that is there has a row, as wide as the one of most blocks") {
  const Grid grid = build_grid({0, 0, 3});
  CHECK(grid.rows == 2);
  CHECK(grid.width == 2);
  CHECK(grid.table == Ints{0, 1, 2, 0});
  CHECK(grid.back == Ints{0, 1, 2});
}

TEST_CASE("windows in other rows leave gaps") {
  const Grid grid = build_grid({1, 2, 2, 2, 7});
  CHECK(grid.rows == 3);
  CHECK(grid.back == Ints{0, 3, 4, 5, 6});
}

TEST_CASE("diagonal rows are those of the attention map") {
  const Grid grid = build_grid({0, 0});  // one window, M = 2
  CHECK(diagonal_rows({1}, grid, 2, 1) == Ints{5, 7});
  CHECK(diagonal_rows({0}, grid, 2, 2) == Ints{0, 2, 8, 10});
}
