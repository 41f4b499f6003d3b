// What all runners of a bundle have in common: its engines, the process that they were made in, the dense model
// (bskim_export/runtime/bundle_runner.py).
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "backends/base.hpp"
#include "runtime/runner.hpp"

namespace bskim {

class BundleRunner : public Runner {
public:
  BundleRunner(std::shared_ptr<const Bundle> bundle, std::unique_ptr<Backend> backend);

  const Model& model() const override { return bundle_->model(); }
  const std::vector<int>& skim_layers() const override { return layers_; }
  std::vector<WindowResult> run(const std::vector<Task>& tasks, const Policy& policy) override;

protected:
  using Engines = std::vector<std::unique_ptr<Engine>>;

  virtual std::vector<WindowResult> run_dense(const std::vector<Task>& tasks) = 0;
  virtual std::vector<WindowResult> run_skim(const std::vector<Task>& tasks, const Policy& policy) = 0;
  // Forget the engines without destroying them; see `require_own_process`.
  virtual void abandon() = 0;

  // Compile graphs, and see to it that they are those of the bundle that was opened.
  Engines load_graphs(const std::vector<const Graph*>& graphs, int streams = 1);
  bool is_own_process() const;

  const Manifest& manifest() const { return bundle_->manifest(); }
  Backend& backend() { return *backend_; }
  std::mutex& loading() { return loading_; }

private:
  void require_own_process();

  std::shared_ptr<const Bundle> bundle_;
  std::unique_ptr<Backend> backend_;
  std::vector<int> layers_;
  std::mutex loading_;  // of engines: only one thread at a time compiles
  std::atomic<pid_t> process_;
};

}  // namespace bskim
