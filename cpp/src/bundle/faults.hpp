// How checks of a manifest say what is wrong, and where.
#pragma once

#include <string>
#include <vector>

#include "bundle/json.hpp"
#include "bundle/manifest.hpp"

namespace bskim {

// The field that is wrong, and what is wrong with it. Never leaves `check_manifest`.
struct Fault {
  std::string place, what;
};

inline void require(bool fits, const std::string& place, const std::string& what) {
  if (!fits) throw Fault{place, what};
}

// A text of an error, cut where it gets long.
inline std::string shorten(const std::string& text, std::size_t most) {
  const std::string first = first_characters(text, most);
  return first.size() == text.size() ? text : first + "...";
}

// Of `Manifest::cpu` (bskim_export/bundle/cpu_checks.py).
void check_cpu(const Manifest& manifest);

// Of its stages, and of all graphs.
void check_stages(const Manifest& manifest);
void check_graphs_alone(const Manifest& manifest);

}  // namespace bskim
