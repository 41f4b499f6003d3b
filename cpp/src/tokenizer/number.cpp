#include "tokenizer/number.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

namespace bskim::tokenizing {
namespace {

constexpr int kLargestPower = 308;

// 1e0 to 1e308, each the nearest number.
const std::array<double, kLargestPower + 1>& powers() {
  static const auto made = [] {
    std::array<double, kLargestPower + 1> all;
    for (int i = 0; i <= kLargestPower; ++i) {
      const std::string written = "1e" + std::to_string(i);
      std::from_chars(written.data(), written.data() + written.size(), all[static_cast<std::size_t>(i)]);
    }
    return all;
  }();
  return made;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Digits go into 64 bits as long as they fit: this one does not.
bool overflows(std::uint64_t digits, std::uint64_t next) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  return digits > kMost / 10 || (digits == kMost / 10 && next > kMost % 10);
}

std::optional<double> scaled(std::uint64_t digits, std::int64_t exponent) {
  auto number = static_cast<double>(digits);
  while (exponent < -kLargestPower && number != 0) {
    number /= powers()[kLargestPower];
    exponent += kLargestPower;
  }
  if (number == 0) return number;
  if (exponent < 0) return number / powers()[static_cast<std::size_t>(-exponent)];
  if (exponent > kLargestPower) return std::nullopt;
  number *= powers()[static_cast<std::size_t>(exponent)];
  if (std::isinf(number)) return std::nullopt;
  return number;
}

}  // namespace

std::optional<double> number_of(std::string_view written) {
  const bool negative = !written.empty() && written[0] == '-';
  std::uint64_t digits = 0;
  std::int64_t exponent = 0;
  std::size_t i = negative ? 1 : 0;
  bool full = false;
  for (; i < written.size() && is_digit(written[i]); ++i) {
    const auto digit = static_cast<std::uint64_t>(written[i] - '0');
    full = full || overflows(digits, digit);
    if (full) {
      ++exponent;
    } else {
      digits = digits * 10 + digit;
    }
  }
  // The point may be that of the locale: the parser of JSON has put it there.
  if (i < written.size() && written[i] != 'e' && written[i] != 'E') {
    full = false;
    for (++i; i < written.size() && is_digit(written[i]); ++i) {
      const auto digit = static_cast<std::uint64_t>(written[i] - '0');
      full = full || overflows(digits, digit);
      if (full) continue;
      digits = digits * 10 + digit;
      --exponent;
    }
  }
  if (i < written.size()) {
    const bool down = written[++i] == '-';
    if (down || written[i] == '+') ++i;
    std::int64_t shift = 0;
    constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
    for (; i < written.size() && is_digit(written[i]) && shift <= kMost; ++i) shift = shift * 10 + (written[i] - '0');
    exponent += down ? -shift : shift;
  }
  const std::optional<double> number = scaled(digits, exponent);
  return negative && number ? -*number : number;
}

}  // namespace bskim::tokenizing
