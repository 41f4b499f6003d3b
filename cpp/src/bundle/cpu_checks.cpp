// Whether what a manifest says of CPUs fits the rest of it (bskim_export/bundle/cpu_checks.py).
#include <algorithm>
#include <cmath>

#include "bundle/faults.hpp"

namespace bskim {
namespace {

bool is_name(const std::string& text) {
  return !text.empty() && text.size() <= 40 &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == std::string::npos;
}

void check_way(const std::vector<int>& layers, const CpuWay& way, const std::string& place) {
  require(is_name(way.backend), place + ": backend", "expected names in lower case");
  require(is_name(way.precision), place + ": precision", "expected names in lower case");
  require(std::all_of(way.needs.begin(), way.needs.end(), is_name), place + ": needs", "expected names in lower case");
  const auto check = [&](const char* name, const std::vector<int>& found) {
    std::vector<int> ordered;
    for (const int layer : layers) {
      if (std::find(found.begin(), found.end(), layer) != found.end()) ordered.push_back(layer);
    }
    require(found == ordered, place + ": " + name, "expected some of the layers " + python_repr(layers) + ", in order");
  };
  check("skim_layers", way.skim_layers);
  check("document_skim_layers", way.document_skim_layers);
  require(way.seconds > 0 && std::isfinite(way.seconds), place + ": seconds", "expected a number above 0");
}

}  // namespace

void check_cpu(const Manifest& manifest) {
  if (!manifest.cpu) return;
  const CpuChoice& choice = *manifest.cpu;
  const std::vector<int> layers = manifest.skim_layers();
  require(!choice.ways.empty(), "cpu: ways", "there is none");
  require(1 <= choice.threads && choice.threads < 1 << 20, "cpu: threads", "expected 1 or more");
  const auto check = [&](const char* name, const std::vector<double>& found) {
    const bool fit = std::all_of(found.begin(), found.end(), [](double value) { return 0 <= value && value <= 1; });
    require(fit && found.size() == layers.size(), std::string("cpu: ") + name,
            "expected one from 0 to 1 for each of the layers " + python_repr(layers));
  };
  check("thresholds", choice.thresholds);
  check("document_thresholds", choice.document_thresholds);
  for (std::size_t i = 0; i < choice.ways.size(); ++i) {
    check_way(layers, choice.ways[i], "cpu: ways[" + std::to_string(i) + "]");
  }
}

}  // namespace bskim
