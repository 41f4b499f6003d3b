#include "backends/choose.hpp"

#include <algorithm>

#include "backends/catalogue.hpp"
#include "backends/processor.hpp"
#include "errors.hpp"
#include "joined.hpp"

namespace bskim {
namespace {

// Why a way to run on a CPU is not taken here, or "".
std::string why_not(const CpuWay& way, int threads) {
  const auto features = processor_features();
  std::vector<std::string> missing;
  for (const std::string& need : way.needs) {
    if (features.count(need) == 0) missing.push_back(need);
  }
  std::sort(missing.begin(), missing.end());
  missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
  if (!missing.empty()) return "this processor has no " + joined(missing, " or ");
  if (!is_built(way.backend)) return way.backend + " is not installed";
  try {
    open_backend({way.backend, way.precision, threads});
    return "";
  } catch (const std::exception& error) {  // whatever a library lacks here, the next one may have
    return error.what();
  }
}

// A bundle's thresholds in the order of its predictors' layers.
std::vector<double> in_order(const Manifest& manifest, const std::map<int, double>& thresholds) {
  std::vector<double> found;
  for (const int layer : manifest.skim_layers()) found.push_back(thresholds.at(layer));
  return found;
}

}  // namespace

std::pair<BackendOptions, std::string> choose_backend(const Manifest& manifest, int threads) {
  thread_count(threads);  // a number that no backend takes is the caller's error, and no reason against one
  std::vector<std::string> against;
  for (const EngineSet& engines : manifest.engines) {
    against.push_back("the bundle's engines are for " + engines.backend + " on compute capability " +
                      engines.compute_capability + ", and " + engines.backend + " is not installed");
  }
  for (const CpuWay& way : manifest.cpu ? manifest.cpu->ways : std::vector<CpuWay>{}) {
    const std::string reason = why_not(way, threads);
    if (reason.empty()) {
      against.push_back("it is the fastest that was measured of what this processor has");
      return {{way.backend, way.precision, threads}, joined(against, "; ")};
    }
    against.push_back(way.backend + " in " + way.precision + " was measured to be faster, but " + reason);
  }
  const std::string why = joined(against, "; ");
  return {{default_backend(), "fp32", threads}, why.empty() ? "the bundle holds no engines for a GPU" : why};
}

std::optional<CpuWay> measured_way(const Manifest& manifest, const BackendOptions& backend) {
  if (!manifest.cpu) return std::nullopt;
  const auto& documents = manifest.document_thresholds.empty() ? manifest.thresholds : manifest.document_thresholds;
  if (manifest.cpu->thresholds != in_order(manifest, manifest.thresholds) ||
      manifest.cpu->document_thresholds != in_order(manifest, documents)) {
    return std::nullopt;
  }
  const auto features = processor_features();
  for (const CpuWay& way : manifest.cpu->ways) {
    const bool same = way.backend == backend.name && way.precision == backend.precision;
    const bool here = std::all_of(way.needs.begin(), way.needs.end(),
                                  [&](const std::string& need) { return features.count(need) > 0; });
    if (same && here) return way;
  }
  return std::nullopt;
}

}  // namespace bskim
