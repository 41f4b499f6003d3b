#include "runtime/batch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "bundle/tensors.hpp"
#include "errors.hpp"
#include "runtime/leaving.hpp"

namespace bskim {
namespace {

std::int64_t sized(std::size_t count) {
  return static_cast<std::int64_t>(count);
}

const std::vector<std::int64_t>& tokens_of(const Window& window, const std::string& name) {
  if (name == "input_ids") return window.input_ids;
  return name == "token_type_ids" ? window.token_type_ids : window.position_ids;
}

WindowResult nothing_dropped(std::size_t blocks, std::size_t size, std::size_t layers) {
  WindowResult result;
  result.start_logits.assign(blocks * size, -std::numeric_limits<float>::infinity());
  result.end_logits = result.start_logits;
  result.dropped_after.assign(blocks, KEPT);
  result.probabilities.assign(layers, std::vector<float>(blocks, NOT_JUDGED));
  return result;
}

}  // namespace

Batch::Batch(const std::vector<Task>& tasks, const Model& model, const std::set<std::string>& wanted,
             const std::vector<int>& layers)
    : tasks_(tasks),
      wanted_(wanted),
      layers_(layers),
      size_(static_cast<std::size_t>(model.block_size)),
      heads_(static_cast<std::size_t>(model.num_heads)),
      initial_(tasks.size()) {
  for (std::size_t w = 0; w < tasks.size(); ++w) {
    const Window& window = *tasks[w].window;
    const std::size_t count = window.input_ids.size() / size_;
    for (std::size_t number = 0; number < count; ++number) {
      const bool stays = tasks[w].protected_block && sized(number) == *tasks[w].protected_block;
      const bool judged = number >= window.unjudged_blocks() && !stays;
      blocks_.push_back({w, number, number >= window.question_blocks && !stays, judged});
      initial_[w] += judged ? 1 : 0;
    }
    results_.push_back(nothing_dropped(count, size_, layers.size()));
  }
  arrange();
}

Tensors Batch::tokens() const {
  Tensors found;
  for (const std::string& name : TOKEN_INPUTS) {
    Tensor tensor = Tensor::make(TensorType::int64, {sized(live()), sized(size_)});
    auto* place = tensor.values<std::int64_t>();
    for (const Task& task : tasks_) {
      const auto& values = tokens_of(*task.window, name);
      place = std::copy(values.begin(), values.end(), place);
    }
    found[name] = std::move(tensor);
  }
  return found;
}

Tensors Batch::layout() {
  Tensors now = std::move(layout_);
  layout_ = steady_;  // the one after it, if nothing is dropped between them, gathers all that is there
  return now;
}

void Batch::drop(int layer, const Tensor& score, const Policy& policy) {
  const auto* scores = score.values<float>();
  require_numbers(scores, scored(), "keep probabilities after layer " + std::to_string(layer));
  const auto found = std::find(layers_.begin(), layers_.end(), layer);
  const auto row = static_cast<std::size_t>(found - layers_.begin());
  const bool is_first = std::none_of(layers_.begin(), found, [&](int one) { return policy.scores(one); });
  const float threshold = policy.thresholds.at(layer);
  std::vector<std::size_t> there(tasks_.size()), remaining(tasks_.size());
  std::vector<bool> keep(live(), true);
  bool all_stay = true;
  for (std::size_t i = 0; i < scored(); ++i) {
    const Block& block = blocks_[scored_[i]];
    const auto* allowed = is_first ? tasks_[block.window].allowed : nullptr;
    results_[block.window].probabilities[row][block.number] = scores[i];
    const bool stays = scores[i] >= threshold && (allowed == nullptr || (*allowed)[block.number]);
    keep[scored_[i]] = stays || !block.may_drop;
    all_stay = all_stay && stays;
    ++there[block.window];
    remaining[block.window] += stays ? 1 : 0;
  }
  if (all_stay) return;
  // Windows in which everything is refused leave, and take their question blocks with them.
  std::vector<bool> leaving(tasks_.size());
  for (std::size_t w = 0; w < tasks_.size(); ++w) {
    leaving[w] = there[w] > 0 && leaves(may_leave(tasks_[w]), initial_[w], remaining[w]);
    if (leaving[w]) results_[w].leave(row);
  }
  // Lay out what is left; the next stage gathers it from the blocks and cells of the one before.
  Ints kept, cells;
  std::vector<Block> left;
  for (std::size_t i = 0; i < live(); ++i) {
    const Block& block = blocks_[i];
    if (keep[i] && !leaving[block.window]) {
      kept.push_back(sized(i));
      cells.push_back(grid_.back[i]);
      left.push_back(block);
    } else {
      results_[block.window].dropped_after[block.number] = static_cast<std::int16_t>(layer);
    }
  }
  if (left.size() == live()) return;
  blocks_ = std::move(left);
  if (blocks_.empty()) return;
  arrange();
  Tensors steady = steady_;
  put("keep", kept, {sized(live())});
  put("keep_cells", cells, {sized(live())});
  layout_ = std::move(steady_);
  steady_ = std::move(steady);
}

std::vector<WindowResult> Batch::finish(const Tensors& outputs) {
  const auto* start = outputs.at("start_logits").values<float>();
  const auto* end = outputs.at("end_logits").values<float>();
  require_numbers(start, live() * size_, "start_logits");
  require_numbers(end, live() * size_, "end_logits");
  for (std::size_t i = 0; i < live(); ++i) {
    WindowResult& result = results_[blocks_[i].window];
    const auto place = static_cast<std::ptrdiff_t>(blocks_[i].number * size_);
    std::copy_n(start + i * size_, size_, result.start_logits.begin() + place);
    std::copy_n(end + i * size_, size_, result.end_logits.begin() + place);
  }
  return finish();
}

std::vector<WindowResult> Batch::finish() {
  return std::move(results_);
}

void Batch::arrange() {
  std::vector<std::size_t> windows;
  scored_.clear();
  for (std::size_t i = 0; i < live(); ++i) {
    windows.push_back(blocks_[i].window);
    if (blocks_[i].judged) scored_.push_back(i);
  }
  grid_ = build_grid(windows);
  steady_.clear();
  Ints every(live());
  std::iota(every.begin(), every.end(), 0);
  put("keep", every, {sized(live())});
  put("keep_cells", grid_.back, {sized(live())});
  put("table", grid_.table, {sized(grid_.rows), sized(grid_.width)});
  put("back", grid_.back, {sized(live())});
  // Graphs do not take empty tensors everywhere: with nothing to score, look at some block and ignore it.
  Ints cells;
  for (const std::size_t i : scored_) cells.push_back(grid_.back[i]);
  if (cells.empty()) cells.push_back(grid_.back[0]);
  put("scored", cells, {sized(cells.size())});
  if (wanted_.count("probe") > 0) {
    put("probe", diagonal_rows(cells, grid_, size_, heads_), {sized(cells.size()), sized(heads_), sized(size_)});
  }
  put_grid_tokens();
  if (wanted_.count("asked") > 0) put_questions();
  layout_ = steady_;
}

void Batch::put(const std::string& name, const Ints& values, std::vector<std::int64_t> shape) {
  if (wanted_.count(name) == 0) return;
  Tensor tensor = Tensor::make(TensorType::int64, std::move(shape));
  std::copy(values.begin(), values.end(), tensor.values<std::int64_t>());
  steady_[name] = std::move(tensor);
}

// Which positions of the grid hold a token, and which of them one of the passage.
void Batch::put_grid_tokens() {
  const std::vector<std::int64_t> shape{sized(grid_.rows), sized(grid_.width * size_)};
  Tensor mask = Tensor::make(TensorType::float32, shape);
  std::fill_n(mask.values<float>(), mask.count(), MASKED);
  const bool with_passage = wanted_.count("passage") > 0;
  Tensor passage = with_passage ? Tensor::make(TensorType::float32, shape) : Tensor();
  for (std::size_t i = 0; i < live(); ++i) {
    const auto place = static_cast<std::size_t>(grid_.back[i]) * size_;
    for (std::size_t k = 0; k < size_; ++k) {
      if (!is_token(blocks_[i], k)) continue;
      mask.values<float>()[place + k] = 0;
      if (with_passage) passage.values<float>()[place + k] = is_question(blocks_[i], k) ? 0.0f : 1.0f;
    }
  }
  if (wanted_.count("mask") > 0) steady_["mask"] = std::move(mask);
  if (with_passage) steady_["passage"] = std::move(passage);
}

// Where the grid holds the tokens of the questions, whose blocks come first in each row.
void Batch::put_questions() {
  std::vector<std::vector<std::size_t>> asking(
      grid_.rows);  // of each row, the blocks that hold a token of the question
  std::size_t most = 1;
  for (std::size_t i = 0; i < live(); ++i) {
    if (!is_question(blocks_[i], 0)) continue;
    auto& row = asking[static_cast<std::size_t>(grid_.back[i]) / grid_.width];
    row.push_back(i);
    most = std::max(most, row.size());
  }
  Ints asked;
  Tensor question = Tensor::make(TensorType::float32, {sized(grid_.rows), sized(most * size_)});
  for (std::size_t row = 0; row < grid_.rows; ++row) {
    for (std::size_t column = 0; column < most; ++column) {
      // Where a window has fewer question blocks than others, its first cell stands, and no token counts twice.
      const bool is_there = column < asking[row].size();
      asked.push_back(sized(row * grid_.width + (is_there ? column : 0)));
      for (std::size_t k = 0; k < size_ && is_there; ++k) {
        if (!is_question(blocks_[asking[row][column]], k)) continue;
        question.values<float>()[(row * most + column) * size_ + k] = 1;
      }
    }
  }
  put("asked", asked, {sized(grid_.rows), sized(most)});
  if (wanted_.count("question") > 0) steady_["question"] = std::move(question);
}

bool Batch::is_token(const Block& block, std::size_t position) const {
  return block.number * size_ + position < tasks_[block.window].window->length;
}

bool Batch::is_question(const Block& block, std::size_t position) const {
  return block.number * size_ + position < tasks_[block.window].window->question_length;
}

void require_numbers(const float* values, std::size_t count, const std::string& what) {
  if (std::all_of(values, values + count, [](float value) { return std::isfinite(value); })) return;
  throw BundleError("The model's " + what +
                    " are not numbers: its weights are damaged, or an activation was too large for the precision of "
                    "its graphs. Export the model again, in bf16 or fp32 if it was fp16.");
}

}  // namespace bskim
