// JSON as Python's json module reads and writes it: what the seal of a manifest is made over.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bskim {

// One value. Objects keep the order of the file, and integers their digits: no type of C++ holds all that may stand
// there.
struct Json {
  enum class Kind { null, boolean, integer, number, text, list, object };

  Kind kind = Kind::null;
  bool boolean = false;
  double number = 0;
  std::string text;  // of a text, or the digits of an integer
  std::vector<Json> items;
  std::vector<std::pair<std::string, Json>> members;

  const Json* find(std::string_view name) const;  // null if there is none
};

// A text is not JSON; says where and why.
class JsonError : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

// Read a text. Throws JsonError: it is no JSON or no UTF-8, a name stands twice in one object, it has NaN or infinity,
// or it is nested deeper, or of more values, than anything that is meant to be read.
Json parse_json(std::string_view text);

// What json.dumps(value, sort_keys=True) gives in Python, in ASCII.
std::string python_dumps(const Json& value);

// What repr(value) gives in Python.
std::string python_repr(const Json& value);
std::string python_repr(double value);
std::string python_repr(std::string_view text);

// The same of a list of texts or of integers.
std::string python_repr(const std::vector<std::string>& texts);
std::string python_repr(const std::vector<int>& numbers);

// The first code points of a text in UTF-8.
std::string first_characters(std::string_view text, std::size_t count);

}  // namespace bskim
