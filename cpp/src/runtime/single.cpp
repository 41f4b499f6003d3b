#include "runtime/single.hpp"

#include <algorithm>
#include <limits>

#include "blocks.hpp"
#include "bundle/single_graph.hpp"
#include "bundle/tensors.hpp"
#include "errors.hpp"
#include "runtime/batch.hpp"
#include "runtime/leaving.hpp"
#include "runtime/side_by_side.hpp"

namespace bskim {
namespace {

constexpr std::size_t SOME =
    4;  // rounds of windows side by side from which on the last, incomplete one does not matter

std::int64_t sized(std::size_t count) {
  return static_cast<std::int64_t>(count);
}

Tensor make_ints(const std::vector<std::int64_t>& values, std::vector<std::int64_t> shape) {
  Tensor tensor = Tensor::make(TensorType::int64, std::move(shape));
  std::copy(values.begin(), values.end(), tensor.values<std::int64_t>());
  return tensor;
}

std::vector<float> read_logits(const Tensors& outputs, const std::string& name) {
  const Tensor& tensor = outputs.at(name);
  const auto* values = tensor.values<float>();
  require_numbers(values, tensor.count(), name);
  return {values, values + tensor.count()};
}

void hide_dropped(std::vector<float>& logits, const std::vector<std::int16_t>& dropped_after, std::size_t size) {
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (dropped_after[i / size] != KEPT) logits[i] = -std::numeric_limits<float>::infinity();
  }
}

}  // namespace

SingleRunner::~SingleRunner() {
  if (!is_own_process()) abandon();
}

void SingleRunner::load(bool dense, bool skim) {
  if (dense) engine(*manifest().dense_alone, false);
  if (skim) engine(*manifest().single, false);
}

void SingleRunner::abandon() {
  for (auto& entry : engines_) new std::shared_ptr<Engine>(std::move(entry.second));  // on purpose never deleted
  engines_.clear();
}

std::vector<WindowResult> SingleRunner::run_dense(const std::vector<Task>& tasks) {
  return share_out(tasks.size(), *manifest().dense_alone,
                   [&](Engine& engine, std::size_t i) { return run_one_dense(engine, *tasks[i].window); });
}

std::vector<WindowResult> SingleRunner::run_skim(const std::vector<Task>& tasks, const Policy& policy) {
  return share_out(tasks.size(), *manifest().single,
                   [&](Engine& engine, std::size_t i) { return run_one(engine, tasks[i], policy); });
}

std::vector<WindowResult> SingleRunner::share_out(std::size_t count, const Graph& graph,
                                                  const std::function<WindowResult(Engine&, std::size_t)>& run) {
  const auto cores = static_cast<std::size_t>(backend().threads());
  const std::size_t several = count >= SOME * cores ? count : count - count % cores;
  std::vector<WindowResult> results(count);
  std::size_t done = 0;
  if (cores > 1 && several > 0) {
    Engine& own = engine(graph, true);
    side_by_side(cores, several, [&](std::size_t i) { results[i] = run(own, i); });
    done = several;
  }
  if (done < count) {
    Engine& own = engine(graph, false);
    for (std::size_t i = done; i < count; ++i) results[i] = run(own, i);
  }
  return results;
}

WindowResult SingleRunner::run_one_dense(Engine& engine, const Window& window) const {
  const auto size = static_cast<std::size_t>(model().block_size);
  const std::size_t blocks = window.input_ids.size() / size;
  const std::vector<std::int64_t> shape{sized(blocks), sized(size)};
  const Tensors outputs = engine.run({{"input_ids", make_ints(window.input_ids, shape)},
                                      {"token_type_ids", make_ints(window.token_type_ids, shape)},
                                      {"position_ids", make_ints(window.position_ids, shape)},
                                      {single_graph::LENGTH, make_ints({sized(window.length)}, {1})}});
  WindowResult result;
  result.start_logits = read_logits(outputs, "start_logits");
  result.end_logits = read_logits(outputs, "end_logits");
  result.dropped_after.assign(blocks, KEPT);
  result.probabilities.assign(skim_layers().size(), std::vector<float>(blocks, NOT_JUDGED));
  return result;
}

