#include "bundle/manifest_file.hpp"

#include "bundle/integrity.hpp"
#include "errors.hpp"

namespace bskim {
namespace {

constexpr const char* EDITED =
    "Only 'thresholds' and 'document_thresholds' may be edited by hand. Copy the file again, or export the model "
    "again.";

bool is_sealed(const std::string& name) {
  return name != "thresholds" && name != "document_thresholds" && name != "seal";
}

}  // namespace

Json decode(std::string_view content, const std::string& where) {
  Json raw;
  try {
    raw = parse_json(content);
  } catch (const JsonError& error) {
    throw BundleError("'" + where + "' is not valid JSON (" + error.what() + "). " + REBUILD);
  }
  const Json* version = raw.kind == Json::Kind::object ? raw.find("format_version") : nullptr;
  if (version == nullptr || version->kind != Json::Kind::integer || version->text != std::to_string(FORMAT_VERSION)) {
    std::string shown = "missing";
    if (version != nullptr && version->kind == Json::Kind::text) {
      shown = version->text;
    } else if (version != nullptr && version->kind != Json::Kind::null) {
      shown = python_repr(*version);
    }
    throw BundleError("'" + where + "': format_version is " + first_characters(shown, 40) + "; this release reads " +
                      std::to_string(FORMAT_VERSION) + ". " + REBUILD);
  }
  const Json* split = raw.find("split");
  if (split != nullptr && split->kind != Json::Kind::null) {
    throw BundleError("'" + where +
                      "': its model is split, to answer from prepared documents. This library does not; "
                      "bskim-export in Python does.");
  }
  return raw;
}

// The seal is no signature, and protects from accidents only: a field of the right type and range that an editor or a
// bad copy changed would give wrong answers in silence.
void require_seal(const Json& raw, const std::string& where) {
  Json sealed;
  sealed.kind = Json::Kind::object;
  for (const auto& member : raw.members) {
    if (is_sealed(member.first)) sealed.members.push_back(member);
  }
  const Json* seal = raw.find("seal");
  if (seal == nullptr || seal->kind != Json::Kind::text || seal->text != hash_text(python_dumps(sealed))) {
    throw BundleError("'" + where + "' was changed after export: its seal does not fit its fields. " + EDITED);
  }
}

}  // namespace bskim
