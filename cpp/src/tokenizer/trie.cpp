#include "tokenizer/trie.hpp"

#include "errors.hpp"

namespace bskim::tokenizing {
namespace {

// A search costs as many steps for every character as the longest has. In RoBERTa, that is 128.
constexpr std::size_t kLongest = 1024;
// The vocabularies of many languages have some two million.
constexpr std::size_t kMostNodes = std::size_t{1} << 24;

}  // namespace

Trie::Trie() : slots_(64), mask_(63), values_(1, kNone) {}

void Trie::insert(std::u32string_view text, std::int32_t value) {
  if (text.size() > kLongest) throw BundleError("A token of the tokenizer is too long. Use another tokenizer.");
  std::int32_t node = kRoot;
  for (char32_t c : text) {
    const std::int32_t next = child(node, c);
    if (next != kNone) {
      node = next;
      continue;
    }
    if (values_.size() == kMostNodes) throw BundleError("The tokenizer has too many tokens. Use another tokenizer.");
    if (values_.size() * 2 > slots_.size()) grow();
    const std::uint64_t key = key_of(node, c);
    std::size_t slot = slot_of(key);
    while (slots_[slot].key != 0) slot = (slot + 1) & mask_;
    node = static_cast<std::int32_t>(values_.size());
    slots_[slot] = {key, node};
    values_.push_back(kNone);
  }
  values_[static_cast<std::size_t>(node)] = value;
}

void Trie::grow() {
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  mask_ = slots_.size() - 1;
  for (const Slot& taken : old) {
    if (taken.key == 0) continue;
    std::size_t slot = slot_of(taken.key);
    while (slots_[slot].key != 0) slot = (slot + 1) & mask_;
    slots_[slot] = taken;
  }
}

}  // namespace bskim::tokenizing
