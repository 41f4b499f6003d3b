// Any bytes as manifest.json: a manifest whose parts fit each other, or an error of ours.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "bskim/bskim.hpp"
#include "bundle/checks.hpp"
#include "bundle/manifest_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view content(reinterpret_cast<const char*>(data), size);
  try {
    const bskim::Json raw = bskim::decode(content, "manifest.json");
    // Hardly an input has a seal that fits: each check gets what the one before refused.
    try {
      bskim::require_seal(raw, "manifest.json");
    } catch (const bskim::BundleError&) {
    }
    const bskim::Manifest manifest = bskim::parse_manifest(raw, "manifest.json");
    bskim::check_manifest(manifest, "manifest.json");
    manifest.skim_layers();
    manifest.graphs();
    manifest.graphs_alone();
  } catch (const bskim::Error&) {
  }
  return 0;
}
