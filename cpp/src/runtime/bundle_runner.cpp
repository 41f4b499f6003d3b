#include "runtime/bundle_runner.hpp"

#include <unistd.h>

#include <algorithm>
#include <string>

#include "errors.hpp"

namespace bskim {

BundleRunner::BundleRunner(std::shared_ptr<const Bundle> bundle, std::unique_ptr<Backend> backend)
    : bundle_(std::move(bundle)),
      backend_(std::move(backend)),
      layers_(bundle_->manifest().skim_layers()),
      process_(getpid()) {}

std::vector<WindowResult> BundleRunner::run(const std::vector<Task>& tasks, const Policy& policy) {
  require_own_process();
  const bool skims = std::any_of(layers_.begin(), layers_.end(), [&](int layer) { return policy.scores(layer); });
  return skims ? run_skim(tasks, policy) : run_dense(tasks);
}

BundleRunner::Engines BundleRunner::load_graphs(const std::vector<const Graph*>& graphs, int streams) {
  Engines engines;
  try {
    engines = backend_->load(*bundle_, graphs, streams);
  } catch (const BundleError&) {
    bundle_->release_weights();
    bundle_->require_intact();
    bundle_->require_unchanged();  // files that changed are why, then
    throw;
  }
  bundle_->release_weights();
  bundle_->require_intact();  // before anything runs
  bundle_->require_unchanged();
  return engines;
}

bool BundleRunner::is_own_process() const {
  return process_ == getpid();
}

// In a child of fork, engines are made anew at the first run. The old ones are never destroyed there: they would wait
// for threads that fork did not copy.
void BundleRunner::require_own_process() {
  if (is_own_process()) return;
  if (!backend_->survives_fork()) {
    throw ForkError("The pipeline was opened in process " + std::to_string(process_.load()) +
                    ", of which this one is a fork, and the " + backend_->name() +
                    " backend cannot run here: its threads were not copied. Open a pipeline after the fork, or start "
                    "processes with 'spawn'.");
  }
  const std::lock_guard<std::mutex> lock(loading_);
  if (is_own_process()) return;
  abandon();
  process_ = getpid();
}

}  // namespace bskim
