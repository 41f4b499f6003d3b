// ONNX Runtime on the CPU: the embedded default (bskim_export/backends/onnxruntime.py).
#pragma once

#include <memory>

#include "backends/base.hpp"

namespace bskim {

// Throws InputError: so many threads cannot be had, or the library that is loaded is older than this build needs.
std::unique_ptr<Backend> make_onnxruntime(int threads);

}  // namespace bskim
