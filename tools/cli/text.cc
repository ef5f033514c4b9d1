#include "tools/cli/text.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace drave::cli {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// How many bytes the character that begins with `first` has; 0: none begins so.
std::size_t utf8_size(std::uint8_t first) {
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first < 0xE0) return 2;
  if (first >= 0xE0 && first < 0xF0) return 3;
  if (first >= 0xF0 && first < 0xF5) return 4;
  return 0;
}

// The least code points that need 3 and 4 bytes, and those that are none.
bool is_code_point(std::uint32_t value, std::size_t size) {
  if (size == 3) return value >= 0x800 && (value < 0xD800 || value > 0xDFFF);
  if (size == 4) return value >= 0x10000 && value <= 0x10FFFF;
  return true;
}

}  // namespace

bool is_utf8(ByteView bytes) {
  for (std::size_t i = 0; i < bytes.size();) {
    const std::size_t size = utf8_size(bytes[i]);
    if (size == 0 || bytes.size() - i < size) return false;
    std::uint32_t value = size == 1 ? bytes[i] : bytes[i] & (0x7Fu >> size);
    for (std::size_t k = 1; k < size; ++k) {
      if ((bytes[i + k] & 0xC0) != 0x80) return false;
      value = value << 6 | (bytes[i + k] & 0x3Fu);
    }
    if (!is_code_point(value, size)) return false;
    i += size;
  }
  return true;
}

std::string to_base64(ByteView bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) group = group << 8 | (k < left ? bytes[i + k] : 0u);
    for (std::size_t k = 0; k < 4; ++k)
      out += k <= left ? kAlphabet[group >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

std::optional<std::string> from_base64(std::string_view text) {
  while (text.ends_with('=')) text.remove_suffix(1);
  if (text.size() % 4 == 1) return std::nullopt;
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const std::size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count & 0xFF);
    }
  }
  return out;
}

std::string to_hex(ByteView bytes) {
  std::string out;
  for (const std::uint8_t byte : bytes) fmt::format_to(std::back_inserter(out), "{:02x}", byte);
  return out;
}

Result<std::string> unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    const char kind = ++i < text.size() ? text[i] : ' ';
    const std::size_t known = std::string_view("nrt0\\").find(kind);
    if (known != std::string_view::npos) {
      out += std::string_view("\n\r\t\0\\", 5)[known];
      continue;
    }
    const std::string_view digits = text.substr(std::min(i + 1, text.size()), 2);
    unsigned value = 0;
    const char* const end = digits.data() + digits.size();
    if (kind != 'x' || digits.size() < 2 ||
        std::from_chars(digits.data(), end, value, 16).ptr != end) {
      return failure(
          Errc::invalid,
          fmt::format("\"{}\": expected \\n \\r \\t \\0 \\\\ or \\xHH behind a backslash", text));
    }
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

}  // namespace drave::cli
