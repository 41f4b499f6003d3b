// Which features of this processor make products of matrices fast (bskim_export/backends/processor.py).
#pragma once

#include <set>
#include <string>

namespace bskim {

// Linux's names of them, of those that a manifest may ask for; none where the system is not Linux.
std::set<std::string> processor_features(const std::string& cpuinfo = "/proc/cpuinfo");

}  // namespace bskim
