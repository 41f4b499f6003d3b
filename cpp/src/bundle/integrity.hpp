// Whether the files of a bundle are those that export wrote, now and while it is open
// (bskim_export/bundle/integrity.py).
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace bskim {

inline constexpr const char* RECOPY = "Copy the whole directory again, or export the model again.";

// Of each file, what changes when another takes its place: device, inode, size, seconds and nanoseconds of the last
// write.
using Stamps = std::map<std::string, std::array<std::int64_t, 5>>;

// SHA-256 in hexadecimal.
std::string hash_text(std::string_view text);

// What is wrong with the first file that is not as it was written. Of the file named `later`, only whether it is there:
// its content is checked where it is read.
std::optional<std::string> find_fault(const std::filesystem::path& folder,
                                      const std::map<std::string, std::string>& files, const std::string& later);

Stamps stamp_files(const std::filesystem::path& folder, const std::map<std::string, std::string>& files);

// The content of a file of at most `limit` bytes; none if there is no such file. Throws BundleError: it is larger, is
// no regular file, or cannot be read.
std::optional<std::string> read_small(const std::filesystem::path& path, std::size_t limit);

// The content of a file. Throws std::system_error.
std::string read_whole(const std::filesystem::path& path);

}  // namespace bskim
