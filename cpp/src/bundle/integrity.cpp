#include "bundle/integrity.hpp"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <functional>
#include <memory>
#include <system_error>
#include <vector>

#include "errors.hpp"

namespace bskim {
namespace {

// The SHA-256 of what is added to it.
class Digest {
public:
  Digest() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    require(EVP_DigestInit_ex(context(), EVP_sha256(), nullptr));
  }

  void add(const char* data, std::size_t size) { require(EVP_DigestUpdate(context(), data, size)); }

  std::string hexadecimal() {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    require(EVP_DigestFinal_ex(context(), bytes, &size));
    std::string text;
    for (unsigned int i = 0; i < size; ++i) {
      text += "0123456789abcdef"[bytes[i] >> 4];
      text += "0123456789abcdef"[bytes[i] & 15];
    }
    return text;
  }

private:
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;

  EVP_MD_CTX* context() const { return context_.get(); }
  static void require(int done) {
    if (done != 1) throw Error("OpenSSL cannot compute a SHA-256.");
  }
};

[[noreturn]] void fail(int error) {
  throw std::system_error(error, std::generic_category());
}

// Give the content of a file to a function, part by part; its size as it was when it was opened comes first.
void read_parts(const std::filesystem::path& path, const std::function<void(std::size_t)>& begin,
                const std::function<void(const char*, std::size_t)>& take) {
  struct File {
    int number;
    ~File() { ::close(number); }
  };
  const int opened = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (opened < 0) fail(errno);
  const File file{opened};
  struct stat found {};
  if (::fstat(file.number, &found) != 0) fail(errno);
  if (S_ISDIR(found.st_mode)) fail(EISDIR);
  begin(static_cast<std::size_t>(found.st_size));
  std::vector<char> buffer(1 << 18);
  for (;;) {
    const ssize_t count = ::read(file.number, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(errno);
    if (count == 0) return;
    take(buffer.data(), static_cast<std::size_t>(count));
  }
}

std::string hash_file(const std::filesystem::path& path) {
  Digest digest;
  read_parts(
      path, [](std::size_t) {}, [&](const char* data, std::size_t size) { digest.add(data, size); });
  return digest.hexadecimal();
}

std::string reason(int error) {
  return std::generic_category().message(error);
}

}  // namespace

std::string hash_text(std::string_view text) {
  Digest digest;
  digest.add(text.data(), text.size());
  return digest.hexadecimal();
}

std::string read_whole(const std::filesystem::path& path) {
  std::string content;
  read_parts(
      path, [&](std::size_t size) { content.reserve(size); },
      [&](const char* data, std::size_t size) { content.append(data, size); });
  return content;
}

std::optional<std::string> find_fault(const std::filesystem::path& folder,
                                      const std::map<std::string, std::string>& files, const std::string& later) {
  for (const auto& [name, digest] : files) {
    const std::string path = (folder / name).string();
    try {
      struct stat found {};
      if (::stat(path.c_str(), &found) != 0) fail(errno);
      // Reading a device or a pipe might never end.
      if (!S_ISREG(found.st_mode)) return "'" + path + "' is not a regular file.";
      if (name == later || hash_file(path) == digest) continue;
      return "'" + path + "' is damaged: its SHA-256 differs from the manifest's.";
    } catch (const std::system_error& error) {
      if (error.code().value() == ENOENT) {
        return "The bundle '" + folder.string() + "' is incomplete: '" + name + "' is missing.";
      }
      return "'" + path + "' cannot be read (" + reason(error.code().value()) + ").";
    }
  }
  return std::nullopt;
}

Stamps stamp_files(const std::filesystem::path& folder, const std::map<std::string, std::string>& files) {
  Stamps stamps;
  for (const auto& entry : files) {
    struct stat found {};
    if (::stat((folder / entry.first).c_str(), &found) != 0) continue;  // `find_fault` says which and why
    stamps[entry.first] = {static_cast<std::int64_t>(found.st_dev), static_cast<std::int64_t>(found.st_ino),
                           static_cast<std::int64_t>(found.st_size), static_cast<std::int64_t>(found.st_mtim.tv_sec),
                           static_cast<std::int64_t>(found.st_mtim.tv_nsec)};
  }
  return stamps;
}

std::optional<std::string> read_small(const std::filesystem::path& path, std::size_t limit) {
  const std::string name = "'" + path.string() + "'";
  try {
    struct stat found {};
    if (::stat(path.c_str(), &found) != 0) fail(errno);
    if (!S_ISREG(found.st_mode)) throw BundleError(name + " is not a regular file. " + RECOPY);
    if (static_cast<std::size_t>(found.st_size) > limit) {
      const auto millions = std::to_string(std::lround(static_cast<double>(limit) / 1e6));
      throw BundleError(name + " is larger than " + millions + " MB, which none is. " + RECOPY);
    }
    return read_whole(path);
  } catch (const std::system_error& error) {
    const int number = error.code().value();
    if (number == ENOENT || number == ENOTDIR) return std::nullopt;
    throw BundleError(name + " cannot be read (" + reason(number) + "). " + RECOPY);
  }
}

}  // namespace bskim
