// One question on its way to its answers: what must be known of its windows once they have run, and no more
// (bskim_export/runtime/asked.py).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "bskim/bskim.hpp"
#include "runtime/answering.hpp"
#include "runtime/budget.hpp"
#include "runtime/evidence.hpp"
#include "runtime/skipped.hpp"
#include "text.hpp"

namespace bskim {

// A question about one context, or about passages that are answered jointly. Of a window that has run, what it says
// about the answer is kept; of a passage, its text and its tokens.
class Asked {
public:
  // `joint`: there may be several passages, and answers say which they are from. Texts are UTF-8.
  Asked(const Answerer& answerer, std::string_view question, std::vector<Passage> passages, bool joint,
        bool return_skim);
  ~Asked();

  bool document() const { return document_; }  // it has several windows
  bool bounded() const { return bounded_; }    // more blocks than `max_blocks` allows: its first run only scouts

  // Give away the windows, in order, passage by passage. Throws InputError if the question cannot be run; windows that
  // were given before are of no use then.
  void cut(const std::function<void(std::size_t number, Window window)>& take);

  // Take in the result of a window, by its number; windows come in order of their numbers.
  void note(std::size_t number, const Window& window, const WindowResult& result);
  // Take in the result of a window that ran once more, instead of the first one.
  void note_again(const Again& again, const WindowResult& result);

  // The windows that must run once more. A question that must have an answer and whose windows have all left gets its
  // most promising window run once more, with that window's best block protected; one of more blocks than `max_blocks`,
  // the windows that hold the best-scored ones.
  std::vector<Again> again();

  Answers answers() const;

private:
  struct Part;

  Windows windows(const Text& text, bool alone);
  std::size_t count() const;  // windows of the passages that were read so far
  Part& part_of(std::size_t number);
  Window window(std::size_t number);
  Evidence read(std::size_t number, const Window& window, const WindowResult& result);
  std::size_t most_promising() const;
  std::vector<Skipped> skipped() const;

  const Answerer* answerer_;
  Text question_;
  std::vector<Passage> passages_;
  bool joint_, return_skim_;
  bool document_ = false, bounded_ = false;
  std::vector<std::unique_ptr<Part>> parts_;
  std::vector<Evidence> evidence_;
  std::map<std::size_t, Judged> scouted_;
  std::int64_t work_ = 0, most_work_ = 0;
};

}  // namespace bskim
