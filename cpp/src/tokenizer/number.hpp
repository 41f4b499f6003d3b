// Numbers as the `tokenizers` library reads them.
#pragma once

#include <optional>
#include <string_view>

namespace bskim::tokenizing {

// The number that a text of JSON's form stands for to serde_json, which is not always the nearest one: its last bit may
// differ, and scores that are added up then tie, or not. None: it is too large.
std::optional<double> number_of(std::string_view written);

}  // namespace bskim::tokenizing
