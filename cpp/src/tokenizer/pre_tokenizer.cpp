#include "tokenizer/pre_tokenizer.hpp"

#include "tokenizer/characters.hpp"

namespace bskim::tokenizing {
namespace {

// Spaces are dropped.
template <typename Give>
void split_at_spaces(std::u32string_view word, Give give) {
  std::size_t begin = 0;
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (!is_space(word[i])) continue;
    give(begin, i);
    begin = i + 1;
  }
  give(begin, word.size());
}

class WhitespaceSplit : public PreTokenizer {
public:
  void apply(Words& words) const override {
    split_each(words, [](std::u32string_view word, auto give) { split_at_spaces(word, give); });
  }
};

// Each punctuation mark is a word.
class Bert : public PreTokenizer {
public:
  void apply(Words& words) const override {
    split_each(words, [](std::u32string_view word, auto give) {
      split_at_spaces(word, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
          if (!is_bert_punctuation(word[i])) continue;
          give(begin, i);
          give(i, i + 1);
          begin = i + 1;
        }
        give(begin, end);
      });
    });
  }
};

// As the regular expression \w+|[^\w\s]+ finds them.
class Whitespace : public PreTokenizer {
public:
  void apply(Words& words) const override {
    split_each(words, [](std::u32string_view word, auto give) {
      const auto kind = [](char32_t c) { return is_space(c) ? 0 : is_word(c) ? 1 : 2; };
      for (std::size_t begin = 0, end = 0; begin < word.size(); begin = end) {
        const int first = kind(word[begin]);
        for (end = begin + 1; end < word.size() && kind(word[end]) == first; ++end) {
        }
        if (first != 0) give(begin, end);
      }
    });
  }
};

// A visible character in the place of each space, and before the text; each begins a word.
class Metaspace : public PreTokenizer {
public:
  explicit Metaspace(const Part& part) {
    part.only({"type", "replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"});
    const std::u32string replacement = part.at("replacement").characters();
    if (replacement.size() != 1) part.fail("'replacement' must be one character. Export the bundle again.");
    replacement_ = replacement[0];
    split_ = part.boolean("split", true);
    const std::string scheme = part.has("prepend_scheme") ? part.at("prepend_scheme").text() : "always";
    if (scheme != "always" && scheme != "first" && scheme != "never")
      part.refuse("the prepend_scheme " + shown(scheme));
    always_ = scheme == "always";
    first_ = scheme == "first";
    // Older files have only this one.
    if (!part.boolean("add_prefix_space", true)) {
      if (scheme != "never") part.fail("'add_prefix_space' contradicts 'prepend_scheme'. Export the bundle again.");
      always_ = first_ = false;
    }
  }

  void apply(Words& words) const override {
    rewrite_each(words, [this](const Words& all, const Split& split, Normalized& made) {
      const char32_t begins = all.text.text[split.begin];
      const Span span = all.text.spans[split.begin];
      const bool marked = begins == replacement_ || begins == ' ';
      if (!marked && (always_ || (first_ && span.begin == 0))) made.push(replacement_, span);
      for (std::size_t i = split.begin; i < split.end; ++i) {
        made.push(all.text.text[i] == ' ' ? replacement_ : all.text.text[i], all.text.spans[i]);
      }
    });
    if (!split_) return;
    split_each(words, [this](std::u32string_view word, auto give) {
      std::size_t begin = 0;
      for (std::size_t i = 1; i < word.size(); ++i) {
        if (word[i] != replacement_) continue;
        give(begin, i);
        begin = i;
      }
      give(begin, word.size());
    });
  }

private:
  char32_t replacement_;
  bool split_, always_, first_;
};

std::unique_ptr<PreTokenizer> read_step(const Part& part, bool& of_bytes);

class Sequence : public PreTokenizer {
public:
  Sequence(const Part& part, bool& of_bytes) {
    part.only({"type", "pretokenizers"});
    for (const Part& item : part.at("pretokenizers").items()) {
      if (item.is_null()) item.fail("it must be an object. The file is damaged: export the bundle again.");
      all_.push_back(read_step(item, of_bytes));
    }
  }
  void apply(Words& words) const override {
    for (const auto& each : all_) each->apply(words);
  }

private:
  std::vector<std::unique_ptr<PreTokenizer>> all_;
};

template <typename Kind>
std::unique_ptr<PreTokenizer> plain(const Part& part) {
  part.only({"type"});
  return std::make_unique<Kind>();
}

// `of_bytes`: whether a step before this one was a ByteLevel.
std::unique_ptr<PreTokenizer> read_step(const Part& part, bool& of_bytes) {
  const std::string& kind = part.kind();
  if (kind == "BertPreTokenizer") return plain<Bert>(part);
  if (kind == "Whitespace") return plain<Whitespace>(part);
  if (kind == "WhitespaceSplit") return plain<WhitespaceSplit>(part);
  if (kind == "Metaspace") return std::make_unique<Metaspace>(part);
  if (kind == "ByteLevel") {
    // Each would make most texts twice as long.
    if (of_bytes) part.refuse("a second ByteLevel");
    of_bytes = true;
    return read_byte_level(part);
  }
  if (kind == "Sequence") return std::make_unique<Sequence>(part, of_bytes);
  part.refuse("the kind " + shown(kind));
}

}  // namespace

std::unique_ptr<PreTokenizer> read_pre_tokenizer(const Part& part) {
  part.limit();
  bool of_bytes = false;
  return part.is_null() ? nullptr : read_step(part, of_bytes);
}

}  // namespace bskim::tokenizing
