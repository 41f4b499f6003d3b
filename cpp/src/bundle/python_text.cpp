// How Python writes values: json.dumps and repr.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "bundle/json.hpp"

namespace bskim {
namespace {

// The code point that begins at `place` of a text in UTF-8, which is known to be one; moves `place` behind it.
char32_t next_code_point(std::string_view text, std::size_t& place) {
  const auto byte = [&](std::size_t i) -> char32_t {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const char32_t first = byte(place);
  const std::size_t more = first < 0x80 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
  char32_t code = more == 0 ? first : first & (0x3F >> more);
  for (std::size_t i = 1; i <= more; ++i) code = code << 6 | (byte(place + i) & 0x3F);
  place += more + 1;
  return code;
}

void append_escape(std::string& out, char32_t unit) {
  char escape[16];
  std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(unit));
  out += escape;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (std::size_t place = 0; place < text.size();) {
    const char32_t code = next_code_point(text, place);
    switch (code) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\b':
        out += "\\b";
        break;
      default:
        if (code >= 0x10000) {
          append_escape(out, 0xD800 + ((code - 0x10000) >> 10));
          append_escape(out, 0xDC00 + ((code - 0x10000) & 0x3FF));
        } else if (code < ' ' || code > '~') {
          append_escape(out, code);
        } else {
          out += static_cast<char>(code);
        }
    }
  }
  return out + '"';
}

// Both forms of writing differ in names and constants only.
struct Form {
  const char *null, *yes, *no;
  bool sorted;
  std::string (*text)(std::string_view);
};

void write(std::string& out, const Json& value, const Form& form) {
  switch (value.kind) {
    case Json::Kind::null:
      out += form.null;
      return;
    case Json::Kind::boolean:
      out += value.boolean ? form.yes : form.no;
      return;
    case Json::Kind::integer:
      out += value.text;
      return;
    case Json::Kind::number:
      out += python_repr(value.number);
      return;
    case Json::Kind::text:
      out += form.text(value.text);
      return;
    case Json::Kind::list: {
      out += '[';
      const char* between = "";
      for (const Json& item : value.items) {
        out += between;
        write(out, item, form);
        between = ", ";
      }
      out += ']';
      return;
    }
    case Json::Kind::object:
      break;
  }
  std::vector<const std::pair<std::string, Json>*> members;
  for (const auto& member : value.members) members.push_back(&member);
  // The order of bytes in UTF-8 is that of code points, as Python's is.
  if (form.sorted) {
    std::sort(members.begin(), members.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
  }
  out += '{';
  const char* between = "";
  for (const auto* member : members) {
    out += between + form.text(member->first) + ": ";
    write(out, member->second, form);
    between = ", ";
  }
  out += '}';
}

std::string repr_text(std::string_view text) {
  return python_repr(text);
}

}  // namespace

std::string python_dumps(const Json& value) {
  std::string out;
  write(out, value, {"null", "true", "false", true, quoted});
  return out;
}

std::string python_repr(const Json& value) {
  std::string out;
  write(out, value, {"None", "True", "False", false, repr_text});
  return out;
}

// The shortest digits that give the number again, with an exponent below 1e-4 and from 1e16 on.
std::string python_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  if (value == 0) return std::signbit(value) ? "-0.0" : "0.0";
  char buffer[40];
  const char* end = std::to_chars(buffer, buffer + sizeof buffer, std::abs(value), std::chars_format::scientific).ptr;
  const std::string_view written(buffer, static_cast<std::size_t>(end - buffer));
  const std::size_t e = written.find('e');
  std::string digits(written.substr(0, e));
  if (digits.size() > 1) digits.erase(1, 1);  // the point
  const std::string_view shown = written.substr(e + (written[e + 1] == '+' ? 2 : 1));
  int exponent = 0;
  std::from_chars(shown.data(), shown.data() + shown.size(), exponent);
  std::string out = value < 0 ? "-" : "";
  const int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    out += digits.substr(0, 1);
    if (count > 1) out += "." + digits.substr(1);
    char tail[16];
    std::snprintf(tail, sizeof tail, "e%c%02d", exponent < 0 ? '-' : '+', std::abs(exponent));
    return out + tail;
  }
  if (exponent < 0) return out + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  if (exponent + 1 >= count)
    return out + digits + std::string(static_cast<std::size_t>(exponent + 1 - count), '0') + ".0";
  return out + digits.substr(0, exponent + 1) + "." + digits.substr(exponent + 1);
}

std::string python_repr(std::string_view text) {
  const bool single = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = single ? '"' : '\'';
  std::string out(1, quote);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == quote || c == '\\') {
      out += {'\\', c};
    } else if (c == '\n' || c == '\r' || c == '\t') {
      out += {'\\', c == '\n' ? 'n' : c == '\r' ? 'r' : 't'};
    } else if (byte < ' ' || byte == 0x7F) {
      char escape[16];
      std::snprintf(escape, sizeof escape, "\\x%02x", byte);
      out += escape;
    } else {
      out += c;
    }
  }
  return out + quote;
}

std::string python_repr(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) out += (out.size() > 1 ? ", " : "") + python_repr(std::string_view(text));
  return out + "]";
}

std::string python_repr(const std::vector<int>& numbers) {
  std::string out = "[";
  for (const int number : numbers) out += (out.size() > 1 ? ", " : "") + std::to_string(number);
  return out + "]";
}

}  // namespace bskim
