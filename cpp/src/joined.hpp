// Texts in one line.
#pragma once

#include <string>

namespace bskim {

// The texts of a list or a set, with a separator between them.
template <typename Texts>
std::string joined(const Texts& texts, const char* separator = ", ") {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : separator) + text;
  return out;
}

}  // namespace bskim
