#include "runtime/windows.hpp"

#include <algorithm>
#include <numeric>
#include <string>

#include "errors.hpp"

namespace bskim {
namespace {

std::size_t count_windows(std::size_t tokens, std::size_t room, std::size_t stride) {
  return tokens <= room ? 1 : 1 + count_blocks(tokens - room, room - stride);
}

// Copy what is before the passage, a window's part of it, and what is behind it.
template <typename From>
void copy_parts(const From& from, std::size_t begin, std::size_t first, std::size_t last, std::size_t end,
                std::vector<std::int64_t>& to) {
  const auto at = [&from](std::size_t place) { return from.begin() + static_cast<std::ptrdiff_t>(place); };
  auto out = std::copy(from.begin(), at(begin), to.begin());
  out = std::copy(at(first), at(last), out);
  std::copy(at(end), from.end(), out);
}

}  // namespace

Windows::Windows(const Model& model, Tokens tokens, Range passage, std::size_t room, std::size_t stride, bool alone)
    : model_(&model),
      tokens_(std::move(tokens)),
      begin_(static_cast<std::size_t>(passage.first)),
      end_(static_cast<std::size_t>(passage.second)),
      room_(room),
      stride_(stride),
      count_(count_windows(end_ - begin_, room, stride)),
      alone_(alone && count_ == 1) {}

Window Windows::operator[](std::size_t number) const {
  const auto size = static_cast<std::size_t>(model_->block_size);
  const std::size_t first = begin_ + number * (room_ - stride_);
  const std::size_t last = std::min(first + room_, end_);
  const std::size_t length = begin_ + (last - first) + (tokens_.size() - end_);
  const std::size_t padded = count_blocks(length, size) * size;

  Window window;
  window.length = length;
  window.input_ids.assign(padded, model_->pad_token_id);
  copy_parts(tokens_.ids, begin_, first, last, end_, window.input_ids);
  window.token_type_ids.assign(padded, 0);
  if (model_->type_vocab_size > 1) copy_parts(tokens_.types, begin_, first, last, end_, window.token_type_ids);
  window.position_ids.resize(padded);
  std::iota(window.position_ids.begin(), window.position_ids.end(), model_->position_offset);
  if (model_->pad_position) {
    std::fill(window.position_ids.begin() + static_cast<std::ptrdiff_t>(length), window.position_ids.end(),
              *model_->pad_position);
  }

  // The last question block may hold passage tokens: without them the window may leave only if the one before it has
  // them too, or if they are refused as well.
  window.question_length = begin_;
  window.question_blocks = count_blocks(begin_, size);
  const std::size_t shared = std::min(window.question_blocks * size, length) - begin_;
  const bool covered = (number == 0 ? 0 : stride_) >= shared;
  window.may_leave = covered || !alone_;
  window.judge_shared = !covered && !alone_;
  const auto from = static_cast<std::ptrdiff_t>(first), to = static_cast<std::ptrdiff_t>(last);
  window.offsets.assign(tokens_.offsets.begin() + from, tokens_.offsets.begin() + to);
  window.words.assign(tokens_.words.begin() + from, tokens_.words.begin() + to);
  window.is_first = number == 0;
  window.is_last = number + 1 == count_;
  return window;
}

WindowMaker::WindowMaker(Tokenizer tokenizer, const Model& model)
    : tokenizer_(std::move(tokenizer)), model_(&model), specials_(tokenizer_.special_tokens_of_a_pair()) {}

Windows WindowMaker::cut(const Text& question, const Text& context, const Cutting& cutting) const {
  // Tokens of the whole context: cut into windows, a word may be tokenised otherwise.
  Tokens tokens = encode(tokenizer_, question, context);
  const auto& sequence = tokens.sequence;
  const auto in_question = std::count(sequence.begin(), sequence.end(), std::int8_t{0});
  const std::int64_t room = cutting.max_seq_len - in_question - static_cast<std::int64_t>(specials_);
  const std::string length = std::to_string(cutting.max_seq_len);
  if (in_question == 0) throw InputError("`question` cannot be empty: it has no words.");
  if (room < 1) {
    throw InputError("The question has " + std::to_string(in_question) +
                     " tokens, which leaves no room for the passage in a window of " + length +
                     ". Shorten the question or raise max_seq_len (up to " + std::to_string(model_->max_seq_len) +
                     " here).");
  }
  const auto first = std::find(sequence.begin(), sequence.end(), std::int8_t{1});
  if (first == sequence.end()) throw NoWordsError("`context` cannot be empty: it has no words.");
  const auto last = std::find(sequence.rbegin(), sequence.rend(), std::int8_t{1}).base();
  const Range passage(static_cast<std::int32_t>(first - sequence.begin()),
                      static_cast<std::int32_t>(last - sequence.begin()));
  Windows windows(*model_, std::move(tokens), passage, static_cast<std::size_t>(room),
                  static_cast<std::size_t>(std::min(cutting.doc_stride, room / 2)), cutting.alone);
  if (static_cast<std::int64_t>(windows.size()) > cutting.max_windows) {
    throw InputError("`context` makes " + std::to_string(windows.size()) + " windows, more than max_windows " +
                     std::to_string(cutting.max_windows) + ". Raise max_windows, raise max_seq_len (now " + length +
                     "), lower doc_stride (now " + std::to_string(cutting.doc_stride) + "), or split the context.");
  }
  return windows;
}

}  // namespace bskim
