// Which characters of a text can be seen (bskim_export/data/visible.py).
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

namespace bskim {

// White space, a control character, or what Unicode calls default ignorable.
bool is_hidden(char32_t character);

// The range [start, end) of a text without the white space and invisible marks at its edges. A variation selector stays
// with its character. A text that cannot be seen has the range (0, 0).
std::pair<std::size_t, std::size_t> visible_range(std::u32string_view text);

}  // namespace bskim
