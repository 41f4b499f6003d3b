#include "tokenizer/part.hpp"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "errors.hpp"
#include "text.hpp"

namespace bskim::tokenizing {
namespace {

constexpr std::size_t kMostValues = 2000;  // of a component
constexpr std::size_t kMostShown = 60;

std::size_t count(const nlohmann::json& value) {
  std::size_t sum = 1;
  if (value.is_structured()) {
    for (const auto& item : value) sum += count(item);
  }
  return sum;
}

}  // namespace

std::string shown(std::string_view text) {
  std::size_t end = std::min(text.size(), kMostShown);
  while (end < text.size() && end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  std::string out = "'";
  for (const char c : text.substr(0, end)) out.push_back(static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c);
  return out + (end < text.size() ? "...'" : "'");
}

Part::Part(const nlohmann::json& value, const std::string& where, std::string path)
    : value_(&value), where_(&where), path_(std::move(path)) {}

void Part::fail(const std::string& what) const {
  throw BundleError("'" + *where_ + "': " + (path_.empty() ? "" : path_ + ": ") + what);
}

void Part::refuse(const std::string& what) const {
  fail("this library does not know " + what + ". Use the Python package for it, or another tokenizer.");
}

bool Part::is_null() const {
  return value_->is_null();
}

bool Part::has(const char* name) const {
  if (!value_->is_object()) fail("it must be an object. The file is damaged: export the bundle again.");
  const auto found = value_->find(name);
  return found != value_->end() && !found->is_null();
}

Part Part::at(const char* name) const {
  if (!has(name)) fail(shown(name) + " is missing. The file is damaged: export the bundle again.");
  return member(*value_->find(name), name);
}

Part Part::member(const nlohmann::json& value, const std::string& name) const {
  const std::string quoted = shown(name);
  return Part(value, *where_, (path_.empty() ? "" : path_ + ".") + quoted.substr(1, quoted.size() - 2));
}

const std::string& Part::text() const {
  if (!value_->is_string()) fail("it must be a text. The file is damaged: export the bundle again.");
  return value_->get_ref<const std::string&>();
}

std::u32string Part::characters() const {
  return decode_utf8(text(), path_);
}

bool Part::boolean() const {
  if (!value_->is_boolean()) fail("it must be true or false. The file is damaged: export the bundle again.");
  return value_->get<bool>();
}

double Part::number() const {
  if (!value_->is_number()) fail("it must be a number. The file is damaged: export the bundle again.");
  return value_->get<double>();
}

std::int64_t Part::integer(std::int64_t first, std::int64_t last) const {
  const bool fits =
      value_->is_number_integer() &&
      (!value_->is_number_unsigned() ||
       value_->get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
  if (!fits || value_->get<std::int64_t>() < first || value_->get<std::int64_t>() > last) {
    fail("it must be an integer from " + std::to_string(first) + " to " + std::to_string(last) +
         ". The file is damaged: export the bundle again.");
  }
  return value_->get<std::int64_t>();
}

std::vector<Part> Part::items() const {
  if (!value_->is_array()) fail("it must be a list. The file is damaged: export the bundle again.");
  std::vector<Part> items;
  items.reserve(value_->size());
  std::size_t i = 0;
  for (const auto& item : *value_) items.push_back(Part(item, *where_, path_ + "[" + std::to_string(i++) + "]"));
  return items;
}

bool Part::boolean(const char* name, bool otherwise) const {
  return has(name) ? at(name).boolean() : otherwise;
}

const std::string& Part::kind() const {
  has("type");
  return member(at("type").json(), "type").text();
}

void Part::only(std::initializer_list<const char*> names) const {
  for (const auto& item : value_->items()) {
    const bool known = std::any_of(names.begin(), names.end(), [&](const char* n) { return item.key() == n; });
    if (!known) refuse("the setting " + shown(item.key()));
  }
}

void Part::limit() const {
  if (count(*value_) > kMostValues) fail("it has too many parts. Use another tokenizer.");
}

void Part::refuse_true(const char* name) const {
  if (boolean(name, false)) refuse("'" + std::string(name) + "'");
}

void Part::refuse_present(const char* name) const {
  if (has(name) && !(value_->find(name)->is_string() && at(name).text().empty())) {
    refuse("'" + std::string(name) + "'");
  }
}

std::int32_t token_id(const Part& part) {
  return static_cast<std::int32_t>(part.integer(0, std::numeric_limits<std::int32_t>::max()));
}

}  // namespace bskim::tokenizing
