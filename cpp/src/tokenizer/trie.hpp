// Texts and a number for each, found by their beginnings.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace bskim::tokenizing {

class Trie {
public:
  static constexpr std::int32_t kNone = -1;
  static constexpr std::int32_t kRoot = 0;

  Trie();

  // Put a text in; the last number that it is given counts. Throws BundleError: it is too long, or there are too many.
  void insert(std::u32string_view text, std::int32_t value);

  // The node after one more character, or kNone.
  std::int32_t child(std::int32_t node, char32_t c) const {
    const std::uint64_t key = key_of(node, c);
    for (std::size_t slot = slot_of(key);; slot = (slot + 1) & mask_) {
      if (slots_[slot].key == key) return slots_[slot].node;
      if (slots_[slot].key == 0) return kNone;
    }
  }

  // The node after these characters, or kNone.
  std::int32_t walk(std::int32_t node, std::u32string_view text) const {
    for (std::size_t i = 0; i < text.size() && node != kNone; ++i) node = child(node, text[i]);
    return node;
  }

  // The number of the text that ends at a node, or kNone.
  std::int32_t value(std::int32_t node) const { return values_[static_cast<std::size_t>(node)]; }

  // The number of a text, or kNone.
  std::int32_t find(std::u32string_view text) const {
    const std::int32_t node = walk(kRoot, text);
    return node == kNone ? kNone : value(node);
  }

private:
  struct Slot {
    std::uint64_t key = 0;  // 0: free
    std::int32_t node = kNone;
  };

  static std::uint64_t key_of(std::int32_t node, char32_t c) {
    return ((static_cast<std::uint64_t>(node) << 21) | c) + 1;
  }
  std::size_t slot_of(std::uint64_t key) const {
    return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15u) >> 20) & mask_;
  }
  void grow();

  std::vector<Slot> slots_;  // a power of two, at most half of them taken
  std::size_t mask_;
  std::vector<std::int32_t> values_;  // of each node
};

}  // namespace bskim::tokenizing
