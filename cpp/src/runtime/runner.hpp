// What runs windows, and its result (bskim_export/runtime/runner.py, policy.py).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "blocks.hpp"
#include "bundle/bundle.hpp"
#include "runtime/window.hpp"

namespace bskim {

constexpr float NOT_JUDGED = -1.0f;

struct WindowResult {
  std::vector<float> start_logits, end_logits;    // [K * block_size]; -inf where the block was dropped
  std::vector<std::int16_t> dropped_after;        // [K]
  std::vector<std::vector<float>> probabilities;  // [L][K], NOT_JUDGED where a predictor did not judge a block
  bool left = false;
  int best_block = -1;
  float best_score = 0;
  bool is_protected = false;

  // The last keep probability that each block got; 1 if no predictor judged it.
  std::vector<float> keep_probability() const;
  int left_after() const;
  // Note that the window left after the layer of this row of `probabilities`.
  void leave(std::size_t row);
};

// Which blocks stay: by the threshold of each layer; 0, or none, keeps all and runs no predictor. Of a bounded
// question, `chosen` are the only blocks that may go beyond the first predictor, and `scout` stops all there
// (runtime/budget.py).
struct Policy {
  std::map<int, float> thresholds;

  bool scores(int layer) const {
    const auto found = thresholds.find(layer);
    return found != thresholds.end() && found->second > 0;
  }
};

struct Task {
  const Window* window = nullptr;
  std::optional<int> protected_block;          // a passage block that must stay
  const std::vector<bool>* allowed = nullptr;  // [K]: blocks that may go beyond the first scored layer; null: all
};

// Runs windows through a bundle's graphs. Safe from several threads.
class Runner {
public:
  virtual ~Runner() = default;
  // Run windows; each one's result is the same whatever runs with it. Throws BundleError if the engine fails, or if
  // logits or keep probabilities are no numbers.
  virtual std::vector<WindowResult> run(const std::vector<Task>& tasks, const Policy& policy) = 0;
  virtual const Model& model() const = 0;
  virtual const std::vector<int>& skim_layers() const = 0;
  // Whether it runs each window by itself, however many it is given: then it is given all at once.
  virtual bool alone() const { return false; }
  // Compile the engines that will be needed, so that the first question does not wait for it.
  virtual void load(bool dense, bool skim) = 0;
};

struct BackendOptions {
  std::string name = "onnxruntime";  // or "openvino"
  std::string precision = "fp32";    // the one that is computed in: openvino also has "bf16"
  int threads = 0;                   // for one operator; 0: the cores that this process may use
};

// Open a bundle's graphs on a backend. Throws InputError if this build has no such backend, BundleError as
// Bundle::read.
std::unique_ptr<Runner> make_runner(std::shared_ptr<const Bundle> bundle, const BackendOptions& options);

// The cores that this process may use: affinity, capped by the container's CPU quota (backends/base.py).
int available_cores();

}  // namespace bskim
