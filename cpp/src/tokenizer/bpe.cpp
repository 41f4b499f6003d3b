// Byte pair encoding: neighbours merge, in the order in which the merges were learned.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "text.hpp"
#include "tokenizer/model.hpp"

namespace bskim::tokenizing {
namespace {

std::uint32_t bytes_of(char32_t c) {
  return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
}

// The first in the heap is of the lowest rank, and the leftmost of those.
bool later(const Workspace::Merge& a, const Workspace::Merge& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.place > b.place;
}

class Bpe : public Model {
public:
  explicit Bpe(const Part& part) {
    part.only({"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
               "byte_fallback", "ignore_merges", "vocab", "merges"});
    part.refuse_present("continuing_subword_prefix");
    part.refuse_present("end_of_word_suffix");
    part.refuse_true("byte_fallback");
    if (part.has("dropout") && part.at("dropout").number() != 0) part.refuse("'dropout'");
    fuse_unknown_ = part.boolean("fuse_unk", false);
    ignore_merges_ = part.boolean("ignore_merges", false);
    vocabulary_ = read_vocabulary(part.at("vocab"));
    has_unknown_ = part.has("unk_token");
    if (has_unknown_) unknown_ = vocabulary_.trie.find(part.at("unk_token").characters());
    read_merges(part.at("merges"));
  }

  void tokenize(std::u32string_view word, Workspace& room, std::vector<Piece>& out) const override {
    if (ignore_merges_) {
      const std::int32_t id = vocabulary_.trie.find(word);
      if (id != Trie::kNone) {
        out.push_back({id, 0, static_cast<std::uint32_t>(word.size())});
        return;
      }
    }
    const bool dropped = add_symbols(word, room);
    merge(room);
    if (dropped) {
      give_by_bytes(word, room, out);
      return;
    }
    // Bytes to characters.
    std::size_t place = 0;
    for (const auto& symbol : room.symbols) {
      if (symbol.length == 0) continue;
      const std::size_t begin = place;
      for (std::uint32_t bytes = 0; bytes < symbol.length; ++place) bytes += bytes_of(word[place]);
      out.push_back({symbol.id, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(place)});
    }
  }

private:
  struct Merged {
    std::int32_t rank, id;
  };

  void read_merges(const Part& part) {
    if (!part.json().is_array()) part.fail("it must be a list. The file is damaged: export the bundle again.");
    std::int32_t rank = 0;
    merges_.reserve(part.json().size());
    for (const auto& item : part.json()) {
      std::string a, b;
      if (item.is_string()) {
        const auto& line = item.get_ref<const std::string&>();
        if (line.compare(0, 8, "#version") == 0) continue;
        const std::size_t space = line.find(' ');
        if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos) fail_merge(part, rank);
        a = line.substr(0, space);
        b = line.substr(space + 1);
      } else if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string()) {
        a = item[0].get<std::string>();
        b = item[1].get<std::string>();
      } else {
        fail_merge(part, rank);
      }
      const Text left = decode_utf8(a, "a merge"), right = decode_utf8(b, "a merge");
      const std::int32_t first = vocabulary_.trie.find(left), second = vocabulary_.trie.find(right);
      const std::int32_t both = vocabulary_.trie.find(left + right);
      if (first == Trie::kNone || second == Trie::kNone || both == Trie::kNone) fail_merge(part, rank);
      merges_[key(first, second)] = {rank++, both};
    }
  }

  [[noreturn]] static void fail_merge(const Part& part, std::int32_t rank) {
    part.fail("number " + std::to_string(rank) +
              " is not two texts of the vocabulary. The file is damaged: export the bundle again.");
  }

