// Runs the stages of a bundle over a batch of windows and drops blocks between them
// (bskim_export/runtime/orchestrator.py).
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "runtime/bundle_runner.hpp"

namespace bskim {

// The staged engines of one bundle, for libraries that compile no shapes that depend on data.
class Orchestrator : public BundleRunner {
public:
  Orchestrator(std::shared_ptr<const Bundle> bundle, std::unique_ptr<Backend> backend);
  ~Orchestrator() override;

  void load(bool dense, bool skim) override;

protected:
  std::vector<WindowResult> run_dense(const std::vector<Task>& tasks) override;
  std::vector<WindowResult> run_skim(const std::vector<Task>& tasks, const Policy& policy) override;
  void abandon() override;

private:
  struct StageEngines {
    const Stage* stage;
    std::unique_ptr<Engine> engine, predictor;
  };

  Engine& dense();
  const std::vector<StageEngines>& stages();

  std::unique_ptr<Engine> dense_;
  std::vector<StageEngines> stages_;
  std::set<std::string> skim_inputs_, dense_inputs_;
};

}  // namespace bskim
