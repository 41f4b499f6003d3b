// The fields of manifest.json (bskim_export/bundle/manifest.py), as far as running needs them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace bskim {

// One tensor: axes are sizes, or names of sizes that each run decides.
struct TensorSpec {
  std::string name;
  std::string dtype;
  std::vector<std::string> axes;  // a fixed size as its digits
};

struct Graph {
  std::string file;
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  std::optional<std::string> symmetric;

  bool takes(const std::string& name) const;
  std::vector<std::string> input_names() const;
  std::vector<std::string> output_names() const;
  // The file that any runtime can read.
  const std::string& standard() const { return symmetric ? *symmetric : file; }
};

struct Stage {
  Graph graph;
  std::vector<int> layers;
  std::optional<int> skim_layer;
  std::optional<Graph> skim;
};

struct Model {
  std::string family, source, predictor = "diagonal";
  std::int64_t num_layers = 0, hidden_size = 0, intermediate_size = 0, num_heads = 0, head_size = 0, embedding_size = 0;
  std::int64_t type_vocab_size = 0, block_size = 0, max_seq_len = 0, pad_token_id = 0;
  std::optional<std::int64_t> cls_token_id;
  std::int64_t predictor_macs = 0, predictor_question_macs = 0, position_offset = 0;
  std::optional<std::int64_t> pad_position;
};

struct RunDefaults {
  std::int64_t max_seq_len = 0, doc_stride = 0, max_answer_len = 30;
  std::string window_scale = "null";
};

struct CpuWay {
  std::string backend, precision;
  std::vector<std::string> needs;
  std::vector<int> skim_layers, document_skim_layers;
  double seconds = 0;
};

struct CpuChoice {
  std::string processor;
  std::int64_t threads = 0;
  std::vector<double> thresholds, document_thresholds;
  std::vector<CpuWay> ways;
};

// The compiled engines of all graphs for one kind of GPU. This runtime has no use for them.
struct EngineSet {
  std::string backend, version, compute_capability;
  std::vector<std::int64_t> batch_size, length;
  std::map<std::string, std::string> files;
};

struct Manifest {
  Model model;
  Graph dense;
  std::vector<Stage> stages;
  std::map<int, double> thresholds;
  std::map<int, double> document_thresholds;  // empty if `thresholds` serves both
  RunDefaults defaults;
  std::string precision;
  std::map<std::string, std::string> files;  // SHA-256 by name
  std::optional<Graph> single, dense_alone;
  std::optional<CpuChoice> cpu;
  std::vector<EngineSet> engines;

  // The layers that have a predictor.
  std::vector<int> skim_layers() const;
  // Stages and predictors in the order in which they run, then the dense graph: those that take batches.
  std::vector<const Graph*> graphs() const;
  // Those that take one window.
  std::vector<const Graph*> graphs_alone() const;
};

}  // namespace bskim
