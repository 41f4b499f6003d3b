// bskim-tokens TOKENIZER_JSON: tokens of the texts on standard input, one JSON object a line: {"question": ...,
// "context": ...} or {"text": ...}. Writes one object a line: ids, types, offsets, words, sequence; or the error.
// Escapes of lone surrogates are no JSON here: replace them by U+FFFD before, as the runtime does.
//
// bskim-tokens --about TOKENIZER_JSON: what else is known of a tokenizer.
//
// bskim-tokens --time ROUNDS TOKENIZER_JSON: microseconds that a line takes on the mean, in the fastest round.
#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bskim/bskim.hpp"
#include "text.hpp"
#include "tokenizer/tokenizer.hpp"

namespace {

using nlohmann::json;

bskim::Text read(const json& line, const char* name) {
  return bskim::decode_utf8(line.at(name).get_ref<const std::string&>(), name);
}

json tokens_of(const bskim::Tokenizer& tokenizer, const json& line) {
  try {
    const bskim::Tokens tokens = line.contains("text")
                                     ? tokenizer.encode_alone(read(line, "text"))
                                     : tokenizer.encode(read(line, "question"), read(line, "context"));
    return {{"ids", tokens.ids},
            {"types", tokens.types},
            {"offsets", tokens.offsets},
            {"words", tokens.words},
            {"sequence", tokens.sequence}};
  } catch (const bskim::Error& error) {
    return {{"error", error.what()}};
  }
}

bskim::Tokenizer open(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw bskim::InputError("'" + std::string(path) + "' cannot be read.");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return bskim::Tokenizer::from_json(text, path);
}

void write_tokens(const bskim::Tokenizer& tokenizer) {
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << tokens_of(tokenizer, json::parse(line)) << "\n";
  }
}

void write_about(const bskim::Tokenizer& tokenizer) {
  std::cout << json{{"special_tokens", tokenizer.special_tokens_of_a_pair()},
                    {"splits_at_spaces", tokenizer.splits_at_spaces()}}
            << "\n";
}

void write_time(const bskim::Tokenizer& tokenizer, int rounds) {
  std::vector<std::pair<bskim::Text, bskim::Text>> texts;
  for (std::string line; std::getline(std::cin, line);) {
    const json parsed = json::parse(line);
    texts.emplace_back(read(parsed, "question"), read(parsed, "context"));
  }
  double best = std::numeric_limits<double>::infinity();
  std::size_t tokens = 0;
  for (int i = 0; i < rounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    for (const auto& [question, context] : texts) tokens += tokenizer.encode(question, context).size();
    best = std::min(best, std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
  }
  std::cout << json{{"microseconds", best / static_cast<double>(texts.size())},
                    {"tokens", tokens / texts.size() / static_cast<std::size_t>(rounds)}}
            << "\n";
}

}  // namespace

int main(int count, char** arguments) {
  const std::string mode = count > 1 ? arguments[1] : "";
  const bool about = count == 3 && mode == "--about", time = count == 4 && mode == "--time";
  if (!about && !time && count != 2) {
    std::cerr << "usage: bskim-tokens [--about | --time ROUNDS] TOKENIZER_JSON\n";
    return 2;
  }
  std::ios::sync_with_stdio(false);
  try {
    const bskim::Tokenizer tokenizer = open(arguments[count - 1]);
    if (about) write_about(tokenizer);
    if (time) write_time(tokenizer, std::stoi(arguments[2]));
    if (!about && !time) write_tokens(tokenizer);
    return 0;
  } catch (const std::exception& error) {
    std::cout.flush();
    std::cerr << error.what() << "\n";
    return 1;
  }
}