WindowResult SingleRunner::run_one(Engine& engine, const Task& task, const Policy& policy) const {
  const Window& window = *task.window;
  const auto size = static_cast<std::size_t>(model().block_size);
  const std::size_t length = window.input_ids.size(), blocks = length / size;
  Tensors feeds = steer(task, policy);
  Tensor mask = Tensor::make(TensorType::int64, {1, sized(length)});
  std::fill_n(mask.values<std::int64_t>(), window.length, 1);
  feeds["input_ids"] = make_ints(window.input_ids, {1, sized(length)});
  feeds["attention_mask"] = std::move(mask);
  const Tensors outputs = engine.run(feeds);
  WindowResult result;
  result.start_logits = read_logits(outputs, "start_logits");
  result.end_logits = read_logits(outputs, "end_logits");
  const Tensor& probabilities = outputs.at("keep_probability");
  const auto* scores = probabilities.values<float>();
  require_numbers(scores, probabilities.count(), "keep probabilities");
  for (std::size_t layer = 0; layer < skim_layers().size(); ++layer) {
    result.probabilities.emplace_back(scores + layer * blocks, scores + (layer + 1) * blocks);
  }
  const auto* dropped = outputs.at("dropped_after").values<std::int64_t>();
  for (std::size_t i = 0; i < blocks; ++i) result.dropped_after.push_back(static_cast<std::int16_t>(dropped[i]));
  hide_dropped(result.start_logits, result.dropped_after, size);
  hide_dropped(result.end_logits, result.dropped_after, size);
  if (result.dropped_after.front() != KEPT) {  // a block of the question, which goes with its window only
    const auto at = std::find(skim_layers().begin(), skim_layers().end(), result.left_after());
    result.leave(static_cast<std::size_t>(at - skim_layers().begin()));
  }
  return result;
}

Tensors SingleRunner::steer(const Task& task, const Policy& policy) const {
  const Window& window = *task.window;
  const std::size_t blocks = window.input_ids.size() / static_cast<std::size_t>(model().block_size);
  const auto& layers = skim_layers();
  const std::vector<std::int64_t> shape{sized(layers.size()), 1, sized(blocks)};
  Tensor judged = Tensor::make(TensorType::boolean, shape);
  Tensor thresholds = Tensor::make(TensorType::float32, shape);
  Tensor droppable = Tensor::make(TensorType::boolean, {1, sized(blocks)});
  const auto is_held = [&](std::size_t block) { return task.protected_block && sized(block) == *task.protected_block; };
  for (std::size_t block = window.question_blocks; block < blocks; ++block) {
    droppable.values<bool>()[block] = !is_held(block);
  }
  bool is_first = true;
  for (std::size_t row = 0; row < layers.size(); ++row) {
    if (!policy.scores(layers[row])) continue;
    const float threshold = policy.thresholds.at(layers[row]);
    for (std::size_t block = 0; block < blocks; ++block) {
      const std::size_t place = row * blocks + block;
      const bool refused = is_first && task.allowed != nullptr && !(*task.allowed)[block];
      judged.values<bool>()[place] = block >= window.unjudged_blocks() && !is_held(block);
      thresholds.values<float>()[place] = refused ? single_graph::NEVER : threshold;
    }
    is_first = false;
  }
  Tensor may = Tensor::make(TensorType::boolean, {1});
  may.values<bool>()[0] = may_leave(task);
  return {{"question_length", make_ints({sized(window.question_length)}, {1})},
          {"may_leave", std::move(may)},
          {"judged", std::move(judged)},
          {"thresholds", std::move(thresholds)},
          {"droppable", std::move(droppable)}};
}

Engine& SingleRunner::engine(const Graph& graph, bool several) {
  const std::lock_guard<std::mutex> lock(loading());
  std::shared_ptr<Engine>& own = engines_[{graph.file, several}];
  if (own) return *own;
  try {
    own = std::move(load_graphs({&graph}, several ? backend().threads() : 1).front());
  } catch (const BundleError&) {
    // Windows run on the engine that is there, which is slower: its bundle was written over since.
    own = engines_[{graph.file, !several}];
    if (!own) throw;
  }
  return *own;
}

}  // namespace bskim
