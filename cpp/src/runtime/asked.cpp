#include "runtime/asked.hpp"

#include <algorithm>
#include <string>

#include "errors.hpp"
#include "runtime/scoring.hpp"

namespace bskim {

// One passage with words, and what is kept of it.
struct Asked::Part {
  std::size_t number;  // of the passage
  Text whole;          // all that is read
  std::size_t hidden;  // characters of it that are before the text
  std::size_t first;   // number of its first window
  std::optional<Windows> windows;
  std::optional<EvidenceReader> reader;
  SkippedTokens skipped;
};

Asked::Asked(const Answerer& answerer, std::string_view question, std::vector<Passage> passages, bool joint,
             bool return_skim)
    : answerer_(&answerer),
      question_(decode_utf8(question, "`question`")),
      passages_(std::move(passages)),
      joint_(joint),
      return_skim_(return_skim) {}

Asked::~Asked() = default;

std::size_t Asked::count() const {
  return parts_.empty() ? 0 : parts_.back()->first + parts_.back()->windows->size();
}

void Asked::cut(const std::function<void(std::size_t, Window)>& take) {
  const RunOptions& options = answerer_->options;
  const auto block_size = static_cast<std::size_t>(answerer_->runner->model().block_size);
  for (std::size_t number = 0; number < passages_.size(); ++number) {
    const Passage passage = std::move(passages_[number]);  // from here on, its characters are enough
    const std::string what = joint_ ? "passage " + std::to_string(number) : "`context`";
    Text title = decode_utf8(passage.title, what);
    if (!title.empty()) title += U'\n';
    auto part = std::make_unique<Part>(Part{
        number, title + decode_utf8(passage.text, what), title.size(), count(), {}, {}, SkippedTokens(block_size)});
    try {
      part->windows = windows(part->whole, passages_.size() == 1);
    } catch (const NoWordsError&) {
      if (!joint_) throw;
      continue;  // an empty passage holds nothing
    }
    part->reader.emplace(number, part->whole, part->hidden, answerer_->runner->model().cls_token_id, options);
    if (static_cast<std::int64_t>(count() + part->windows->size()) > options.max_windows) {
      throw InputError("`passages` make more than max_windows " + std::to_string(options.max_windows) +
                       " windows, the first " + std::to_string(number) + " of them " + std::to_string(count()) +
                       ". Raise max_windows, or pass fewer passages.");
    }
    parts_.push_back(std::move(part));
    const Part& own = *parts_.back();
    for (std::size_t i = 0; i < own.windows->size(); ++i) take(own.first + i, (*own.windows)[i]);
  }
  if (parts_.empty()) throw InputError("`passages` cannot be empty: none of them has words.");
}

// Cut a text into windows, and find out whether the question has more blocks than it may.
Windows Asked::windows(const Text& text, bool alone) {
  Windows windows = answerer_->windows(question_, text, alone);
  document_ = !alone || windows.size() > 1;
  const std::optional<std::int64_t> most = answerer_->options.max_blocks;
  if (!most) return windows;
  if (!bounded_) {
    const auto size = static_cast<std::size_t>(answerer_->runner->model().block_size);
    std::size_t blocks = 0;
    for (std::size_t i = 0; i < windows.size() && !joint_; ++i) {
      const Window window = windows[i];
      blocks += window.input_ids.size() / size - window.unjudged_blocks();
    }
    bounded_ = joint_ || static_cast<std::int64_t>(blocks) > *most;
  }
  document_ = document_ || bounded_;
  // Every window must be able to leave after the first run; of several, each is.
  if (bounded_ && alone && windows.size() == 1) return answerer_->windows(question_, text, false);
  return windows;
}

Asked::Part& Asked::part_of(std::size_t number) {
  const auto behind = std::upper_bound(parts_.begin(), parts_.end(), number,
                                       [](std::size_t n, const auto& part) { return n < part->first; });
  return **(behind - 1);
}

Window Asked::window(std::size_t number) {
  const Part& part = part_of(number);
  return (*part.windows)[number - part.first];
}

void Asked::note(std::size_t number, const Window& window, const WindowResult& result) {
  if (bounded_) scouted_[number] = {window.unjudged_blocks(), result.keep_probability()};
  evidence_.push_back(read(number, window, result));
  const Model& model = answerer_->runner->model();
  const auto blocks = static_cast<std::int64_t>(window.input_ids.size()) / model.block_size;
  most_work_ += (blocks - static_cast<std::int64_t>(window.question_blocks)) * model.num_layers;
}

void Asked::note_again(const Again& again, const WindowResult& result) {
  evidence_[again.number] = read(again.number, again.window, result);
}

Evidence Asked::read(std::size_t number, const Window& window, const WindowResult& result) {
  Part& part = part_of(number);
  if (return_skim_) part.skipped.note(number, window, result);
  const std::int64_t layers = answerer_->runner->model().num_layers;
  for (std::size_t block = window.question_blocks; block < result.dropped_after.size(); ++block) {
    work_ += std::min<std::int64_t>(result.dropped_after[block] + 1, layers);
  }
  return part.reader->read(window, result);
}

std::vector<Again> Asked::again() {
  std::vector<Again> found;
  const bool may_be_empty = answerer_->options.handle_impossible_answer;
  if (bounded_) {
    const Choice choice = choose_blocks(scouted_, static_cast<std::size_t>(*answerer_->options.max_blocks));
    scouted_.clear();
    for (const auto& [number, chosen] : choice.windows) {
      // A question that must have an answer keeps its best block, whatever later predictors say of it.
      std::optional<int> held;
      if (choice.best && choice.best->first == number && !may_be_empty) held = choice.best->second;
      found.push_back({number, window(number), held, chosen});
    }
    return found;
  }
  const bool all_left = std::all_of(evidence_.begin(), evidence_.end(), [](const Evidence& e) { return e.left; });
  if (may_be_empty || !all_left) return found;
  const std::size_t number = most_promising();
  found.push_back({number, window(number), evidence_[number].best_block, std::nullopt});
  return found;
}

// The window that stayed longest; of several, the one that was surest of a block when it left; of several still, the
// first (bskim_export/runtime/leaving.py).
std::size_t Asked::most_promising() const {
  const auto best = std::max_element(evidence_.begin(), evidence_.end(), [](const Evidence& a, const Evidence& b) {
    return a.left_after != b.left_after ? a.left_after < b.left_after : a.best_score < b.best_score;
  });
  return static_cast<std::size_t>(best - evidence_.begin());
}

Answers Asked::answers() const {
  Answers answers;
  std::map<std::size_t, std::vector<std::size_t>> bytes;  // of each passage that has answers, the offsets of characters
  for (const Scored& one : best_answers(evidence_, answerer_->options)) {
    Answer answer;
    answer.score = one.score;
    if (one.passage) {
      const auto own =
          std::find_if(parts_.begin(), parts_.end(), [&](const auto& p) { return p->number == *one.passage; });
      auto& offsets = bytes[*one.passage];
      if (offsets.empty()) offsets = byte_offsets((*own)->whole);
      const std::size_t hidden = (*own)->hidden;
      answer.start = one.start;
      answer.end = one.end;
      answer.start_byte = offsets[hidden + one.start] - offsets[hidden];
      answer.end_byte = offsets[hidden + one.end] - offsets[hidden];
      answer.text = encode_utf8(one.text);
      if (joint_) answer.passage = one.passage;
    }
    answers.answers.push_back(std::move(answer));
  }
  answers.skipped = skipped();
  answers.windows = count();
  answers.kept_share = most_work_ ? static_cast<double>(work_) / static_cast<double>(most_work_) : 1.0;
  return answers;
}

// What was skimmed, passage by passage.
std::vector<Skipped> Asked::skipped() const {
  std::vector<Skipped> found;
  for (const auto& part : parts_) {
    for (Skipped one : part->skipped.ranges()) {
      if (one.end <= part->hidden) continue;
      one.start -= std::min(one.start, part->hidden);
      one.end -= part->hidden;
      if (joint_) one.passage = part->number;
      found.push_back(one);
    }
  }
  return found;
}

}  // namespace bskim
