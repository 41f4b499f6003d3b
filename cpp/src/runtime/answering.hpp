// From windows through a runner to results: the parts of a pipeline, put together by its constructor
// (bskim_export/runtime/answering.py).
#pragma once

#include <optional>
#include <vector>

#include "runtime/budget.hpp"
#include "runtime/options.hpp"
#include "runtime/runner.hpp"
#include "runtime/windows.hpp"

namespace bskim {

// Which blocks stay, of a question of one window, and of one of several.
struct Policies {
  Policy single, documents;
};

// What answers the questions of one call. What it points to must outlive it.
struct Answerer {
  const WindowMaker* maker;
  Runner* runner;
  const Policies* policies;
  RunOptions options;

  const Policy& policy(bool document) const { return document ? policies->documents : policies->single; }
  // The first layer whose predictor runs.
  std::optional<int> first_scored(bool document) const;

  // The windows of one question. Throws InputError if it cannot be run.
  Windows windows(const Text& question, const Text& context, bool alone) const;

  // Throws BundleError if `max_blocks` is set and no predictor runs, which could choose them.
  void check() const;

  // Run windows of any questions of one kind, in batches.
  std::vector<WindowResult> run(std::vector<Task> tasks, bool document) const;
  // Run them no further than to the first predictor; see budget.hpp.
  std::vector<WindowResult> scout(std::vector<Task> tasks) const;

private:
  std::vector<WindowResult> run_batches(const std::vector<Task>& tasks, const Policy& policy) const;
};

}  // namespace bskim
