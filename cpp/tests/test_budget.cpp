// The example of bskim_export/runtime/budget.py.
#include <doctest/doctest.h>

#include "runtime/budget.hpp"
#include "runtime/leaving.hpp"

using namespace bskim;

TEST_CASE("the best-scored blocks of all windows go on") {
  const Choice choice = choose_blocks({{0, {1, {1.0f, 0.2f, 0.1f}}}, {1, {1, {1.0f, 0.5f}}}}, 2);
  REQUIRE(choice.windows.size() == 2);
  CHECK(choice.windows.at(0) == Chosen{false, true, false});
  CHECK(choice.windows.at(1) == Chosen{false, true});
  CHECK(choice.best == std::pair<std::size_t, int>(1, 1));
}

TEST_CASE("of equal blocks the first are chosen, and nothing of nothing") {
  const Choice choice = choose_blocks({{4, {0, {0.5f, 0.5f, 0.5f}}}}, 2);
  CHECK(choice.windows.at(4) == Chosen{true, true, false});
  CHECK(choice.best->second == 0);
  CHECK_FALSE(choose_blocks({{0, {2, {1.0f, 1.0f}}}}, 3).best);
}

TEST_CASE("a window leaves when all that is judged is refused") {
  CHECK(leaves(true, 2, 0));
  CHECK_FALSE(leaves(true, 2, 1));
  CHECK_FALSE(leaves(true, 0, 0));
  CHECK_FALSE(leaves(false, 2, 0));
}
