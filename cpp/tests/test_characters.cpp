#include <doctest/doctest.h>

#include "runtime/characters.hpp"
#include "runtime/visible.hpp"
#include "unicode.hpp"

using bskim::Characters;
using bskim::Place;

namespace {

bskim::Window window_of(std::vector<bskim::Range> offsets, std::vector<std::int32_t> words) {
  bskim::Window window;
  window.offsets = std::move(offsets);
  window.words = std::move(words);
  return window;
}

}  // namespace

TEST_CASE("white space, letters and marks are Python's") {
  CHECK(bskim::is_space(U'\x1f'));
  CHECK(bskim::is_space(U'\u2003'));
  CHECK_FALSE(bskim::is_space(U'\u200b'));
  CHECK(bskim::is_alnum(U'\u00b2'));  // a superscript digit
  CHECK(bskim::is_alnum(U'\u4e00'));
  CHECK_FALSE(bskim::is_alnum(U'_'));
  CHECK(bskim::is_mark(U'\u0301'));
  CHECK_FALSE(bskim::is_mark(U'e'));
  CHECK_FALSE(bskim::is_alnum(U'\U000105d0'));  // unassigned
}

TEST_CASE("characters that came after Unicode 14 are as unassigned") {
  CHECK_FALSE(bskim::is_alnum(U'\U00031350'));  // an ideograph of Unicode 15
  CHECK_FALSE(bskim::is_mark(U'\U00010efd'));
}

TEST_CASE("lower is str.lower") {
  CHECK(bskim::lower(U"AbC \u00c4\u1e9e") == U"abc \u00e4\u00df");
  CHECK(bskim::lower(U"\u0130X") == U"i\u0307x");
  CHECK(bskim::lower(U"\u039f\u03a3") == U"\u03bf\u03c2");  // ends a word
  CHECK(bskim::lower(U"\u039f\u03a3\u0391") == U"\u03bf\u03c3\u03b1");
  CHECK(bskim::lower(U"\u03a3") == U"\u03c3");  // no letter is before it
  CHECK(bskim::lower(U"\u039f.\u03a3'\u0391") == U"\u03bf.\u03c3'\u03b1");
  CHECK(bskim::lower(U"\u039f\u03a3' \u0391") == U"\u03bf\u03c2' \u03b1");
}

TEST_CASE("the visible range leaves out white space and invisible marks, and keeps selectors") {
  CHECK(bskim::visible_range(U" Mira\u200c\n") == Place(1, 5));
  CHECK(bskim::visible_range(U"\u2764\ufe0f ") == Place(0, 2));
  CHECK(bskim::visible_range(U"\u200b ") == Place(0, 0));
  CHECK(bskim::visible_range(U"") == Place(0, 0));
}

TEST_CASE("a range is trimmed, and marks stay with their letter") {
  CHECK(Characters(U"It was Jose\u0301.").trim(6, 11) == Place(7, 12));
  CHECK(Characters(U"e\u0301a").trim(1, 2) == Place(0, 2));
  CHECK(Characters(U"a \u0301b").trim(2, 3) == Place(2, 3));  // a mark on white space belongs to nothing
  CHECK(Characters(U"x \U0001f469\u200d\U0001f52c y").trim(2, 3) == Place(2, 5));
  CHECK(Characters(U"x \U0001f44d\U0001f3fd y").trim(2, 3) == Place(2, 4));
  CHECK(Characters(U"a  b").trim(1, 3) == Place(1, 1));
}

TEST_CASE("a span is widened to whole words, and takes in letters that no token has") {
  const std::u32string text = U"unaffable \u0e4fbird";
  const Characters characters(text);
  const auto window = window_of({{0, 2}, {2, 5}, {5, 9}, {11, 13}}, {0, 0, 0, 1});
  CHECK(characters.span(window, 1, 1, true) == Place(0, 9));
  CHECK(characters.span(window, 1, 1, false) == Place(2, 5));
  CHECK(characters.span(window, 3, 3, true) == Place(11, 15));  // "rd" is no token's
}

TEST_CASE("letters at the edge of a window belong to other windows") {
  const std::u32string text = U"abcdef";
  const Characters characters(text);
  auto window = window_of({{2, 4}}, {0});
  CHECK(characters.span(window, 0, 0, true) == Place(0, 6));
  window.is_first = window.is_last = false;
  CHECK(characters.span(window, 0, 0, true) == Place(2, 4));
}

TEST_CASE("only tokens that can be seen begin or end an answer") {
  const std::u32string text = U"a\n\u200bb\u4e00";
  const Characters characters(text);
  const auto window = window_of({{0, 1}, {1, 2}, {1, 3}, {3, 4}, {5, 5}}, {0, 1, 1, 2, 3});
  CHECK(characters.edges(window) == std::vector<bool>{true, false, false, true, true});
}
