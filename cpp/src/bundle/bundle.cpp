#include "bundle/bundle.hpp"

#include <future>
#include <mutex>
#include <new>
#include <system_error>

#include "bundle/checks.hpp"
#include "bundle/manifest_file.hpp"
#include "errors.hpp"

namespace bskim {
namespace {

namespace fs = std::filesystem;

constexpr const char* MANIFEST = "manifest.json";

std::string replaced(const fs::path& folder) {
  return "The bundle '" + folder.string() +
         "' was replaced or changed after it was opened. Start again with what is there.";
}

std::string damaged(const fs::path& path) {
  return "'" + path.string() + "' is damaged: its SHA-256 differs from the manifest's.";
}

// What `get` reads of a file. Throws BundleError: it cannot be read.
template <typename Get>
auto read_or_say(const fs::path& path, Get get) {
  try {
    return get(path);
  } catch (const std::system_error& error) {
    throw BundleError("'" + path.string() + "' cannot be read (" + error.code().message() + "). " + RECOPY);
  } catch (const std::bad_alloc&) {
    throw BundleError("'" + path.string() + "' cannot be read: there is not enough memory.");
  }
}

// Read and check the manifest in `folder`, which errors call `named`.
Manifest read_manifest(const fs::path& folder, const fs::path& named) {
  const std::string where = (named / MANIFEST).string();
  const auto content = read_small(folder / MANIFEST, LARGEST_MANIFEST);
  if (!content) {
    throw BundleError("'" + named.string() + "' is not a bundle: it has no " + MANIFEST +
                      ". Create one with: bskim-export MODEL --out " + named.string());
  }
  try {
    const Json raw = decode(*content, where);
    Manifest manifest = parse_manifest(raw, where);
    check_manifest(manifest, where);
    require_seal(raw, where);
    return manifest;
  } catch (const std::bad_alloc&) {
    throw BundleError("'" + where + "' cannot be read: there is not enough memory.");
  }
}

// The directory with links resolved: where a link leads may change while the bundle is open.
fs::path resolve(const fs::path& folder) {
  const std::string name = folder.string();
  if (name.find('\0') != std::string::npos) {
    throw BundleError("'" + name.substr(0, name.find('\0')) + "' cannot be opened: embedded null byte");
  }
  std::error_code error;
  fs::path resolved = fs::weakly_canonical(folder, error);
  if (error == std::errc::too_many_symbolic_link_levels) {
    throw BundleError("'" + name.substr(0, 200) + "' cannot be opened: " + error.message());
  }
  return error ? folder : resolved;  // why it cannot be read shows when it is
}

// Without the slashes at the end, as Python's Path has it.
fs::path tidy(const fs::path& folder) {
  std::string name = folder.string();
  while (name.size() > 1 && name.back() == '/') name.pop_back();
  return name.empty() ? "." : name;
}

}  // namespace

struct Bundle::Kept {
  std::mutex changing;
  std::shared_ptr<const Content> weights;
  std::shared_future<std::shared_ptr<const Content>> reading;  // those of the opening
  std::shared_future<bool> intact;
};

// Stamped before files are read: a change shows.
Bundle::Bundle(fs::path named, fs::path folder, Manifest manifest)
    : named_(std::move(named)),
      folder_(std::move(folder)),
      manifest_(std::move(manifest)),
      stamps_(stamp_files(folder_, manifest_.files)),
      kept_(std::make_shared<Kept>()) {}

Bundle Bundle::open(const fs::path& folder) {
  const fs::path named = tidy(folder);
  const fs::path resolved = resolve(named);
  Bundle bundle(named, resolved, read_manifest(resolved, named));
  bundle.check_files();
  return bundle;
}

std::string Bundle::read(const std::string& name) const {
  const fs::path path = folder_ / name;
  std::string content = read_or_say(path, read_whole);
  const auto digest = manifest_.files.find(name);
  if (digest == manifest_.files.end()) throw BundleError("'" + name + "' is no file of a bundle.");
  if (hash_text(content) != digest->second) throw BundleError(damaged(path) + " " + RECOPY);
  return content;
}

std::shared_ptr<const Content> Bundle::read_weights() const {
  const std::lock_guard<std::mutex> lock(kept_->changing);
  if (kept_->weights) return kept_->weights;
  if (kept_->reading.valid()) {
    kept_->weights = finish_reading();
    return kept_->weights;
  }
  const fs::path path = folder_ / WEIGHTS;
  auto weights = read_or_say(path, Content::read);
  if (hash_text(weights->view()) != manifest_.files.at(WEIGHTS)) throw BundleError(damaged(path) + " " + RECOPY);
  kept_->weights = std::move(weights);
  return kept_->weights;
}

void Bundle::release_weights() const {
  const std::lock_guard<std::mutex> lock(kept_->changing);
  kept_->weights.reset();
  kept_->reading = {};
}

void Bundle::require_unchanged() const {
  if (stamp_files(folder_, manifest_.files) != stamps_) throw BundleError(replaced(folder_));
}

void Bundle::require_intact() const {
  if (!kept_->intact.get()) refuse(damaged(named_ / WEIGHTS));
}

void Bundle::check_files() {
  if (const auto fault = find_fault(folder_, manifest_.files, WEIGHTS)) refuse(*fault);
  // Weights are read and checked while the tokenizer and the graphs are made.
  auto promise = std::make_shared<std::promise<std::shared_ptr<const Content>>>();
  kept_->reading = promise->get_future().share();
  auto check = [promise, path = folder_ / WEIGHTS, digest = manifest_.files.at(WEIGHTS)]() mutable {
    const auto own = std::move(promise);  // the future keeps this function, which must not keep the weights
    try {
      const auto weights = Content::read(path);
      own->set_value(weights);
      return hash_text(weights->view()) == digest;
    } catch (...) {
      own->set_exception(std::current_exception());
      return true;  // whoever takes the weights gets the reason
    }
  };
  promise.reset();
  try {
    kept_->intact = std::async(std::launch::async, check).share();
  } catch (const std::system_error&) {  // no thread is to be had
    kept_->intact = std::async(std::launch::deferred, check).share();
    kept_->intact.wait();
  }
}

std::shared_ptr<const Content> Bundle::finish_reading() const {
  try {
    return kept_->reading.get();
  } catch (const std::system_error& error) {
    refuse("'" + (named_ / WEIGHTS).string() + "' cannot be read (" + error.code().message() + ").");
  } catch (const std::bad_alloc&) {
    throw BundleError("'" + (named_ / WEIGHTS).string() + "' cannot be read: there is not enough memory.");
  }
}

void Bundle::refuse(std::string fault) const {
  // If another bundle took its place, that is why.
  if (read_manifest(folder_, folder_).files != manifest_.files) throw BundleError(replaced(folder_));
  if (const auto at = fault.find(folder_.string()); at != std::string::npos) {
    fault.replace(at, folder_.string().size(), named_.string());
  }
  throw BundleError(fault + " " + RECOPY);
}

}  // namespace bskim
