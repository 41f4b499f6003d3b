#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "bskim/bskim.hpp"
#include "tokenizer/tokenizer.hpp"

using bskim::Tokenizer;
using bskim::Tokens;
using nlohmann::json;

namespace {

using Ids = std::vector<std::int32_t>;
using Offsets = std::vector<std::pair<std::int32_t, std::int32_t>>;

const char* const kBert = R"({
  "version": "1.0", "truncation": null, "padding": null, "decoder": null,
  "added_tokens": [{"id": 1, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": true},
                   {"id": 2, "content": "[SEP]", "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": true}],
  "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
                 "lowercase": true},
  "pre_tokenizer": {"type": "BertPreTokenizer"},
  "post_processor": {"type": "BertProcessing", "cls": ["[CLS]", 1], "sep": ["[SEP]", 2]},
  "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 10,
            "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "un": 3, "##known": 4, "the": 5, ".": 6, "cafe": 7,
                      "\u4e2d": 8, "##k": 9}}
})";

// "low", "lower" and " low" of bytes.
const char* const kRoberta = R"({
  "version": "1.0", "added_tokens": [], "normalizer": null,
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
  "post_processor": {"type": "RobertaProcessing", "cls": ["<s>", 0], "sep": ["</s>", 1], "trim_offsets": true,
                     "add_prefix_space": false},
  "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false,
            "vocab": {"<s>": 0, "</s>": 1, "l": 2, "o": 3, "w": 4, "e": 5, "r": 6, "\u0120": 7, "lo": 8, "low": 9,
                      "er": 10, "\u0120low": 11, "\u00c3": 12, "\u00a9": 13},
            "merges": ["l o", "lo w", "e r", "\u0120 low"]}
})";

const char* const kAlbert = R"({
  "version": "1.0", "added_tokens": [],
  "normalizer": {"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": "``"}, "content": "\""},
      {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"},
      {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
  "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": true},
  "post_processor": {"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
      "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
               {"SpecialToken": {"id": "[SEP]", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}},
               {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
      "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]},
                         "[SEP]": {"id": "[SEP]", "ids": [2], "tokens": ["[SEP]"]}}},
  "model": {"type": "Unigram", "unk_id": 0,
            "vocab": [["<unk>", 0], ["[CLS]", 0], ["[SEP]", 0], ["\u2581", -4.0], ["\u2581a", -2.0], ["a", -3.0],
                      ["b", -3.0], ["ab", -5.5], ["\u2581ab", -6.0], ["fi", -2.5], ["\"", -3.0]]}
})";

Tokenizer open(const std::string& text) {
  return Tokenizer::from_json(text, "tokenizer.json");
}

std::string changed(const char* text, const char* place, json value) {
  json whole = json::parse(text);
  whole[json::json_pointer(place)] = std::move(value);
  return whole.dump();
}

}  // namespace

TEST_CASE("a question and a context are one row") {
  const Tokens tokens = open(kBert).encode(U"The unknown", U"caf\u00e9 \u4e2d.");
  CHECK(tokens.ids == Ids{1, 5, 3, 4, 2, 7, 8, 6, 2});
  CHECK(tokens.types == std::vector<std::uint8_t>{0, 0, 0, 0, 0, 1, 1, 1, 1});
  CHECK(tokens.offsets == Offsets{{0, 0}, {0, 3}, {4, 6}, {6, 11}, {0, 0}, {0, 4}, {5, 6}, {6, 7}, {0, 0}});
  CHECK(tokens.words == std::vector<std::int32_t>{-1, 0, 1, 1, -1, 0, 1, 2, -1});
  CHECK(tokens.sequence == std::vector<std::int8_t>{-1, 0, 0, 0, -1, 1, 1, 1, -1});
}

TEST_CASE("a text by itself has no special tokens, but those that stand in it") {
  const Tokens tokens = open(kBert).encode_alone(U"the[SEP]the");
  CHECK(tokens.ids == Ids{5, 2, 5});
  CHECK(tokens.offsets == Offsets{{0, 3}, {3, 8}, {8, 11}});
  CHECK(tokens.sequence == std::vector<std::int8_t>{0, 0, 0});
  CHECK(open(kBert).encode_alone(U"").size() == 0);
}

TEST_CASE("a word that is unknown, or too long, is one token") {
  CHECK(open(kBert).encode_alone(U"unkz").ids == Ids{0});
  CHECK(open(kBert).encode_alone(U"unkkkkkkkk").ids == Ids{3, 9, 9, 9, 9, 9, 9, 9, 9});
  CHECK(open(kBert).encode_alone(U"unkkkkkkkkk").ids == Ids{0});
}

