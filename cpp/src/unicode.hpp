// What Python says of characters: str.isspace, str.isalnum, str.lower. Offsets and scores depend on it. Held at Unicode
// 14, which Python 3.11 has: characters that came later are as unassigned.
#pragma once

#include <string>
#include <string_view>

#include "text.hpp"

namespace bskim {

bool is_space(char32_t character);
bool is_alnum(char32_t character);
// A combining mark, which belongs to the character before it.
bool is_mark(char32_t character);

// As str.lower: full mappings, and a capital sigma at the end of a word becomes a final one.
Text lower(std::u32string_view text);

}  // namespace bskim
