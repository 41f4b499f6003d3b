// Any bytes as question and context, with a real tokenizer: windows that hold together, or an error of ours. The
// tokenizer is that of the example, or the file that BSKIM_TOKENIZER names.
//
// Two bytes choose how the text is cut; up to a line feed it is the question, and behind it the context.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>

#include "bskim/bskim.hpp"
#include "runtime/characters.hpp"
#include "runtime/tokens.hpp"
#include "runtime/windows.hpp"
#include "text.hpp"
#include "tokenizer/tokenizer.hpp"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

struct Fixed {
  bskim::Model model;
  std::unique_ptr<bskim::Tokenizer> tokenizer;
  std::unique_ptr<bskim::WindowMaker> maker;

  Fixed() {
    const char* named = std::getenv("BSKIM_TOKENIZER");
    const std::string path = named != nullptr ? named : "examples/minilm-l6-squad/tokenizer.json";
    std::ifstream file(path, std::ios::binary);
    const std::string json((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    model.block_size = 32;
    model.max_seq_len = 384;
    model.type_vocab_size = 2;
    tokenizer = std::make_unique<bskim::Tokenizer>(bskim::Tokenizer::from_json(json, path));
    maker = std::make_unique<bskim::WindowMaker>(bskim::Tokenizer::from_json(json, path), model);
  }
};

void require_place(const bskim::Place& place, const bskim::Text& context) {
  require(place.first <= place.second && place.second <= context.size());
}

void check_window(const bskim::Window& window, const bskim::Characters& characters, const bskim::Text& context) {
  require(window.input_ids.size() % 32 == 0 && window.length <= window.input_ids.size());
  require(window.words.size() == window.offsets.size() && !window.offsets.empty());
  require(characters.edges(window).size() == window.offsets.size());
  const std::size_t last = window.offsets.size() - 1;
  for (const bool align : {false, true}) {
    require_place(characters.span(window, 0, last, align), context);
    require_place(characters.span(window, last / 2, last / 2, align), context);
  }
}

void require_same(const bskim::Tokens& a, const bskim::Tokens& b) {
  require(a.ids == b.ids && a.types == b.types && a.offsets == b.offsets && a.words == b.words &&
          a.sequence == b.sequence);
}

void run(const Fixed& fixed, std::string_view bytes, const bskim::Cutting& cutting) {
  const std::size_t end = bytes.find('\n');
  const bskim::Text question = bskim::decode_utf8(bytes.substr(0, end), "question");
  const bskim::Text context = bskim::decode_utf8(end < bytes.size() ? bytes.substr(end + 1) : "", "context");
  require(bskim::decode_utf8(bskim::encode_utf8(context), "again") == context);
  require(bskim::byte_offsets(context).size() == context.size() + 1);

  require_same(bskim::encode(*fixed.tokenizer, question, context, 16), fixed.tokenizer->encode(question, context));
  const bskim::Characters characters(context);
  require_place(characters.trim(0, context.size()), context);
  const bskim::Windows windows = fixed.maker->cut(question, context, cutting);
  for (std::size_t i = 0; i < windows.size(); ++i) check_window(windows[i], characters, context);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Fixed fixed;
  if (size < 2) return 0;
  bskim::Cutting cutting;
  cutting.max_seq_len = 8 + data[0];
  cutting.doc_stride = data[1];
  cutting.alone = data[0] % 2 == 0;
  try {
    run(fixed, {reinterpret_cast<const char*>(data) + 2, size - 2}, cutting);
  } catch (const bskim::Error&) {
  }
  return 0;
}
