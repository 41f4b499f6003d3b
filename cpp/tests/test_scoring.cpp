#include <doctest/doctest.h>

#include <cmath>

#include "runtime/budget.hpp"
#include "runtime/scoring.hpp"
#include "runtime/skipped.hpp"

using bskim::Evidence;
using bskim::Pair;

namespace {

constexpr float GONE = -std::numeric_limits<float>::infinity();

// One question token ([CLS] is 101), then passage tokens of one letter each.
bskim::Window window_of(std::size_t tokens) {
  bskim::Window window;
  window.input_ids.assign(tokens + 1, 7);
  window.input_ids[0] = 101;
  window.length = tokens + 1;
  window.question_length = 1;
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(tokens); ++i) {
    window.offsets.emplace_back(2 * i, 2 * i + 1);
    window.words.push_back(i);
  }
  return window;
}

bskim::WindowResult result_of(std::vector<float> start, std::vector<float> end) {
  bskim::WindowResult result;
  result.start_logits = std::move(start);
  result.end_logits = std::move(end);
  return result;
}

Evidence evidence_of(std::vector<bskim::Candidate> candidates, Pair mass, Pair null) {
  Evidence evidence;
  evidence.candidates = std::move(candidates);
  evidence.mass = mass;
  evidence.null = null;
  return evidence;
}

Evidence gone(double best_score) {
  Evidence evidence;
  evidence.left = true;
  evidence.best_score = best_score;
  return evidence;
}

bskim::RunOptions options_of(const char* scale, int top_k = 1, bool impossible = false) {
  bskim::RunOptions options;
  options.window_scale = scale;
  options.top_k = top_k;
  options.handle_impossible_answer = impossible;
  return options;
}

}  // namespace

TEST_CASE("the best spans come first, and dropped tokens are none") {
  const auto result = result_of({1, 3, 0, GONE, 2}, {1, 0, 5, GONE, 4});
  const auto best = bskim::best_spans(window_of(4), result, 101, 2, 10, {true, true, true, true});
  REQUIRE(best.spans.size() == 4);
  CHECK(best.spans[0].first == 0);
  CHECK(best.spans[0].last == 1);
  CHECK(best.spans[0].logits.start == 3);
  CHECK(best.spans[0].logits.end == 5);
  CHECK(best.spans[1].first == 3);
  CHECK(best.null.start == 1);
  CHECK(best.mass.start == doctest::Approx(std::log(std::exp(3) + std::exp(0) + std::exp(2))));
}

TEST_CASE("of equal sums, the first wins, and no more than asked for are returned") {
  const auto result = result_of({0, 1, 1, 1}, {0, 1, 1, 1});
  const auto best = bskim::best_spans(window_of(3), result, std::nullopt, 2, 3, {true, true, true});
  REQUIRE(best.spans.size() == 3);
  CHECK(best.spans[0].last == 0);
  CHECK(best.spans[1].first == 0);
  CHECK(best.spans[1].last == 1);
  CHECK(best.spans[2].first == 1);
  CHECK(std::isinf(best.null.start));
}

TEST_CASE("tokens that may not be edges still count in the mass") {
  const auto result = result_of({0, 9, 1}, {0, 9, 1});
  const auto best = bskim::best_spans(window_of(2), result, 101, 30, 10, {false, true});
  REQUIRE(best.spans.size() == 1);
  CHECK(best.spans[0].first == 1);
  CHECK(best.mass.start > 9);
}

TEST_CASE("the same text in any case is one answer, where and as the best of them stands") {
  const std::vector<Evidence> evidence = {
      evidence_of({{0, 0, 3, U"ADA", {0, 0}}, {0, 9, 12, U"Ada", {1, 1}}, {0, 5, 6, U"x", {0, 0}}}, {2, 2}, {0, 0})};
  const auto found = bskim::best_answers(evidence, options_of("null", 5));
  REQUIRE(found.size() == 2);
  CHECK(found[0].text == U"Ada");
  CHECK(found[0].start == 9);
  const double all = std::log(1 + std::exp(2));
  CHECK(found[0].score == doctest::Approx(std::exp(-2 * all) + std::exp(2 - 2 * all)));
}

TEST_CASE("in one window, all scales are the same") {
  const std::vector<Evidence> evidence = {evidence_of({{0, 0, 1, U"a", {3, 2}}}, {3.5, 2.5}, {1, -1})};
  const auto null = bskim::best_answers(evidence, options_of("null", 2, true));
  for (const char* scale : {"logits", "window"}) {
    const auto found = bskim::best_answers(evidence, options_of(scale, 2, true));
    REQUIRE(found.size() == 2);
    CHECK(found[0].score == doctest::Approx(null[0].score));
    CHECK(found[1].score == doctest::Approx(null[1].score));
    CHECK_FALSE(found[1].passage);
  }
}

TEST_CASE("windows that all left say how sure they are that there is nothing") {
  for (const char* scale : {"null", "logits", "window"}) {
    const auto found = bskim::best_answers({gone(0.2), gone(0.3)}, options_of(scale, 1, true));
    REQUIRE(found.size() == 1);
    CHECK(found[0].text.empty());
    CHECK(found[0].score == doctest::Approx(0.7));
  }
}

TEST_CASE("a model without [CLS] has no null") {
  const std::vector<Evidence> evidence = {evidence_of({{0, 0, 1, U"a", {1, 1}}}, {1, 1}, {})};
  const auto found = bskim::best_answers(evidence, options_of("null", 2, true));
  REQUIRE(found.size() == 2);
  CHECK(found[0].score == doctest::Approx(1));
  CHECK(found[1].score == 0);
}

TEST_CASE("the best-scored blocks of all windows are chosen") {
  const auto choice = bskim::choose_blocks({{0, {1, {1, 0.2f, 0.1f}}}, {1, {1, {1, 0.5f}}}}, 2);
  REQUIRE(choice.windows.size() == 2);
  CHECK(choice.windows.at(0) == bskim::Chosen{false, true, false});
  CHECK(choice.windows.at(1) == bskim::Chosen{false, true});
  CHECK(choice.best == std::pair<std::size_t, int>(1, 1));
  CHECK_FALSE(bskim::choose_blocks({{0, {1, {1}}}}, 2).best);
}

TEST_CASE("of equal blocks, those that come first are chosen") {
  const auto choice = bskim::choose_blocks({{0, {0, {0.5f, 0.5f}}}, {1, {0, {0.5f}}}}, 1);
  CHECK(choice.best == std::pair<std::size_t, int>(0, 0));
  CHECK(choice.windows.size() == 1);
}

TEST_CASE("skipped ranges join neighbours, and a token counts as the last window dropped it") {
  bskim::SkippedTokens skipped(2);
  auto window = window_of(5);
  bskim::WindowResult result;
  result.dropped_after = {bskim::KEPT, 1, 2};
  skipped.note(0, window, result);
  auto found = skipped.ranges();
  REQUIRE(found.size() == 2);
  CHECK(found[0].start == 2);
  CHECK(found[0].end == 5);
  CHECK(found[0].layer == 1);
  CHECK(found[1].layer == 2);
  result.dropped_after = {bskim::KEPT, bskim::KEPT, 0};
  skipped.note(1, window, result);
  found = skipped.ranges();
  REQUIRE(found.size() == 1);
  CHECK(found[0].start == 6);
  CHECK(found[0].layer == 2);
}
