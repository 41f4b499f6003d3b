// manifest.json, read with its types checked (bskim_export/bundle/manifest_file.py).
//
// Reading is total: whatever stands in the file, the result is a Manifest or a BundleError that names file and field.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "bundle/json.hpp"
#include "bundle/manifest.hpp"

namespace bskim {

inline constexpr int FORMAT_VERSION = 2;
inline constexpr std::size_t LARGEST_MANIFEST = 1 << 24;  // bytes; that of a BERT-large has 70 thousand
inline constexpr const char* REBUILD = "Export the model again with this version of bskim-export.";

// Throws BundleError: it is no JSON, or of another format version. `where` is the file's name, for errors.
Json decode(std::string_view content, const std::string& where);

// Throws BundleError: a field is missing or of another type.
Manifest parse_manifest(const Json& raw, const std::string& where);

// Throws BundleError unless all but the thresholds is as export wrote it.
void require_seal(const Json& raw, const std::string& where);

}  // namespace bskim
