// OpenVINO on the CPU. In bf16, where the processor has it, the fastest of the backends there
// (bskim_export/backends/openvino.py).
#pragma once

#include <memory>
#include <string>

#include "backends/base.hpp"

namespace bskim {

// Left to itself, OpenVINO computes in bf16 wherever the processor has it; here it has to be asked for: `precision` is
// "fp32" or "bf16". Throws InputError: so many threads cannot be had, or this processor does not compute in bf16.
std::unique_ptr<Backend> make_openvino(int threads, const std::string& precision);

}  // namespace bskim
