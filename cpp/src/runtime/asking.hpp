// Many questions, or one of many windows: some batches at a time, so that memory is bounded by a part of them
// (bskim_export/runtime/asking.py).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "runtime/answering.hpp"
#include "runtime/asked.hpp"

namespace bskim {

constexpr std::size_t TOGETHER = 64;  // batches of windows that are cut, run and answered together

// A question, or the error that it met, in its place.
struct Done {
  std::unique_ptr<Asked> asked;  // null: an error
  std::string error;
};

// Run `count` questions, and give each to `take` when it is done, in order. `make` is called for each as it is needed,
// some batches ahead; the InputError that it throws is the question's.
void ask_all(const Answerer& answerer, std::size_t count,
             const std::function<std::unique_ptr<Asked>(std::size_t)>& make,
             const std::function<void(std::size_t, const Done&)>& take);

}  // namespace bskim
