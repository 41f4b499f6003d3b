// Whether the parts of a manifest fit each other and the table of tensors (bskim_export/bundle/checks.py).
#pragma once

#include <string>

#include "bundle/manifest.hpp"

namespace bskim {

inline constexpr const char* WEIGHTS = "onnx/weights.bin";
inline constexpr const char* TOKENIZER = "tokenizer.json";
inline constexpr std::int64_t LARGEST = 1 << 24;  // no size of a model is larger; what is would only ask for memory

// Throws BundleError, naming file and field, unless all parts of a manifest fit each other. `where` is the file's name.
void check_manifest(const Manifest& manifest, const std::string& where);

}  // namespace bskim
