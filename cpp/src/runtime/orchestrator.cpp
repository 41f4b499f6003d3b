#include "runtime/orchestrator.hpp"

#include <utility>

#include "runtime/batch.hpp"

namespace bskim {
namespace {

void add_inputs(std::set<std::string>& names, const Graph& graph) {
  for (const std::string& name : graph.input_names()) names.insert(name);
}

void add_all(Tensors& tensors, Tensors more) {
  for (auto& [name, tensor] : more) tensors[name] = std::move(tensor);
}

}  // namespace

Orchestrator::Orchestrator(std::shared_ptr<const Bundle> bundle, std::unique_ptr<Backend> backend)
    : BundleRunner(std::move(bundle), std::move(backend)) {
  add_inputs(dense_inputs_, manifest().dense);
  for (const Stage& stage : manifest().stages) {
    add_inputs(skim_inputs_, stage.graph);
    if (stage.skim) add_inputs(skim_inputs_, *stage.skim);
  }
}

Orchestrator::~Orchestrator() {
  if (!is_own_process()) abandon();
}

void Orchestrator::load(bool dense, bool skim) {
  if (dense) this->dense();
  if (skim) stages();
}

void Orchestrator::abandon() {
  static_cast<void>(dense_.release());
  for (StageEngines& one : stages_) {
    static_cast<void>(one.engine.release());
    static_cast<void>(one.predictor.release());
  }
  stages_.clear();
}

std::vector<WindowResult> Orchestrator::run_dense(const std::vector<Task>& tasks) {
  std::vector<Task> free = tasks;  // nothing is dropped, so nothing needs to be protected
  for (Task& task : free) task.protected_block.reset();
  Engine& engine = dense();
  Batch batch(free, model(), dense_inputs_, skim_layers());
  Tensors feeds = batch.tokens();
  add_all(feeds, batch.layout());
  return batch.finish(engine.run(feeds));
}

std::vector<WindowResult> Orchestrator::run_skim(const std::vector<Task>& tasks, const Policy& policy) {
  Batch batch(tasks, model(), skim_inputs_, skim_layers());
  Tensors boundary = batch.tokens();
  Tensors outputs;
  for (const StageEngines& one : stages()) {
    // Compaction happens in the engine: its first operators gather the blocks that `layout` says were kept.
    Tensors feeds = std::move(boundary);
    add_all(feeds, batch.layout());
    outputs = one.engine->run(feeds);
    if (!one.predictor) break;
    boundary = {{"last_context", outputs.at("context")}, {"last_residual", outputs.at("residual")}};
    const int layer = *one.stage->skim_layer;
    if (batch.scored() == 0 || !policy.scores(layer)) continue;
    add_all(feeds, std::move(outputs));
    batch.drop(layer, one.predictor->run(feeds).at("keep_probability"), policy);
    if (batch.live() == 0) return batch.finish();
  }
  return batch.finish(outputs);
}

Engine& Orchestrator::dense() {
  const std::lock_guard<std::mutex> lock(loading());
  if (!dense_) dense_ = std::move(load_graphs({&manifest().dense}).front());
  return *dense_;
}

const std::vector<Orchestrator::StageEngines>& Orchestrator::stages() {
  const std::lock_guard<std::mutex> lock(loading());
  if (!stages_.empty()) return stages_;
  std::vector<const Graph*> graphs;
  for (const Stage& stage : manifest().stages) {
    graphs.push_back(&stage.graph);
    if (stage.skim) graphs.push_back(&*stage.skim);
  }
  Engines engines = load_graphs(graphs);
  auto next = engines.begin();
  std::vector<StageEngines> made;
  for (const Stage& stage : manifest().stages) {
    StageEngines one{&stage, std::move(*next++), nullptr};
    if (stage.skim) one.predictor = std::move(*next++);
    made.push_back(std::move(one));
  }
  stages_ = std::move(made);
  return stages_;
}

}  // namespace bskim
