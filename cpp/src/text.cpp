#include "text.hpp"

#include <string>

#include "errors.hpp"

namespace bskim {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

[[noreturn]] void refuse(std::string_view what, std::size_t byte) {
  throw InputError(std::string(what) + " is not UTF-8: see its byte " + std::to_string(byte) +
                   ". Decode the text with the encoding that it has, and pass UTF-8.");
}

}  // namespace

Text decode_utf8(std::string_view bytes, std::string_view what) {
  Text text;
  text.reserve(bytes.size());
  const std::size_t size = bytes.size();
  std::size_t i = 0;
  while (i < size) {
    const auto lead = static_cast<unsigned char>(bytes[i]);
    if (lead < 0x80) {
      text.push_back(lead);
      ++i;
      continue;
    }
    const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || length > size - i) refuse(what, i);
    char32_t point = lead & (0xFF >> (length + 1));
    for (std::size_t k = 1; k < length; ++k) {
      const auto next = static_cast<unsigned char>(bytes[i + k]);
      if ((next & 0xC0) != 0x80) refuse(what, i);
      point = (point << 6) | (next & 0x3F);
    }
    // More bytes than a code point needs, or beyond the last one.
    if ((length == 3 && point < 0x800) || (length == 4 && (point < 0x10000 || point > 0x10FFFF))) refuse(what, i);
    text.push_back(point >= 0xD800 && point < 0xE000 ? kReplacement : point);
    i += length;
  }
  return text;
}

std::string encode_utf8(const Text& text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (char32_t c : text) {
    if ((c >= 0xD800 && c < 0xE000) || c > 0x10FFFF) c = kReplacement;
    if (c < 0x80) {
      bytes.push_back(static_cast<char>(c));
      continue;
    }
    if (c < 0x800) {
      bytes.push_back(static_cast<char>(0xC0 | (c >> 6)));
    } else {
      if (c < 0x10000) {
        bytes.push_back(static_cast<char>(0xE0 | (c >> 12)));
      } else {
        bytes.push_back(static_cast<char>(0xF0 | (c >> 18)));
        bytes.push_back(static_cast<char>(0x80 | ((c >> 12) & 0x3F)));
      }
      bytes.push_back(static_cast<char>(0x80 | ((c >> 6) & 0x3F)));
    }
    bytes.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  }
  return bytes;
}

std::vector<std::size_t> byte_offsets(const Text& text) {
  std::vector<std::size_t> offsets(text.size() + 1);
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    offsets[i] = bytes;
    const char32_t c = text[i];
    bytes += c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 || c > 0x10FFFF ? 3 : 4;
  }
  offsets[text.size()] = bytes;
  return offsets;
}

}  // namespace bskim
