#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

#include "runtime/side_by_side.hpp"

using bskim::side_by_side;

TEST_CASE("every number is taken once, by however many threads") {
  for (const std::size_t threads : {1, 2, 7}) {
    std::vector<std::atomic<int>> taken(100);
    side_by_side(threads, taken.size(), [&](std::size_t i) { ++taken[i]; });
    for (const auto& times : taken) CHECK(times == 1);
  }
  side_by_side(4, 0, [](std::size_t) { FAIL("there is nothing to do"); });
}

TEST_CASE("an error is thrown to the caller, and ends the work") {
  std::atomic<int> done{0};
  const auto run = [&](std::size_t i) {
    if (i == 3) throw std::runtime_error("three");
    ++done;
  };
  CHECK_THROWS_WITH(side_by_side(2, 100000, run), "three");
  CHECK(done < 100000);
}
