// What splits a text into words.
#pragma once

#include <memory>
#include <vector>

#include "tokenizer/normalized.hpp"
#include "tokenizer/part.hpp"

namespace bskim::tokenizing {

// Characters [begin, end) of a text: a word, or an added token that was found in it.
struct Split {
  std::size_t begin, end;
  std::int32_t added = -1;  // the id of the added token
};

// A text and its splits, in order. None is empty; characters between them are dropped.
struct Words {
  Normalized text;
  std::vector<Split> splits;

  std::u32string_view view(const Split& split) const {
    return std::u32string_view(text.text).substr(split.begin, split.end - split.begin);
  }
};

class PreTokenizer {
public:
  virtual ~PreTokenizer() = default;
  // Split the words that there are, but no added tokens.
  virtual void apply(Words& words) const = 0;
};

// Read the `pre_tokenizer` of a tokenizer.json; none if it is null. Throws BundleError.
std::unique_ptr<PreTokenizer> read_pre_tokenizer(const Part& part);

std::unique_ptr<PreTokenizer> read_byte_level(const Part& part);

// Split each word with a function: word, what to call with the [begin, end) of each part.
template <typename Function>
void split_each(Words& words, Function split) {
  std::vector<Split> made;
  made.reserve(words.splits.size());
  for (const Split& old : words.splits) {
    if (old.added >= 0) {
      made.push_back(old);
      continue;
    }
    split(words.view(old), [&](std::size_t begin, std::size_t end) {
      if (begin < end) made.push_back({old.begin + begin, old.begin + end});
    });
  }
  words.splits = std::move(made);
}

// Rewrite each word with a function: the words, the split, the text to which to append what it becomes.
template <typename Function>
void rewrite_each(Words& words, Function rewrite) {
  Normalized made;
  made.text.reserve(words.text.text.size() + words.splits.size());
  made.spans.reserve(words.text.text.size() + words.splits.size());
  for (Split& split : words.splits) {
    const std::size_t begin = made.text.size();
    if (split.added >= 0) {
      for (std::size_t i = split.begin; i < split.end; ++i) made.push(words.text.text[i], words.text.spans[i]);
    } else {
      rewrite(words, split, made);
    }
    split.begin = begin;
    split.end = made.text.size();
  }
  words.text = std::move(made);
}

}  // namespace bskim::tokenizing
