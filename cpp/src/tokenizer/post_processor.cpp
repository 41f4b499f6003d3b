#include "tokenizer/post_processor.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace bskim::tokenizing {
namespace {

constexpr int kQuestion = 0, kContext = 1, kSpecial = -1;

std::int32_t id_of_pair(const Part& part) {
  const std::vector<Part> items = part.items();
  if (items.size() != 2) part.fail("it must be a text and an id. The file is damaged: export the bundle again.");
  items[0].text();
  return token_id(items[1]);
}

}  // namespace

PostProcessor::PostProcessor(const Part& root) {
  if (root.has("post_processor")) {
    root.at("post_processor").limit();
    read(root.at("post_processor"), false);
  }
  if (pair_.empty()) pair_ = {{kQuestion, 0, 0}, {kContext, 0, 1}};
}

void PostProcessor::read(const Part& part, bool nested) {
  const std::string& kind = part.kind();
  if (kind == "Sequence") {
    part.only({"type", "processors"});
    for (const Part& item : part.at("processors").items()) read(item, true);
    return;
  }
  // What comes behind special tokens would take them for texts.
  if (nested && !pair_.empty()) part.refuse("a step behind the one that adds special tokens");
  if (kind == "TemplateProcessing") {
    read_template(part);
  } else if (kind == "BertProcessing") {
    part.only({"type", "sep", "cls"});
    read_fixed(part, false);
  } else if (kind == "RobertaProcessing") {
    part.only({"type", "sep", "cls", "trim_offsets", "add_prefix_space"});
    const bool prefix = part.at("add_prefix_space").boolean();
    if (part.at("trim_offsets").boolean()) trims_.push_back(prefix);
    read_fixed(part, true);
  } else if (kind == "ByteLevel") {
    part.only({"type", "add_prefix_space", "trim_offsets", "use_regex"});
    const bool prefix = part.at("add_prefix_space").boolean();
    if (part.at("trim_offsets").boolean()) trims_.push_back(prefix);
  } else {
    part.refuse("the kind " + shown(kind));
  }
}

void PostProcessor::read_fixed(const Part& part, bool twice) {
  const std::int32_t begin = id_of_pair(part.at("cls")), separator = id_of_pair(part.at("sep"));
  // Types are all 0 in RoBERTa.
  const std::uint8_t second = twice ? 0 : 1;
  pair_ = {{kSpecial, begin, 0}, {kQuestion, 0, 0}, {kSpecial, separator, 0}};
  if (twice) pair_.push_back({kSpecial, separator, 0});
  pair_.push_back({kContext, 0, second});
  pair_.push_back({kSpecial, separator, second});
}

void PostProcessor::read_template(const Part& part) {
  part.only({"type", "single", "pair", "special_tokens"});
  const Part specials = part.at("special_tokens");
  pair_ = read_items(part.at("pair"), specials, 2);
  for (const Item& item : read_items(part.at("single"), specials, 1)) {
    if (item.text == kQuestion) alone_type_ = item.type;
  }
}

std::vector<PostProcessor::Item> PostProcessor::read_items(const Part& part, const Part& specials, int texts) const {
  std::vector<Item> items;
  int seen[2] = {0, 0};
  for (const Part& item : part.items()) {
    item.only({"Sequence", "SpecialToken"});
    const bool special = item.has("SpecialToken");
    const Part piece = item.at(special ? "SpecialToken" : "Sequence");
    piece.only({"id", "type_id"});
    const auto type = static_cast<std::uint8_t>(piece.at("type_id").integer(0, 255));
    const std::string& id = piece.at("id").text();
    if (!special) {
      if (id != "A" && id != "B") piece.fail("'id' must be A or B. The file is damaged: export the bundle again.");
      const int text = id == "A" ? kQuestion : kContext;
      ++seen[text];
      items.push_back({text, 0, type});
      continue;
    }
    const Part token = specials.at(id.c_str());
    token.only({"id", "ids", "tokens"});
    const std::vector<Part> ids = token.at("ids").items();
    if (ids.size() != token.at("tokens").items().size()) {
      token.fail("it has not one id for each token. The file is damaged: export the bundle again.");
    }
    for (const Part& each : ids) items.push_back({kSpecial, token_id(each), type});
  }
  if (seen[0] != 1 || seen[1] != texts - 1) part.refuse("a template that does not use each text once");
  return items;
}

void PostProcessor::trim(Encoded& text) const {
  for (const bool prefix : trims_) {
    for (std::size_t i = 0; i < text.spaces.size(); ++i) {
      auto& [begin, end] = text.tokens.offsets[i];
      Spaces spaces = text.spaces[i];
      // A space that was added stands for nothing.
      if ((i == 0 || begin == 0) && prefix && spaces.before == 1) spaces.before = 0;
      if (spaces.before > 0) begin = std::min(begin + spaces.before, end);
      if (spaces.behind > 0 && end >= spaces.behind) end = std::max(end - spaces.behind, begin);
    }
  }
}

void PostProcessor::append(const Item& item, const Tokens& text, Tokens& out) {
  if (item.text == kSpecial) {
    out.ids.push_back(item.id);
    out.types.push_back(item.type);
    out.offsets.emplace_back(0, 0);
    out.words.push_back(-1);
    out.sequence.push_back(-1);
    return;
  }
  out.ids.insert(out.ids.end(), text.ids.begin(), text.ids.end());
  out.types.insert(out.types.end(), text.size(), item.type);
  out.offsets.insert(out.offsets.end(), text.offsets.begin(), text.offsets.end());
  out.words.insert(out.words.end(), text.words.begin(), text.words.end());
  out.sequence.insert(out.sequence.end(), text.size(), static_cast<std::int8_t>(item.text));
}

Tokens PostProcessor::pair(Encoded question, Encoded context) const {
  trim(question);
  trim(context);
  Tokens out;
  const std::size_t size = question.tokens.size() + context.tokens.size() + pair_.size();
  out.ids.reserve(size);
  out.types.reserve(size);
  out.offsets.reserve(size);
  out.words.reserve(size);
  out.sequence.reserve(size);
  for (const Item& item : pair_) append(item, item.text == kContext ? context.tokens : question.tokens, out);
  return out;
}

Tokens PostProcessor::alone(Encoded text) const {
  trim(text);
  Tokens out;
  append({kQuestion, 0, alone_type_}, text.tokens, out);
  return out;
}

std::size_t PostProcessor::special_tokens_of_a_pair() const {
  return static_cast<std::size_t>(
      std::count_if(pair_.begin(), pair_.end(), [](const Item& item) { return item.text == kSpecial; }));
}

}  // namespace bskim::tokenizing
