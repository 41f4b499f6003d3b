#include "runtime/answering.hpp"

#include <algorithm>
#include <numeric>

#include "errors.hpp"

namespace bskim {

std::optional<int> Answerer::first_scored(bool document) const {
  for (const int layer : runner->skim_layers()) {
    if (policy(document).scores(layer)) return layer;
  }
  return std::nullopt;
}

Windows Answerer::windows(const Text& question, const Text& context, bool alone) const {
  return maker->cut(question, context, {options.max_seq_len, options.doc_stride, options.max_windows, alone});
}

void Answerer::check() const {
  if (options.max_blocks && !first_scored(true)) {
    throw BundleError(
        "max_blocks needs a predictor that chooses the blocks: the bundle has none, or all of its thresholds for "
        "documents are 0. Open it with a threshold, as in QAPipeline(bundle, threshold=0.01).");
  }
}

std::vector<WindowResult> Answerer::run(std::vector<Task> tasks, bool document) const {
  return run_batches(tasks, policy(document));
}

std::vector<WindowResult> Answerer::scout(std::vector<Task> tasks) const {
  const int layer = *first_scored(true);
  const Policy first{{{layer, policies->documents.thresholds.at(layer)}}};
  std::size_t most = 0;
  for (const Task& task : tasks) most = std::max(most, task.window->input_ids.size());
  const std::vector<bool> none(most);  // of each window, no block may go on
  for (Task& task : tasks) task.allowed = &none;
  return run_batches(tasks, first);
}

std::vector<WindowResult> Answerer::run_batches(const std::vector<Task>& tasks, const Policy& policy) const {
  // Windows of like length together: the attention grid is as wide as its longest window, and of windows side by side
  // none should be long and last.
  std::vector<std::size_t> order(tasks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&tasks](std::size_t a, std::size_t b) {
    return tasks[a].window->input_ids.size() < tasks[b].window->input_ids.size();
  });
  const std::size_t size = runner->alone() ? order.size() : static_cast<std::size_t>(options.batch_size);
  std::vector<WindowResult> results(tasks.size());
  for (std::size_t start = 0; start < order.size(); start += size) {
    const std::size_t stop = std::min(order.size(), start + size);
    std::vector<Task> batch;
    for (std::size_t i = start; i < stop; ++i) batch.push_back(tasks[order[i]]);
    std::vector<WindowResult> done = runner->run(batch, policy);
    for (std::size_t i = start; i < stop; ++i) results[order[i]] = std::move(done[i - start]);
  }
  return results;
}

}  // namespace bskim
