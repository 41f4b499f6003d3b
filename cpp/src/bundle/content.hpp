// The bytes of a large file in memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string_view>

namespace bskim {

// Memory of large pages where the system has them: of small ones, touching each for the first time takes longer than
// reading the file.
class Content {
public:
  // Throws std::system_error, or std::bad_alloc.
  static std::shared_ptr<const Content> read(const std::filesystem::path& path);
  ~Content();
  Content(const Content&) = delete;
  Content& operator=(const Content&) = delete;

  const char* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::string_view view() const { return {data_, size_}; }

private:
  explicit Content(std::size_t room);

  char* data_ = nullptr;
  std::size_t size_ = 0, room_ = 0;
};

}  // namespace bskim
