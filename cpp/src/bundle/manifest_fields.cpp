// The types of manifest.json's fields, one after the other, as bskim_export/bundle/manifest.py declares them.
#include <cmath>
#include <cstdlib>
#include <functional>
#include <limits>
#include <set>

#include "bundle/faults.hpp"
#include "bundle/manifest_file.hpp"
#include "errors.hpp"
#include "joined.hpp"

namespace bskim {
namespace {

using Kind = Json::Kind;

void expect(const Json& value, Kind kind, const char* name, const std::string& where) {
  if (value.kind != kind) {
    throw BundleError(where + ": expected " + name + ", found " + shorten(python_repr(value), 80) + ". " + REBUILD);
  }
}

const char* type_name(const Json& value) {
  switch (value.kind) {
    case Kind::null:
      return "NoneType";
    case Kind::boolean:
      return "bool";
    case Kind::integer:
      return "int";
    case Kind::number:
      return "float";
    case Kind::text:
      return "str";
    case Kind::list:
      return "list";
    case Kind::object:
      return "dict";
  }
  return "";
}

// Each `read` takes a value of one type, and names the place of the first misfit.
struct Axis;
void read(Axis& to, const Json& value, const std::string& where);
void read(TensorSpec& to, const Json& value, const std::string& where);
void read(Graph& to, const Json& value, const std::string& where);
void read(Stage& to, const Json& value, const std::string& where);
void read(Model& to, const Json& value, const std::string& where);
void read(RunDefaults& to, const Json& value, const std::string& where);
void read(EngineSet& to, const Json& value, const std::string& where);
void read(CpuWay& to, const Json& value, const std::string& where);
void read(CpuChoice& to, const Json& value, const std::string& where);

void read(std::string& to, const Json& value, const std::string& where) {
  expect(value, Kind::text, "str", where);
  to = value.text;
}

// A number beyond the type becomes its largest or least, which `checks` refuses for every field.
template <typename Integer>
void read_integer(Integer& to, const Json& value, const std::string& where) {
  expect(value, Kind::integer, "int", where);
  using Limits = std::numeric_limits<Integer>;
  const long long found = std::strtoll(value.text.c_str(), nullptr, 10);
  to = found > Limits::max() ? Limits::max() : found < Limits::min() ? Limits::min() : static_cast<Integer>(found);
}
void read(std::int64_t& to, const Json& value, const std::string& where) {
  read_integer(to, value, where);
}
void read(int& to, const Json& value, const std::string& where) {
  read_integer(to, value, where);
}

void read(double& to, const Json& value, const std::string& where) {
  if (value.kind != Kind::integer) {
    expect(value, Kind::number, "float", where);
    to = value.number;
    return;
  }
  to = std::strtod(value.text.c_str(), nullptr);
  if (!std::isfinite(to)) {
    throw BundleError(where + ": expected float, found a number that is too large. " + REBUILD);
  }
}

template <typename T>
void read(std::optional<T>& to, const Json& value, const std::string& where) {
  if (value.kind == Kind::null) return;
  read(to.emplace(), value, where);
}

template <typename T>
void read(std::vector<T>& to, const Json& value, const std::string& where) {
  expect(value, Kind::list, "list", where);
  for (const Json& item : value.items) {
    const std::string place = where + "[" + std::to_string(to.size()) + "]";
    read(to.emplace_back(), item, place);
  }
}

void read_key(std::string& to, const std::string& key, const std::string&) {
  to = key;
}

void read_key(int& to, const std::string& key, const std::string& where) {
  const bool digits = !key.empty() && key.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || key.size() >= 7 || (key.size() > 1 && key[0] == '0')) {
    throw BundleError(where + ": '" + first_characters(key, 40) + "' is not the number of a layer. " + REBUILD);
  }
  to = std::atoi(key.c_str());
}

template <typename Key, typename T>
void read(std::map<Key, T>& to, const Json& value, const std::string& where) {
  expect(value, Kind::object, "dict", where);
  for (const auto& [name, inner] : value.members) {
    Key key{};
    read_key(key, name, where);
    read(to[key], inner, where + "." + first_characters(name, 40));
  }
}

// The fields of an object: how each is read, and whether it must be there.
class Fields {
public:
  template <typename T>
  Fields& need(const std::string& name, T& to) {
    required_.insert(name);
    return may_have(name, to);
  }
  template <typename T>
  Fields& may_have(const std::string& name, T& to) {
    known_[name] = [&to](const Json& value, const std::string& where) {
      to = T{};  // not the default, but what stands there
      read(to, value, where);
    };
    return *this;
  }

