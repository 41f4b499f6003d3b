// The bundle: the directory that export writes (bskim_export/bundle/bundle.py).
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "bundle/content.hpp"
#include "bundle/integrity.hpp"
#include "bundle/manifest.hpp"

namespace bskim {

class Bundle {
public:
  // Open the bundle in a directory: its manifest is checked, its seal, and every file's SHA-256; the weights
  // are read and checked in another thread. Throws BundleError with the texts of the Python package: there is no
  // bundle, it is of another format version, a field is missing, wrong or was edited, or a file is missing or damaged.
  static Bundle open(const std::filesystem::path& folder);

  const std::filesystem::path& folder() const { return folder_; }
  const Manifest& manifest() const { return manifest_; }
  const Model& model() const { return manifest_.model; }

  // The content of a file that the manifest names, checked: what was checked is what is returned. Throws BundleError.
  std::string read(const std::string& name) const;
  // The weights, which all graphs share: they stay in memory from the opening until `release_weights`, or are read
  // again. Those of the opening are checked meanwhile: nothing that was made of them may be used before
  // `require_intact`.
  std::shared_ptr<const Content> read_weights() const;
  void release_weights() const;
  // Throws BundleError: the weights that were opened are damaged.
  void require_intact() const;

  // Throws BundleError unless the files are still those that were opened; reads none of them. What was loaded before
  // and after would be of two bundles.
  void require_unchanged() const;

private:
  Bundle(std::filesystem::path named, std::filesystem::path folder, Manifest manifest);
  void check_files();
  std::shared_ptr<const Content> finish_reading() const;
  [[noreturn]] void refuse(std::string fault) const;

  std::filesystem::path named_, folder_;  // as it was asked for, and with links resolved
  Manifest manifest_;
  Stamps stamps_;
  // What is shared by copies of a bundle.
  struct Kept;
  std::shared_ptr<Kept> kept_;
};

}  // namespace bskim
