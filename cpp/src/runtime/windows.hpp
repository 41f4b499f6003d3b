// Windows: `[CLS] question [SEP] passage part [SEP]` sequences (bskim_export/runtime/windows.py).
#pragma once

#include <cstddef>
#include <memory>

#include "blocks.hpp"
#include "bundle/manifest.hpp"
#include "runtime/tokens.hpp"
#include "runtime/window.hpp"
#include "text.hpp"

namespace bskim {

constexpr std::int64_t MAX_WINDOWS = 4096;  // of one question: some 700,000 words, at the usual 384 positions

// The windows of one question, in the order of the passage. Each is made when it is asked for: of a long context, the
// tokens are all that stays in memory.
class Windows {
public:
  // `passage` is where the context's tokens are among all, `room` how many of them a window has at most, and `stride`
  // how many neighbouring windows share. `alone`: the question is asked of this context only. Its single window does
  // not leave while it holds passage tokens that share a block with the question: it would only have to run once more.
  Windows(const Model& model, Tokens tokens, Range passage, std::size_t room, std::size_t stride, bool alone);

  std::size_t size() const { return count_; }
  Window operator[](std::size_t number) const;

private:
  const Model* model_;
  Tokens tokens_;
  std::size_t begin_, end_, room_, stride_, count_;
  bool alone_;
};

// How a text is cut.
struct Cutting {
  std::int64_t max_seq_len = 0;  // positions of a window at most, special tokens included
  std::int64_t doc_stride = 0;   // passage tokens that neighbours share; half of the room for the passage at most
  std::int64_t max_windows = MAX_WINDOWS;
  bool alone = true;  // the question is asked of no other context
};

// Cuts a question and its context into windows. Safe from several threads.
class WindowMaker {
public:
  WindowMaker(Tokenizer tokenizer, const Model& model);

  // Throws InputError: the question or the context has no words (NoWordsError), the question fills the window, or there
  // are more windows than allowed.
  Windows cut(const Text& question, const Text& context, const Cutting& cutting) const;

private:
  Tokenizer tokenizer_;
  const Model* model_;
  std::size_t specials_;
};

}  // namespace bskim
