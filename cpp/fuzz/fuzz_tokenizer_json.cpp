// Any bytes as tokenizer.json: a tokenizer that encodes texts, or an error of ours.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "bskim/bskim.hpp"
#include "tokenizer/tokenizer.hpp"

namespace {

// Of several scripts, with what normalizers and pre-tokenizers look for.
const bskim::Text QUESTION = U"Who wrote it, and when? [MASK]";
const bskim::Text CONTEXT =
    U"  Ada Lovelace's \u00e9t\u00e9 e\u0301 \u4e2d\u6587 \ufb01ne 1,843\u00a0km\t\u0130\u03a3\u03a3 "
    U"\U0001F469\u200D\U0001F680\n\u0e01\u0e33 </s> ";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  try {
    const auto tokenizer = bskim::Tokenizer::from_json(json, "tokenizer.json");
    tokenizer.special_tokens_of_a_pair();
    tokenizer.splits_at_spaces();
    tokenizer.encode(QUESTION, CONTEXT);
    tokenizer.encode_alone(CONTEXT);
  } catch (const bskim::Error&) {
  }
  return 0;
}
