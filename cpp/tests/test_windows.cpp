#include <doctest/doctest.h>

#include "runtime/tokens.hpp"
#include "runtime/windows.hpp"

namespace {

bskim::Model model_of(std::int64_t block_size) {
  bskim::Model model;
  model.block_size = block_size;
  model.type_vocab_size = 2;
  model.pad_token_id = 9;
  return model;
}

// [CLS] question [SEP] passage [SEP], with passage tokens 100, 101, ...
bskim::Tokens tokens_of(std::size_t question, std::size_t passage) {
  bskim::Tokens tokens;
  const auto add = [&tokens](int id, int type, int sequence, int word) {
    tokens.ids.push_back(id);
    tokens.types.push_back(static_cast<std::uint8_t>(type));
    tokens.sequence.push_back(static_cast<std::int8_t>(sequence));
    tokens.words.push_back(word);
    tokens.offsets.emplace_back(word * 2, word * 2 + 1);
  };
  add(1, 0, -1, 0);
  for (std::size_t i = 0; i < question; ++i) add(2, 0, 0, static_cast<int>(i));
  add(3, 0, -1, 0);
  for (std::size_t i = 0; i < passage; ++i) add(100 + static_cast<int>(i), 1, 1, static_cast<int>(i));
  add(3, 1, -1, 0);
  return tokens;
}

bskim::Windows windows_of(const bskim::Model& model, int question, int passage, int room, int stride,
                          bool alone = true) {
  auto tokens = tokens_of(static_cast<std::size_t>(question), static_cast<std::size_t>(passage));
  const bskim::Range range(question + 2, question + 2 + passage);
  return {model, std::move(tokens), range, static_cast<std::size_t>(room), static_cast<std::size_t>(stride), alone};
}

}  // namespace

TEST_CASE("a window is padded to whole blocks") {
  const auto model = model_of(4);
  const auto windows = windows_of(model, 1, 2, 10, 2);
  REQUIRE(windows.size() == 1);
  const auto window = windows[0];
  CHECK(window.input_ids == std::vector<std::int64_t>{1, 2, 3, 100, 101, 3, 9, 9});
  CHECK(window.token_type_ids == std::vector<std::int64_t>{0, 0, 0, 1, 1, 1, 0, 0});
  CHECK(window.position_ids == std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6, 7});
  CHECK(window.length == 6);
  CHECK(window.question_length == 3);
  CHECK(window.question_blocks == 1);
  CHECK(window.is_first);
  CHECK(window.is_last);
}

TEST_CASE("windows overlap by the stride, and the last one is as long as it must be") {
  const auto model = model_of(4);
  const auto windows = windows_of(model, 1, 9, 4, 2);
  REQUIRE(windows.size() == 4);
  CHECK(windows[1].words == std::vector<std::int32_t>{2, 3, 4, 5});
  CHECK(windows[3].words == std::vector<std::int32_t>{6, 7, 8});
  CHECK_FALSE(windows[3].is_first);
  CHECK(windows[3].is_last);
  CHECK(windows_of(model, 1, 4, 4, 2).size() == 1);
  CHECK(windows_of(model, 1, 5, 4, 2).size() == 2);
  CHECK(windows_of(model, 1, 5, 1, 0).size() == 5);
}

TEST_CASE("positions count as the model counts them") {
  auto model = model_of(4);
  model.position_offset = 2;
  model.pad_position = 1;
  model.type_vocab_size = 1;
  const auto window = windows_of(model, 1, 2, 10, 2)[0];
  CHECK(window.position_ids == std::vector<std::int64_t>{2, 3, 4, 5, 6, 7, 1, 1});
  CHECK(window.token_type_ids == std::vector<std::int64_t>(8, 0));
}

TEST_CASE("a window leaves only if nothing of the passage goes with its question") {
  const auto model = model_of(4);
  CHECK_FALSE(windows_of(model, 1, 2, 10, 2)[0].may_leave);  // it is the only one
  const auto first = windows_of(model, 1, 9, 4, 2)[0];
  CHECK(first.may_leave);
  CHECK(first.judge_shared);
  CHECK(first.unjudged_blocks() == 0);
  CHECK_FALSE(windows_of(model, 1, 9, 4, 2)[1].judge_shared);  // the window before has these tokens
  CHECK(windows_of(model, 1, 2, 10, 2, false)[0].judge_shared);
  CHECK(windows_of(model, 2, 2, 10, 2)[0].may_leave);  // the question fills its block
}

TEST_CASE("a long context is cut before a single space between two words") {
  CHECK(bskim::cuts(U"one two, three", 4) == std::vector<std::size_t>{0, 8, 14});
  CHECK(bskim::cuts(U"one two, three", 3) == std::vector<std::size_t>{0, 3, 8, 14});
  CHECK(bskim::cuts(U"one  two \u4e00 three", 1) == std::vector<std::size_t>{0, 16});
  CHECK(bskim::cuts(U"one", 50) == std::vector<std::size_t>{0, 3});
}
