#include "runtime/opening.hpp"

#include <algorithm>
#include <vector>

#include "backends/choose.hpp"
#include "errors.hpp"

namespace bskim {
namespace {

Policy make_policy(const std::map<int, double>& thresholds) {
  Policy policy;
  for (const auto& [layer, threshold] : thresholds) policy.thresholds[layer] = static_cast<float>(threshold);
  return policy;
}

void keep_only(Policy& policy, const std::vector<int>& layers) {
  for (auto& [layer, threshold] : policy.thresholds) {
    if (std::find(layers.begin(), layers.end(), layer) == layers.end()) threshold = 0;
  }
}

}  // namespace

std::pair<BackendOptions, std::string> find_backend(const Manifest& manifest, const PipelineOptions& options) {
  if (!options.backend.empty()) {
    return {{options.backend, options.precision, options.threads}, "it was asked for"};
  }
  if (options.precision != "fp32") {
    throw InputError("Name the backend that computes in " + options.precision + ", as in backend='openvino'.");
  }
  return choose_backend(manifest, options.threads);
}

Policies make_policies(const Manifest& manifest, const BackendOptions& backend, std::optional<double> threshold) {
  if (threshold) {
    Policy same;
    for (const int layer : manifest.skim_layers()) same.thresholds[layer] = static_cast<float>(*threshold);
    return {same, same};
  }
  Policies own{make_policy(manifest.thresholds), {}};
  own.documents = manifest.document_thresholds.empty() ? own.single : make_policy(manifest.document_thresholds);
  if (const auto way = measured_way(manifest, backend)) {
    keep_only(own.single, way->skim_layers);
    keep_only(own.documents, way->document_skim_layers);
  }
  return own;
}

}  // namespace bskim
