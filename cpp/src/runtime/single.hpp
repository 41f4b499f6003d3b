// Runs windows through the single graph of a bundle, each by itself: what the CPU does best
// (bskim_export/runtime/single.py).
//
// A window alone has no grid to pad to the width of others. Windows side by side, one core each, have no barrier behind
// every operator: that is the fastest where several are at hand, and all cores for one window where not.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/bundle_runner.hpp"

namespace bskim {

// The graphs of one window of a bundle that has them.
class SingleRunner : public BundleRunner {
public:
  using BundleRunner::BundleRunner;
  ~SingleRunner() override;

  bool alone() const override { return true; }
  void load(bool dense, bool skim) override;

protected:
  std::vector<WindowResult> run_dense(const std::vector<Task>& tasks) override;
  std::vector<WindowResult> run_skim(const std::vector<Task>& tasks, const Policy& policy) override;
  void abandon() override;

private:
  // Run windows side by side, and what is left of a few one after the other.
  std::vector<WindowResult> share_out(std::size_t count, const Graph& graph,
                                      const std::function<WindowResult(Engine&, std::size_t)>& run);
  WindowResult run_one_dense(Engine& engine, const Window& window) const;
  WindowResult run_one(Engine& engine, const Task& task, const Policy& policy) const;
  // What a policy says of a window, as inputs of the graph.
  Tensors steer(const Task& task, const Policy& policy) const;
  // The engine for several windows side by side, or for one on all cores.
  Engine& engine(const Graph& graph, bool several);

  std::map<std::pair<std::string, bool>, std::shared_ptr<Engine>> engines_;
};

}  // namespace bskim