  // Read an object; fields that are not known are ignored.
  void from(const Json& value, const std::string& where) {
    if (value.kind != Kind::object) {
      throw BundleError(where + ": expected an object, found " + type_name(value) + ". " + REBUILD);
    }
    std::set<std::string> missing = required_;
    for (const auto& member : value.members) missing.erase(member.first);
    if (!missing.empty()) throw BundleError(where + ": missing " + joined(missing) + ". " + REBUILD);
    for (const auto& [name, inner] : value.members) {
      if (const auto known = known_.find(name); known != known_.end()) known->second(inner, where + ": " + name);
    }
  }

private:
  std::set<std::string> required_;
  std::map<std::string, std::function<void(const Json&, const std::string&)>> known_;
};

// An axis as text: a fixed size as its digits. A text that stands for itself gets quotes if it is of digits: it is no
// size.
struct Axis {
  std::string text;
};

void read(Axis& to, const Json& value, const std::string& where) {
  if (value.kind == Kind::text) {
    const bool digits = value.text.find_first_not_of("-0123456789") == std::string::npos;
    to.text = digits ? python_repr(value.text) : value.text;
    return;
  }
  expect(value, Kind::integer, "int", where);
  to.text = value.text;
}

void read(TensorSpec& to, const Json& value, const std::string& where) {
  std::vector<Axis> axes;
  Fields().need("name", to.name).need("dtype", to.dtype).need("axes", axes).from(value, where);
  for (Axis& axis : axes) to.axes.push_back(std::move(axis.text));
}

void read(Graph& to, const Json& value, const std::string& where) {
  Fields()
      .need("file", to.file)
      .need("inputs", to.inputs)
      .need("outputs", to.outputs)
      .may_have("symmetric", to.symmetric)
      .from(value, where);
}

void read(Stage& to, const Json& value, const std::string& where) {
  Fields()
      .need("graph", to.graph)
      .need("layers", to.layers)
      .may_have("skim_layer", to.skim_layer)
      .may_have("skim", to.skim)
      .from(value, where);
}

void read(Model& to, const Json& value, const std::string& where) {
  Fields()
      .need("family", to.family)
      .need("source", to.source)
      .need("num_layers", to.num_layers)
      .need("hidden_size", to.hidden_size)
      .need("intermediate_size", to.intermediate_size)
      .need("num_heads", to.num_heads)
      .need("head_size", to.head_size)
      .need("embedding_size", to.embedding_size)
      .need("type_vocab_size", to.type_vocab_size)
      .need("block_size", to.block_size)
      .need("max_seq_len", to.max_seq_len)
      .need("pad_token_id", to.pad_token_id)
      .need("cls_token_id", to.cls_token_id)
      .need("predictor_macs", to.predictor_macs)
      .may_have("position_offset", to.position_offset)
      .may_have("pad_position", to.pad_position)
      .may_have("predictor", to.predictor)
      .may_have("predictor_question_macs", to.predictor_question_macs)
      .from(value, where);
}

void read(RunDefaults& to, const Json& value, const std::string& where) {
  Fields()
      .need("max_seq_len", to.max_seq_len)
      .need("doc_stride", to.doc_stride)
      .may_have("max_answer_len", to.max_answer_len)
      .may_have("window_scale", to.window_scale)
      .from(value, where);
}

void read(EngineSet& to, const Json& value, const std::string& where) {
  Fields()
      .need("backend", to.backend)
      .need("version", to.version)
      .need("compute_capability", to.compute_capability)
      .need("batch_size", to.batch_size)
      .need("length", to.length)
      .may_have("files", to.files)
      .from(value, where);
}

void read(CpuWay& to, const Json& value, const std::string& where) {
  Fields()
      .need("backend", to.backend)
      .need("precision", to.precision)
      .need("needs", to.needs)
      .need("skim_layers", to.skim_layers)
      .need("document_skim_layers", to.document_skim_layers)
      .need("seconds", to.seconds)
      .from(value, where);
}

void read(CpuChoice& to, const Json& value, const std::string& where) {
  Fields()
      .need("processor", to.processor)
      .need("threads", to.threads)
      .need("thresholds", to.thresholds)
      .need("document_thresholds", to.document_thresholds)
      .need("ways", to.ways)
      .from(value, where);
}

}  // namespace

Manifest parse_manifest(const Json& raw, const std::string& where) {
  Manifest manifest;
  std::map<std::string, std::string> versions;  // for people; nothing reads it
  Fields()
      .need("model", manifest.model)
      .need("dense", manifest.dense)
      .need("stages", manifest.stages)
      .need("thresholds", manifest.thresholds)
      .need("defaults", manifest.defaults)
      .need("precision", manifest.precision)
      .need("files", manifest.files)
      .need("versions", versions)
      .may_have("engines", manifest.engines)
      .may_have("document_thresholds", manifest.document_thresholds)
      .may_have("single", manifest.single)
      .may_have("dense_alone", manifest.dense_alone)
      .may_have("cpu", manifest.cpu)
      .from(raw, where);
  return manifest;
}

}  // namespace bskim
