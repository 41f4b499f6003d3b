// Work shared out among threads.
#pragma once

#include <cstddef>
#include <functional>

namespace bskim {

// Call `run` with 0 to `count` - 1 from `threads` threads, this one among them. Throws what the first call that failed
// threw; calls that had not begun by then are left out.
void side_by_side(std::size_t threads, std::size_t count, const std::function<void(std::size_t)>& run);

}  // namespace bskim
