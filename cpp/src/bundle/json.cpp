#include "bundle/json.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace bskim {
namespace {

constexpr std::size_t DEEPEST = 500;
constexpr std::size_t MOST_VALUES = 1 << 20;  // a manifest has some ten thousand

// Builds the value. nlohmann's own would lose the digits of large integers, names that stand twice, and the order.
class Builder {
public:
  Json root;
  std::string error;

  bool null() { return put({}); }
  bool boolean(bool value) {
    Json made;
    made.kind = Json::Kind::boolean;
    made.boolean = value;
    return put(std::move(made));
  }
  bool number_integer(std::int64_t value) { return put_integer(std::to_string(value)); }
  bool number_unsigned(std::uint64_t value) { return put_integer(std::to_string(value)); }
  bool number_float(double value, const std::string& written) {
    if (written.find_first_of(".eE") == std::string::npos) return put_integer(written);  // beyond 64 bits
    Json made;
    made.kind = Json::Kind::number;
    made.number = value;
    return put(std::move(made));
  }
  bool string(std::string& value) {
    Json made;
    made.kind = Json::Kind::text;
    made.text = std::move(value);
    return put(std::move(made));
  }
  bool binary(std::vector<std::uint8_t>&) { return fail("binary data"); }
  bool start_object(std::size_t) { return start(Json::Kind::object); }
  bool start_array(std::size_t) { return start(Json::Kind::list); }
  bool key(std::string& name) {
    names_.back() = std::move(name);
    return true;
  }
  bool end_array() { return end(); }
  bool end_object() {
    // Sorted, not looked up one by one: an object may have a million names.
    std::vector<std::string_view> names;
    for (const auto& member : open_.back().members) names.push_back(member.first);
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end()) {
      return fail("the name " + python_repr(first_characters(*twice, 40)) + " stands twice in one object");
    }
    return end();
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& found) {
    std::string said = found.what();
    if (const auto after = said.find("] "); after != std::string::npos) said.erase(0, after + 2);
    // It repeats what it read, which may be no UTF-8.
    std::replace_if(
        said.begin(), said.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return fail(said);
  }

private:
  std::vector<Json> open_;
  std::vector<std::string> names_;
  std::size_t count_ = 0;

  bool fail(const std::string& what) {
    error = what;
    return false;
  }
  bool put_integer(std::string digits) {
    Json made;
    made.kind = Json::Kind::integer;
    made.text = std::move(digits);
    return put(std::move(made));
  }
  bool start(Json::Kind kind) {
    if (open_.size() >= DEEPEST) return fail("it is nested too deeply");
    Json made;
    made.kind = kind;
    open_.push_back(std::move(made));
    names_.emplace_back();
    return true;
  }
  bool end() {
    Json made = std::move(open_.back());
    open_.pop_back();
    names_.pop_back();
    return put(std::move(made));
  }
  bool put(Json value) {
    if (++count_ > MOST_VALUES) return fail("it has more than " + std::to_string(MOST_VALUES) + " values");
    if (open_.empty()) {
      root = std::move(value);
    } else if (open_.back().kind == Json::Kind::list) {
      open_.back().items.push_back(std::move(value));
    } else {
      open_.back().members.emplace_back(std::move(names_.back()), std::move(value));
    }
    return true;
  }
};

}  // namespace

const Json* Json::find(std::string_view name) const {
  for (const auto& member : members) {
    if (member.first == name) return &member.second;
  }
  return nullptr;
}

Json parse_json(std::string_view text) {
  Builder builder;
  if (!nlohmann::json::sax_parse(text, &builder)) throw JsonError(builder.error);
  return std::move(builder.root);
}

std::string first_characters(std::string_view text, std::size_t count) {
  std::size_t end = 0;
  for (; end < text.size(); ++end) {
    const bool begins = (static_cast<unsigned char>(text[end]) & 0xC0) != 0x80;
    if (begins && count-- == 0) break;
  }
  return std::string(text.substr(0, end));
}

}  // namespace bskim
