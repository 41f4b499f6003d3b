// Every backend by name (bskim_export/backends/catalogue.py).
#pragma once

#include <memory>
#include <string>

#include "backends/base.hpp"
#include "runtime/runner.hpp"

namespace bskim {

// The backend that runs what nothing better was found for, of those that this build has.
std::string default_backend();

bool is_built(const std::string& name);

// Throws InputError: there is no such backend, this build has it not, it does not compute in that precision, or so many
// threads cannot be had.
std::unique_ptr<Backend> open_backend(const BackendOptions& options);

}  // namespace bskim
