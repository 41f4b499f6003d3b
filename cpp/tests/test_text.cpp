#include <doctest/doctest.h>

#include "bskim/bskim.hpp"
#include "text.hpp"

using bskim::byte_offsets;
using bskim::decode_utf8;
using bskim::encode_utf8;

TEST_CASE("text is one element per code point") {
  CHECK(decode_utf8("", "it").empty());
  CHECK(decode_utf8("a\u00e9\u4e2d\U0001f600", "it") == U"a\u00e9\u4e2d\U0001f600");
  CHECK(decode_utf8(std::string_view("a\0b", 3), "it") == std::u32string(U"a\0b", 3));
  CHECK(decode_utf8("\xf4\x8f\xbf\xbf", "it") == U"\U0010ffff");
}

TEST_CASE("encoding gives the bytes back") {
  for (const char* text : {"", "plain", "\u0080\u07ff\u0800\uffff", "\U00010000\U0010ffff"}) {
    CHECK(encode_utf8(decode_utf8(text, "it")) == text);
  }
}

TEST_CASE("a lone surrogate becomes one replacement character") {
  CHECK(decode_utf8("a\xed\xa0\x80z", "it") == U"a\ufffdz");
  CHECK(decode_utf8("\xed\xa0\xbd\xed\xb8\x80", "it") == U"\ufffd\ufffd");  // a pair, each by itself
  CHECK(encode_utf8(bskim::Text(1, 0xD800)) == "\ufffd");
}

TEST_CASE("what is no UTF-8 is an error that names the text and the byte") {
  for (const char* bytes : {"ab\xff", "ab\x80", "ab\xc0\x80", "ab\xc1\xbf", "ab\xe0\x80\x80", "ab\xf0\x80\x80\x80",
                            "ab\xf4\x90\x80\x80", "ab\xf5\x80\x80\x80", "ab\xe4\xb8", "ab\xc3", "ab\xe4zz"}) {
    CAPTURE(bytes);
    CHECK_THROWS_WITH_AS(
        decode_utf8(bytes, "the context"),
        "the context is not UTF-8: see its byte 2. Decode the text with the encoding that it has, and pass UTF-8.",
        bskim::InputError);
  }
}

TEST_CASE("byte offsets are those of the encoded text") {
  CHECK(byte_offsets(U"") == std::vector<std::size_t>{0});
  CHECK(byte_offsets(U"a\u00e9\u4e2d\U0001f600") == std::vector<std::size_t>{0, 1, 3, 6, 10});
}
