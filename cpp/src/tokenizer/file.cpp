// Reads the JSON of a tokenizer.json.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "errors.hpp"
#include "tokenizer/number.hpp"
#include "tokenizer/part.hpp"

namespace bskim::tokenizing {
namespace {

// What is right needs few levels.
constexpr std::size_t kDeepest = 100;
// The largest ones that there are have 35 MB.
constexpr std::size_t kLargest = std::size_t{128} << 20;

// What the parser says repeats bytes of the file, which may be no UTF-8.
std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return text.substr(0, 300);
}

// Builds the value. nlohmann's own would read the nearest numbers, and any depth.
class Builder {
public:
  nlohmann::json root;
  std::string error;

  bool null() { return put(nullptr); }
  bool boolean(bool value) { return put(value); }
  bool number_integer(std::int64_t value) { return put(value); }
  bool number_unsigned(std::uint64_t value) { return put(value); }
  bool number_float(double, const std::string& written) {
    const auto number = number_of(written);
    return number ? put(*number) : fail("A number is too large.");
  }
  bool string(std::string& value) { return put(std::move(value)); }
  bool binary(std::vector<std::uint8_t>&) { return fail("It has binary data."); }
  bool start_object(std::size_t) { return start(nlohmann::json::object()); }
  bool start_array(std::size_t) { return start(nlohmann::json::array()); }
  bool end_object() { return end(); }
  bool end_array() { return end(); }
  bool key(std::string& name) {
    name_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& found) {
    return fail(printable(found.what()));
  }

private:
  bool fail(std::string what) {
    error = std::move(what);
    return false;
  }
  // Where a value came to stand.
  nlohmann::json* place(nlohmann::json value) {
    if (open_.empty()) {
      root = std::move(value);
      return &root;
    }
    nlohmann::json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    nlohmann::json& child = parent[name_];
    child = std::move(value);
    return &child;
  }
  bool put(nlohmann::json value) {
    place(std::move(value));
    return true;
  }
  bool start(nlohmann::json value) {
    if (open_.size() >= kDeepest) return fail("It is nested too deeply.");
    open_.push_back(place(std::move(value)));
    return true;
  }
  bool end() {
    open_.pop_back();
    return true;
  }

  std::vector<nlohmann::json*> open_;  // what is being read, and what it stands in
  std::string name_;                   // of the next value
};

}  // namespace

File::File(std::string_view json, std::string_view where) : where_(where) {
  const auto fail = [&](const std::string& why) {
    throw BundleError("'" + where_ + "' is damaged: export the bundle again. " + why);
  };
  if (json.size() > kLargest) fail("It has more than " + std::to_string(kLargest >> 20) + " MiB.");
  Builder builder;
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &builder)) fail(builder.error);
  json_ = std::make_unique<nlohmann::json>(std::move(builder.root));
}

File::~File() = default;

Part File::root() const {
  return Part(*json_, where_, "");
}

}  // namespace bskim::tokenizing
