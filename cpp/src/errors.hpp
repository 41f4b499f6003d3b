// What goes wrong, with the names and the texts that the Python package uses (bskim_export/errors.py).
#pragma once

#include "bskim/bskim.hpp"

namespace bskim {

// A context has no words.
class NoWordsError : public InputError {
public:
  using InputError::InputError;
};

// A pipeline that was opened before a fork cannot run in the child.
class ForkError : public Error {
public:
  using Error::Error;
};

}  // namespace bskim
