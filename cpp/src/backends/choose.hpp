// Chooses what runs a bundle on this machine, and says why (bskim_export/backends/choose.py).
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "bundle/manifest.hpp"
#include "runtime/runner.hpp"

namespace bskim {

// The backend that runs a bundle best here, and why, in one sentence: the first of the ways that `bskim-export --for
// cpu` measured, if this processor has what made it fast; else ONNX Runtime. `threads`: see BackendOptions.
std::pair<BackendOptions, std::string> choose_backend(const Manifest& manifest, int threads);

// How a backend was measured to run a bundle best, if it was, at the thresholds that the bundle has and on a processor
// like this one.
std::optional<CpuWay> measured_way(const Manifest& manifest, const BackendOptions& backend);

}  // namespace bskim
