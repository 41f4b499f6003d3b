// Text as Python has it: one element per Unicode code point.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bskim {

using Text = std::u32string;

// Decode UTF-8. A lone surrogate (three bytes, as CESU-8 and WTF-8 write it) becomes one U+FFFD, as Python's runtime
// replaces it, so that offsets stay valid. Throws InputError for any other bytes that are no UTF-8; `what` names the
// text.
Text decode_utf8(std::string_view bytes, std::string_view what);

std::string encode_utf8(const Text& text);

// The number of UTF-8 bytes before each code point, and last of all of them: size() + 1 elements.
std::vector<std::size_t> byte_offsets(const Text& text);

}  // namespace bskim