  static std::uint64_t key(std::int32_t a, std::int32_t b) {
    return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(a)) << 32) | static_cast<std::uint32_t>(b);
  }

  static void add(Workspace& room, std::int32_t id, std::uint32_t length) {
    const auto place = static_cast<std::int32_t>(room.symbols.size());
    if (place > 0) room.symbols.back().behind = place;
    room.symbols.push_back({id, place - 1, -1, length});
  }

  // One symbol for each character. Returns whether one was dropped: it is unknown, and there is no token for that.
  bool add_symbols(std::u32string_view word, Workspace& room) const {
    room.symbols.clear();
    bool dropped = false;
    std::uint32_t unknown = 0;  // bytes that wait
    for (char32_t c : word) {
      const std::int32_t node = vocabulary_.trie.child(Trie::kRoot, c);
      const std::int32_t id = node == Trie::kNone ? Trie::kNone : vocabulary_.trie.value(node);
      if (id != Trie::kNone) {
        if (unknown > 0) add(room, unknown_, unknown);
        unknown = 0;
        add(room, id, bytes_of(c));
        continue;
      }
      if (!has_unknown_) {
        dropped = true;
        continue;
      }
      if (unknown_ == Trie::kNone) no_unknown_token();
      if (unknown > 0 && !fuse_unknown_) {
        add(room, unknown_, unknown);
        unknown = 0;
      }
      unknown += bytes_of(c);
    }
    if (unknown > 0) add(room, unknown_, unknown);
    return dropped;
  }

  void offer(Workspace& room, std::int32_t place, std::int32_t next) const {
    const auto found = merges_.find(
        key(room.symbols[static_cast<std::size_t>(place)].id, room.symbols[static_cast<std::size_t>(next)].id));
    if (found == merges_.end()) return;
    room.merges.push_back({found->second.rank, place, found->second.id});
    std::push_heap(room.merges.begin(), room.merges.end(), later);
  }

  void merge(Workspace& room) const {
    auto& symbols = room.symbols;
    room.merges.clear();
    for (std::size_t i = 1; i < symbols.size(); ++i) {
      offer(room, static_cast<std::int32_t>(i - 1), static_cast<std::int32_t>(i));
    }
    while (!room.merges.empty()) {
      std::pop_heap(room.merges.begin(), room.merges.end(), later);
      const Workspace::Merge best = room.merges.back();
      room.merges.pop_back();
      auto& left = symbols[static_cast<std::size_t>(best.place)];
      if (left.length == 0 || left.behind < 0) continue;
      auto& right = symbols[static_cast<std::size_t>(left.behind)];
      // Its symbols may have been merged with others since.
      const auto found = merges_.find(key(left.id, right.id));
      if (found == merges_.end() || found->second.id != best.id) continue;
      left.id = best.id;
      left.length += right.length;
      left.behind = right.behind;
      right.length = 0;
      if (left.behind >= 0) symbols[static_cast<std::size_t>(left.behind)].before = best.place;
      if (left.before >= 0) offer(room, left.before, best.place);
      if (left.behind >= 0) offer(room, best.place, left.behind);
    }
  }

  // The library counts bytes of the symbols that it kept. Where it dropped some, what follows is said to be further
  // left.
  static void give_by_bytes(std::u32string_view word, const Workspace& room, std::vector<Piece>& out) {
    std::vector<std::uint32_t> character;  // of each byte
    for (std::size_t i = 0; i < word.size(); ++i) character.insert(character.end(), bytes_of(word[i]), i);
    std::size_t bytes = 0;
    for (const auto& symbol : room.symbols) {
      if (symbol.length == 0) continue;
      out.push_back({symbol.id, character[bytes], character[bytes + symbol.length - 1] + 1});
      bytes += symbol.length;
    }
  }

  std::unordered_map<std::uint64_t, Merged> merges_;
  std::int32_t unknown_ = Trie::kNone;
  bool has_unknown_ = false, fuse_unknown_ = false, ignore_merges_ = false;
};

}  // namespace

std::unique_ptr<Model> read_bpe(const Part& part) {
  return std::make_unique<Bpe>(part);
}

}  // namespace bskim::tokenizing
