#include "tokenizer/normalizer.hpp"

#include <algorithm>
#include <utility>

#include "tokenizer/characters.hpp"

namespace bskim::tokenizing {
namespace {

// Of a charsmap, 18 are common. A few rules in a damaged file could make a text of any length.
constexpr double kMostGrowth = 64;

std::unique_ptr<Normalizer> read_rule(const Part& part);

// A rule that has no settings.
class Rule : public Normalizer {
public:
  explicit Rule(void (*rule)(Normalized&)) : rule_(rule) {}
  void apply(Normalized& text) const override { rule_(text); }

private:
  void (*rule_)(Normalized&);
};

class Bert : public Normalizer {
public:
  explicit Bert(const Part& part) {
    part.only({"type", "clean_text", "handle_chinese_chars", "strip_accents", "lowercase"});
    clean_ = part.at("clean_text").boolean();
    chinese_ = part.at("handle_chinese_chars").boolean();
    lowercase_ = part.at("lowercase").boolean();
    strip_ = part.boolean("strip_accents", lowercase_);
  }

  void apply(Normalized& text) const override {
    if (clean_) {
      text.remove_if([](char32_t c) { return c == 0 || c == 0xFFFD || is_bert_control(c); });
      for (char32_t& c : text.text) c = is_space(c) ? U' ' : c;
    }
    if (chinese_ && text.reaches(0x3400)) space_chinese(text);
    if (strip_ && text.reaches(0xC0)) {
      to_decomposed(text, false);
      text.remove_if(is_nonspacing_mark);
    }
    if (lowercase_) to_lowercase(text);
  }

private:
  static void space_chinese(Normalized& text) {
    Normalized made;
    for (std::size_t i = 0; i < text.text.size(); ++i) {
      const bool chinese = is_chinese(text.text[i]);
      if (chinese) made.push(U' ', text.spans[i]);
      made.push(text.text[i], text.spans[i]);
      if (chinese) made.push(U' ', text.spans[i]);
    }
    text = std::move(made);
  }

  bool clean_, chinese_, strip_, lowercase_;
};

class Sequence : public Normalizer {
public:
  explicit Sequence(const Part& part) {
    part.only({"type", "normalizers"});
    for (const Part& item : part.at("normalizers").items()) {
      if (item.is_null()) item.fail("it must be an object. The file is damaged: export the bundle again.");
      all_.push_back(read_rule(item));
    }
  }
  double growth() const override {
    double product = 1;
    for (const auto& each : all_) product *= each->growth();
    return product;
  }
  void apply(Normalized& text) const override {
    for (const auto& each : all_) each->apply(text);
  }

private:
  std::vector<std::unique_ptr<Normalizer>> all_;
};

// Put a text in the place of another one, or of two spaces and more.
class Replace : public Normalizer {
public:
  explicit Replace(const Part& part) {
    part.only({"type", "pattern", "content"});
    content_ = part.at("content").characters();
    const Part pattern = part.at("pattern");
    pattern.only({"String", "Regex"});
    if (pattern.has("Regex")) {
      if (pattern.at("Regex").text() != " {2,}") {
        part.refuse("the pattern " + shown(pattern.at("Regex").text()));
      }
      spaces_ = true;
    } else {
      pattern_ = pattern.at("String").characters();
      if (pattern_.empty()) part.refuse("an empty pattern");
    }
  }

  void apply(Normalized& text) const override {
    const std::u32string_view from = text.text;
    if (find(from, 0).first == std::u32string_view::npos) return;
    Normalized made;
    std::size_t done = 0;
    while (true) {
      const auto [begin, size] = find(from, done);
      for (std::size_t stop = std::min(begin, from.size()); done < stop; ++done)
        made.push(from[done], text.spans[done]);
      if (begin == std::u32string_view::npos) break;
      done = begin + size;
      for (char32_t c : content_) made.push(c, text.spans[done - 1]);
    }
    text = std::move(made);
  }

  double growth() const override {
    const std::size_t least = spaces_ ? 2 : pattern_.size();
    return std::max(1.0, static_cast<double>(content_.size()) / static_cast<double>(least));
  }

private:
  // The next match: its place, or npos, and its size.
  std::pair<std::size_t, std::size_t> find(std::u32string_view text, std::size_t from) const {
    if (!spaces_) return {text.find(pattern_, from), pattern_.size()};
    const std::size_t begin = text.find(U"  ", from);
    if (begin == std::u32string_view::npos) return {begin, 0};
    const std::size_t end = text.find_first_not_of(U' ', begin);
    return {begin, (end == std::u32string_view::npos ? text.size() : end) - begin};
  }

  std::u32string pattern_, content_;
  bool spaces_ = false;
};

class Prepend : public Normalizer {
public:
  explicit Prepend(const Part& part) : prefix_(part.at("prepend").characters()) { part.only({"type", "prepend"}); }
  void apply(Normalized& text) const override { text.prepend(prefix_); }
  double growth() const override { return 1 + static_cast<double>(prefix_.size()); }

private:
  std::u32string prefix_;
};

class Strip : public Normalizer {
public:
  explicit Strip(const Part& part) : left_(part.at("strip_left").boolean()), right_(part.at("strip_right").boolean()) {
    part.only({"type", "strip_left", "strip_right"});
  }
  void apply(Normalized& text) const override {
    std::size_t begin = 0, end = text.text.size();
    while (left_ && begin < end && is_space(text.text[begin])) ++begin;
    while (right_ && end > begin && is_space(text.text[end - 1])) --end;
    text.text.resize(end);
    text.spans.resize(end);
    text.text.erase(0, begin);
    text.spans.erase(text.spans.begin(), text.spans.begin() + static_cast<std::ptrdiff_t>(begin));
  }

private:
  bool left_, right_;
};

std::unique_ptr<Normalizer> rule(const Part& part, void (*apply)(Normalized&)) {
  part.only({"type"});
  return std::make_unique<Rule>(apply);
}

std::unique_ptr<Normalizer> read_rule(const Part& part) {
  const std::string& kind = part.kind();
  if (kind == "BertNormalizer") return std::make_unique<Bert>(part);
  if (kind == "Sequence") return std::make_unique<Sequence>(part);
  if (kind == "Replace") return std::make_unique<Replace>(part);
  if (kind == "Prepend") return std::make_unique<Prepend>(part);
  if (kind == "Strip") return std::make_unique<Strip>(part);
  if (kind == "Precompiled") return read_precompiled(part);
  if (kind == "Lowercase") return rule(part, to_lowercase);
  if (kind == "NFD") return rule(part, [](Normalized& text) { to_decomposed(text, false); });
  if (kind == "NFKD") return rule(part, [](Normalized& text) { to_decomposed(text, true); });
  if (kind == "NFC") return rule(part, [](Normalized& text) { to_composed(text, false); });
  if (kind == "NFKC") return rule(part, [](Normalized& text) { to_composed(text, true); });
  if (kind == "StripAccents") return rule(part, [](Normalized& text) { text.remove_if(is_combining_mark); });
  part.refuse("the kind " + shown(kind));
}

}  // namespace

std::unique_ptr<Normalizer> read_normalizer(const Part& part) {
  if (part.is_null()) return nullptr;
  part.limit();
  auto made = read_rule(part);
  if (made->growth() > kMostGrowth) part.fail("it makes texts too long. Use another tokenizer.");
  return made;
}

}  // namespace bskim::tokenizing
