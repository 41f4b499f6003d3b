#include "backends/processor.hpp"

#include <fstream>
#include <sstream>

namespace bskim {

std::set<std::string> processor_features(const std::string& cpuinfo) {
  static const std::set<std::string> known = {"amx_bf16",    "avx512_bf16", "bf16", "amx_int8",
                                              "avx512_vnni", "avx_vnni",    "i8mm", "asimddp"};
  std::set<std::string> found;
  std::ifstream file(cpuinfo);
  // The first core's lines end with an empty one. x86 has "flags", Arm "Features".
  for (std::string line; std::getline(file, line) && !line.empty();) {
    const auto colon = line.find(':');
    const std::string name = line.substr(0, line.find_last_not_of(" \t", colon == 0 ? 0 : colon - 1) + 1);
    if (colon == std::string::npos || (name != "flags" && name != "Features")) continue;
    std::istringstream words(line.substr(colon + 1));
    for (std::string word; words >> word;) {
      if (known.count(word) > 0) found.insert(word);
    }
  }
  return found;
}

}  // namespace bskim
