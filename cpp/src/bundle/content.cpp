#include "bundle/content.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <system_error>

namespace bskim {
namespace {

struct File {
  int number;
  ~File() { ::close(number); }
};

[[noreturn]] void fail() {
  throw std::system_error(errno, std::generic_category());
}

}  // namespace

Content::Content(std::size_t room) : room_(std::max<std::size_t>(1, room)) {
  void* memory = ::mmap(nullptr, room_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  ::madvise(memory, room_, MADV_HUGEPAGE);  // a wish
  data_ = static_cast<char*>(memory);
}

Content::~Content() {
  ::munmap(data_, room_);
}

std::shared_ptr<const Content> Content::read(const std::filesystem::path& path) {
  const int opened = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (opened < 0) fail();
  const File file{opened};
  struct stat found {};
  if (::fstat(file.number, &found) != 0) fail();
  const std::shared_ptr<Content> content(new Content(static_cast<std::size_t>(found.st_size)));
  while (content->size_ < content->room_) {
    const ssize_t count = ::read(file.number, content->data_ + content->size_, content->room_ - content->size_);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail();
    if (count == 0) break;
    content->size_ += static_cast<std::size_t>(count);
  }
  return content;
}

}  // namespace bskim
