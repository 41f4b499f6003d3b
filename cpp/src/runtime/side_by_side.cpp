#include "runtime/side_by_side.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace bskim {
namespace {

// Threads that are waited for, whatever happens.
class Threads {
public:
  ~Threads() {
    for (std::thread& one : threads_) one.join();
  }

  // Whether there is one more.
  bool start(const std::function<void()>& work) {
    try {
      threads_.emplace_back(work);
      return true;
    } catch (const std::system_error&) {  // the system has no more: those that are there do the work
      return false;
    }
  }

private:
  std::vector<std::thread> threads_;
};

}  // namespace

void side_by_side(std::size_t threads, std::size_t count, const std::function<void(std::size_t)>& run) {
  std::atomic<std::size_t> next{0};
  std::exception_ptr error;
  std::mutex writing;
  const std::function<void()> work = [&] {
    for (std::size_t i = next++; i < count; i = next++) {
      try {
        run(i);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(writing);
        if (!error) error = std::current_exception();
        next = count;
      }
    }
  };
  {
    Threads others;
    for (std::size_t i = 1; i < std::min(threads, count) && others.start(work); ++i) {
    }
    work();
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace bskim
