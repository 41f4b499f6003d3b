// What a pipeline opens: the backend that runs its graphs, and its thresholds (bskim_export/runtime/opening.py).
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "bskim/bskim.hpp"
#include "bundle/manifest.hpp"
#include "runtime/answering.hpp"
#include "runtime/runner.hpp"

namespace bskim {

// The backend that runs a bundle, and why it is that one. Throws InputError if a precision is asked for, but no
// backend.
std::pair<BackendOptions, std::string> find_backend(const Manifest& manifest, const PipelineOptions& options);

// Which blocks stay: by one threshold for all layers, or by the bundle's own. Of the bundle's own, those are 0 whose
// predictors were measured to cost more time on this backend than they save.
Policies make_policies(const Manifest& manifest, const BackendOptions& backend, std::optional<double> threshold);

}  // namespace bskim
