#include "bundle/checks.hpp"

#include <algorithm>
#include <set>

#include "bundle/faults.hpp"
#include "bundle/manifest_file.hpp"
#include "bundle/tensors.hpp"
#include "errors.hpp"

namespace bskim {
namespace {

std::string number(std::int64_t value) {
  return std::to_string(value);
}

void check_model(const Model& model) {
  const std::pair<const char*, std::int64_t> sizes[] = {
      {"num_layers", model.num_layers},
      {"hidden_size", model.hidden_size},
      {"intermediate_size", model.intermediate_size},
      {"num_heads", model.num_heads},
      {"head_size", model.head_size},
      {"embedding_size", model.embedding_size},
      {"block_size", model.block_size},
      {"max_seq_len", model.max_seq_len},
  };
  for (const auto& [name, value] : sizes) {
    require(1 <= value && value <= LARGEST, std::string("model: ") + name,
            "expected 1 to " + number(LARGEST) + ", found " + number(value));
  }
  const std::pair<const char*, std::int64_t> ids[] = {
      {"type_vocab_size", model.type_vocab_size}, {"pad_token_id", model.pad_token_id},
      {"predictor_macs", model.predictor_macs},   {"predictor_question_macs", model.predictor_question_macs},
      {"position_offset", model.position_offset},
  };
  for (const auto& [name, value] : ids) {
    require(0 <= value && value < std::int64_t{1} << 62, std::string("model: ") + name,
            "expected 0 or more, found " + number(value));
  }
  if (model.cls_token_id) {
    require(0 <= *model.cls_token_id && *model.cls_token_id <= LARGEST, "model: cls_token_id",
            "expected 0 to " + number(LARGEST) + ", found " + number(*model.cls_token_id));
  }
  require(
      model.position_offset <= model.max_seq_len && model.type_vocab_size <= LARGEST && model.pad_token_id <= LARGEST,
      "model", "position_offset, type_vocab_size or pad_token_id is larger than any model's");
  if (model.pad_position) {
    require(*model.pad_position == model.position_offset - 1 && *model.pad_position != -1, "model: pad_position",
            "expected null or the position before position_offset " + number(model.position_offset) + ", found " +
                number(*model.pad_position));
  }
  require(model.block_size <= model.max_seq_len, "model: block_size",
          number(model.block_size) + " is more than max_seq_len " + number(model.max_seq_len));
}

void check_defaults(const Manifest& manifest) {
  const RunDefaults& defaults = manifest.defaults;
  const std::int64_t limit = manifest.model.max_seq_len;
  require(1 <= defaults.max_seq_len && defaults.max_seq_len <= limit, "defaults: max_seq_len",
          "expected 1 to the model's " + number(limit) + ", found " + number(defaults.max_seq_len));
  require(0 <= defaults.doc_stride && defaults.doc_stride < defaults.max_seq_len, "defaults: doc_stride",
          "expected 0 up to but not max_seq_len " + number(defaults.max_seq_len) + ", found " +
              number(defaults.doc_stride));
  require(1 <= defaults.max_answer_len && defaults.max_answer_len <= LARGEST, "defaults: max_answer_len",
          "expected at least 1, found " + number(defaults.max_answer_len));
  const std::string& scale = defaults.window_scale;
  require(scale == "null" || scale == "logits" || scale == "window", "defaults: window_scale",
          "expected one of null, logits, window, found '" + first_characters(scale, 40) + "'");
}

void check_thresholds(const Manifest& manifest, const std::string& name, const std::map<int, double>& thresholds) {
  const std::vector<int> layers = manifest.skim_layers();
  for (const auto& entry : thresholds) {
    const bool known = std::find(layers.begin(), layers.end(), entry.first) != layers.end();
    require(known, name + ": " + number(entry.first),
            "no predictor follows layer " + number(entry.first) + "; some follow " + python_repr(layers));
  }
  for (const int layer : layers) {
    require(thresholds.count(layer) > 0, name, "there is none for layer " + number(layer));
  }
  for (const auto& [layer, value] : thresholds) {
    require(0 <= value && value <= 1, name + ": " + number(layer), "expected 0 to 1, found " + python_repr(value));
  }
}

bool is_hash(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

void check_files(const Manifest& manifest) {
  std::set<std::string> loaded = {WEIGHTS, TOKENIZER};
  for (const auto& graphs : {manifest.graphs(), manifest.graphs_alone()}) {
    for (const Graph* graph : graphs) loaded.insert({graph->file, graph->standard()});
  }
  for (const std::string& name : loaded) {
    require(manifest.files.count(name) > 0, "files", "'" + name + "' is not listed, but the bundle needs it");
  }
  // All names that are loaded have been checked: none leads out of the bundle.
  for (const auto& [name, digest] : manifest.files) {
    require(loaded.count(name) > 0, "files", "'" + first_characters(name, 80) + "' is no file of a bundle");
    require(is_hash(digest), "files: " + name, "expected a SHA-256 in 64 hexadecimal digits");
  }
}

bool is_of(const std::string& text, const char* allowed, std::size_t least, std::size_t most) {
  return least <= text.size() && text.size() <= most && text.find_first_not_of(allowed) == std::string::npos;
}

void check_engines(const EngineSet& engines, const std::string& place) {
  require(engines.backend == "tensorrt" || engines.backend == "tensorrt-rtx", place + ": backend",
          "expected one of tensorrt, tensorrt-rtx, found '" + first_characters(engines.backend, 40) + "'");
  const std::string& capability = engines.compute_capability;
  const auto point = capability.find('.');
  const bool two = point != std::string::npos && is_of(capability.substr(0, point), "0123456789", 1, 3) &&
                   is_of(capability.substr(point + 1), "0123456789", 1, 2);
  require(two, place + ": compute_capability",
          "expected two numbers like 8.9, found '" + first_characters(capability, 40) + "'");
  for (const auto& [name, values] :
       {std::pair("batch_size", &engines.batch_size), std::pair("length", &engines.length)}) {
    require(values->size() == 2 && 1 <= (*values)[0] && (*values)[0] <= (*values)[1] && (*values)[1] <= LARGEST,
            place + ": " + name, "expected the usual number and the most");
  }
  for (const auto& [name, digest] : engines.files) {
    const std::string ending = ".engine";
    const bool ends =
        name.size() > ending.size() && name.compare(name.size() - ending.size(), ending.size(), ending) == 0;
    const bool named =
        ends && is_of(name.substr(0, name.size() - ending.size()), "abcdefghijklmnopqrstuvwxyz0123456789_.", 1, 40);
    require(named && is_hash(digest), place + ": files",
            "expected the SHA-256 of an engine, by its name, found " + shorten(name, 120));
  }
}

// In an order in which each check may rely on those before it.
void check_all(const Manifest& manifest) {
  check_model(manifest.model);
  require(!hidden_dtype(manifest.precision).empty(), "precision",
          std::string("expected one of ") + PRECISIONS + ", found '" + first_characters(manifest.precision, 40) + "'");
  check_defaults(manifest);
  check_stages(manifest);
  check_graphs_alone(manifest);
  check_thresholds(manifest, "thresholds", manifest.thresholds);
  if (!manifest.document_thresholds.empty()) {
    check_thresholds(manifest, "document_thresholds", manifest.document_thresholds);
  }
  check_files(manifest);
  for (std::size_t i = 0; i < manifest.engines.size(); ++i) {
    check_engines(manifest.engines[i], "engines[" + std::to_string(i) + "]");
  }
  check_cpu(manifest);
}

}  // namespace

void check_manifest(const Manifest& manifest, const std::string& where) {
  try {
    check_all(manifest);
  } catch (const Fault& fault) {
    throw BundleError(where + ": " + fault.place + ": " + fault.what + ". " + REBUILD);
  }
}

}  // namespace bskim