TEST_CASE("bytes merge in the order that was learned, and offsets are without spaces") {
  const Tokens tokens = open(kRoberta).encode(U"low", U"lower low \u00e9");
  CHECK(tokens.ids == Ids{0, 9, 1, 1, 9, 10, 11, 7, 12, 13, 1});
  CHECK(tokens.offsets ==
        Offsets{{0, 0}, {0, 3}, {0, 0}, {0, 0}, {0, 3}, {3, 5}, {6, 9}, {10, 10}, {10, 11}, {10, 11}, {0, 0}});
  CHECK(tokens.words == std::vector<std::int32_t>{-1, 0, -1, -1, 0, 0, 1, 2, 2, 2, -1});
}

TEST_CASE("the best split is found of texts that were normalised") {
  const Tokens tokens = open(kAlbert).encode(U"\u00c0B", U"``\ufb01  b?");
  CHECK(tokens.ids == Ids{1, 4, 6, 2, 3, 10, 9, 3, 6, 0, 2});
  CHECK(tokens.offsets ==
        Offsets{{0, 0}, {0, 1}, {1, 2}, {0, 0}, {1, 2}, {1, 2}, {2, 3}, {4, 5}, {5, 6}, {6, 7}, {0, 0}});
}

TEST_CASE("what is known of a tokenizer") {
  CHECK(open(kBert).special_tokens_of_a_pair() == 3);
  CHECK(open(kRoberta).special_tokens_of_a_pair() == 4);
  CHECK(open(kAlbert).special_tokens_of_a_pair() == 3);
  CHECK(open(kBert).splits_at_spaces());
  CHECK_FALSE(open(kRoberta).splits_at_spaces());
  CHECK_FALSE(open(kAlbert).splits_at_spaces());
}

TEST_CASE("scores are read as the library reads them") {
  // 9827901840209961 is no double: the library rounds it before it divides. The nearest score would give {1, 2, 2}.
  const json scores = json::parse(R"([["<unk>", 0], ["o", -6.817643165588379], ["oo", -9.827901840209961]])");
  const std::string text = changed(kAlbert, "/model/vocab", scores);
  CHECK(open(changed(text.c_str(), "/pre_tokenizer", nullptr)).encode_alone(U"ooooo").ids == Ids{2, 2, 1});
}

TEST_CASE("what is not known is refused by name") {
  const auto refused = [](const std::string& text, const char* what) {
    CAPTURE(what);
    CHECK_THROWS_WITH_AS(open(text), doctest::Contains(what), bskim::BundleError);
  };
  refused(changed(kBert, "/normalizer", {{"type", "Nmt"}}), "normalizer: this library does not know the kind 'Nmt'");
  refused(changed(kBert, "/pre_tokenizer/type", "Digits"), "'Digits'");
  refused(changed(kBert, "/model/type", "WordLevel"), "'WordLevel'");
  refused(changed(kBert, "/post_processor/type", "New"), "'New'");
  refused(changed(kBert, "/normalizer/new", 1), "the setting 'new'");
  refused(changed(kRoberta, "/model/dropout", 0.1), "'dropout'");
  refused(changed(kRoberta, "/model/byte_fallback", true), "'byte_fallback'");
  refused(changed(kAlbert, "/normalizer/normalizers/4/pattern/Regex", "a+"), "the pattern 'a+'");
}

TEST_CASE("a damaged file is an error") {
  const std::string whole = kAlbert;
  for (std::size_t size = 0; size < whole.size() - 1; size += 7) {
    CAPTURE(size);
    CHECK_THROWS_AS(open(whole.substr(0, size)), bskim::BundleError);
  }
  CHECK_THROWS_AS(open(std::string(1000, '[')), bskim::BundleError);
  CHECK_THROWS_AS(open("{}"), bskim::BundleError);
  CHECK_THROWS_AS(open(changed(kBert, "/added_tokens/0/id", -1)), bskim::BundleError);
  CHECK_THROWS_AS(open(changed(kBert, "/model/vocab/the", 1e30)), bskim::BundleError);
  CHECK_THROWS_AS(open(changed(kRoberta, "/model/merges", json::array({"no such"}))), bskim::BundleError);
  CHECK_THROWS_AS(open(changed(kAlbert, "/model/unk_id", 99)), bskim::BundleError);
}

TEST_CASE("a file cannot make texts grow without end") {
  json rules = json::array();
  for (int i = 0; i < 40; ++i) rules.push_back({{"type", "Prepend"}, {"prepend", "aa"}});
  CHECK_THROWS_AS(open(changed(kAlbert, "/normalizer/normalizers", rules)), bskim::BundleError);
  json steps = json::array();
  for (int i = 0; i < 40; ++i) steps.push_back(json::parse(kRoberta)["pre_tokenizer"]);
  const json sequence = {{"type", "Sequence"}, {"pretokenizers", steps}};
  CHECK_THROWS_AS(open(changed(kRoberta, "/pre_tokenizer", sequence)), bskim::BundleError);
}
