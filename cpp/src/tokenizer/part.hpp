// A part of a tokenizer.json, and what is wrong with it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace bskim::tokenizing {

// One value of the file. It knows its path, for errors. The file must outlive it.
class Part {
public:
  Part(const nlohmann::json& value, const std::string& where, std::string path);

  // Throws BundleError: "'FILE': PATH: WHAT".
  [[noreturn]] void fail(const std::string& what) const;
  // The same: this library does not have it. Says what to do.
  [[noreturn]] void refuse(const std::string& what) const;

  const nlohmann::json& json() const { return *value_; }
  bool is_null() const;
  // Whether it has a value of this name, other than null.
  bool has(const char* name) const;
  Part at(const char* name) const;

  const std::string& text() const;
  std::u32string characters() const;  // the same, decoded
  bool boolean() const;
  double number() const;
  std::int64_t integer(std::int64_t first, std::int64_t last) const;
  std::vector<Part> items() const;

  // What boolean(), text() or items() of this name give, and what there is without one.
  bool boolean(const char* name, bool otherwise) const;
  // The kind of a component.
  const std::string& kind() const;
  // Refuse settings of other names: what they are for is not known.
  void only(std::initializer_list<const char*> names) const;
  // Refuse a component of more values than any has: each step of it takes time for every text.
  void limit() const;
  // Refuse a setting that is on.
  void refuse_true(const char* name) const;
  void refuse_present(const char* name) const;  // neither null nor an empty text

private:
  Part member(const nlohmann::json& value, const std::string& name) const;

  const nlohmann::json* value_;
  const std::string* where_;
  std::string path_;
};

// Read a file. Throws BundleError if it is no JSON, or nested too deeply.
class File {
public:
  File(std::string_view json, std::string_view where);
  ~File();
  Part root() const;

private:
  std::string where_;
  std::unique_ptr<nlohmann::json> json_;
};

// A text of the file as errors show it: its beginning, in quotation marks, without control characters.
std::string shown(std::string_view text);

// An id that a token may have.
std::int32_t token_id(const Part& part);

}  // namespace bskim::tokenizing
