// The charsmap of a sentencepiece model: a double-array trie of texts, and what each becomes.
#include <algorithm>
#include <array>

#include "errors.hpp"
#include "text.hpp"
#include "tokenizer/characters.hpp"
#include "tokenizer/normalizer.hpp"

namespace bskim::tokenizing {
namespace {

// The bytes of a base64 text. Empty if it is none: no charsmap is empty.
std::string from_base64(const std::string& text) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.size() % 4 != 0) return "";
  std::size_t size = text.size();
  while (size > 0 && text.size() - size < 2 && text[size - 1] == '=') --size;
  std::string bytes;
  std::uint32_t bits = 0;
  int count = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const std::size_t digit = kDigits.find(text[i]);
    if (digit == std::string_view::npos) return "";
    bits = (bits << 6) | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes.push_back(static_cast<char>((bits >> count) & 0xFF));
    }
  }
  return bytes;
}

std::uint32_t little_endian(std::string_view bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = 4; i-- > 0;) value = (value << 8) | static_cast<unsigned char>(bytes[i]);
  return value;
}

class Precompiled : public Normalizer {
public:
  explicit Precompiled(const Part& part) {
    part.only({"type", "precompiled_charsmap"});
    const std::string bytes = from_base64(part.at("precompiled_charsmap").text());
    const std::size_t size = bytes.size() < 4 ? 0 : little_endian(bytes);
    if (bytes.size() < 4 || size % 4 != 0 || size > bytes.size() - 4 || size == 0) {
      part.fail("'precompiled_charsmap' is damaged: export the bundle again.");
    }
    const std::string_view all = bytes;
    for (std::size_t i = 0; i < size; i += 4) units_.push_back(little_endian(all.substr(4 + i, 4)));
    try {
      // Values of the trie are places in bytes.
      const Text texts = decode_utf8(all.substr(4 + size), "a charsmap");
      std::size_t next = 0;
      for (char32_t c : texts) {
        starts_.resize(next, -1);
        starts_.push_back(static_cast<std::int32_t>(texts_.size()));
        texts_.push_back(c);
        next += c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
      }
      starts_.resize(next, -1);
      starts_.push_back(static_cast<std::int32_t>(texts_.size()));  // an empty text at the end
      std::size_t run = 0;
      for (char32_t c : texts_) longest_ = std::max(longest_, run = c == 0 ? 0 : run + 1);
    } catch (const InputError&) {
      part.fail("'precompiled_charsmap' is damaged: export the bundle again.");
    }
  }

  void apply(Normalized& text) const override {
    std::vector<Changed> changed;
    bool modified = false;
    Graphemes graphemes;
    const std::u32string_view whole = text.text;
    for (std::size_t begin = 0, end = 0; begin < whole.size(); begin = end) {
      if (begin == 0) graphemes.begins(whole[0]);
      for (end = begin + 1; end < whole.size() && !graphemes.begins(whole[end]); ++end) {
      }
      // sentencepiece looks up clusters; the library does so with those of less than six bytes.
      if (bytes_of(whole.substr(begin, end - begin)) < 6 && replace(whole.substr(begin, end - begin), changed)) {
        modified = true;
        continue;
      }
      for (std::size_t i = begin; i < end; ++i) {
        if (replace(whole.substr(i, 1), changed)) {
          modified = true;
        } else {
          changed.push_back({whole[i], 0});
        }
      }
    }
    if (modified) text.transform(changed);
  }

  double growth() const override { return std::max(1.0, static_cast<double>(longest_)); }

private:
  static std::size_t bytes_of(std::u32string_view text) {
    std::size_t bytes = 0;
    for (char32_t c : text) bytes += c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    return bytes;
  }

  // Where the text begins that the shortest known beginning of `part` becomes; -1: there is none.
  std::int32_t find(std::u32string_view part) const {
    const auto offset = [](std::uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); };
    std::uint32_t node = offset(units_[0]);
    for (char32_t c : part) {
      std::array<std::uint8_t, 4> bytes;
      const std::size_t count = encode(c, bytes);
      for (std::size_t i = 0; i < count; ++i) {
        if (bytes[i] == 0) return -1;
        node ^= bytes[i];
        if (node >= units_.size()) return -1;
        const std::uint32_t unit = units_[node];
        if ((unit & ((1u << 31) | 0xFF)) != bytes[i]) return -1;
        node ^= offset(unit);
        if (((unit >> 8) & 1) == 0) continue;
        const std::uint32_t place = node < units_.size() ? units_[node] & ((1u << 31) - 1) : ~0u;
        return place < starts_.size() ? starts_[place] : -1;
      }
    }
    return -1;
  }

  static std::size_t encode(char32_t c, std::array<std::uint8_t, 4>& out) {
    const auto tail = [](char32_t bits) { return static_cast<std::uint8_t>(0x80 | (bits & 0x3F)); };
    if (c < 0x80) {
      out[0] = static_cast<std::uint8_t>(c);
      return 1;
    }
    if (c < 0x800) {
      out = {static_cast<std::uint8_t>(0xC0 | (c >> 6)), tail(c), 0, 0};
      return 2;
    }
    if (c < 0x10000) {
      out = {static_cast<std::uint8_t>(0xE0 | (c >> 12)), tail(c >> 6), tail(c), 0};
      return 3;
    }
    out = {static_cast<std::uint8_t>(0xF0 | (c >> 18)), tail(c >> 12), tail(c >> 6), tail(c)};
    return 4;
  }

  // Append what a part becomes. Returns whether it is known. Changes are counted as the library does, which forgets
  // what was dropped before the first character that it kept.
  bool replace(std::u32string_view part, std::vector<Changed>& changed) const {
    const std::int32_t begin = find(part);
    if (begin < 0) return false;
    std::int32_t count = 0;
    for (auto i = static_cast<std::size_t>(begin); i < texts_.size() && texts_[i] != 0; ++i, ++count) {
      changed.push_back({texts_[i], 0});
    }
    const std::int32_t more = count - static_cast<std::int32_t>(part.size());
    if (more > 0) {
      for (std::int32_t i = 0; i < more; ++i) changed[changed.size() - 1 - static_cast<std::size_t>(i)].change = 1;
    } else if (more < 0 && !changed.empty()) {
      changed.back().change += more;
    }
    return true;
  }

  std::vector<std::uint32_t> units_;
  std::vector<std::int32_t> starts_;  // the character that begins at a byte; -1: none does
  std::u32string texts_;              // each ends with NUL
  std::size_t longest_ = 0;           // of them
};

}  // namespace

std::unique_ptr<Normalizer> read_precompiled(const Part& part) {
  return std::make_unique<Precompiled>(part);
}

}  // namespace bskim::tokenizing
