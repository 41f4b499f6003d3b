// When a window leaves the batch (bskim_export/runtime/leaving.py).
#pragma once

#include <cstddef>

#include "runtime/runner.hpp"

namespace bskim {

// Whether a window may: a protected block must stay.
inline bool may_leave(const Task& task) {
  return task.window->may_leave && !task.protected_block;
}

// Whether it does: it may, and every block that is judged was refused. `judged_blocks` are those that it began with,
// `remaining` those that are left.
inline bool leaves(bool may_leave, std::size_t judged_blocks, std::size_t remaining) {
  return may_leave && judged_blocks > 0 && remaining == 0;
}

}  // namespace bskim
