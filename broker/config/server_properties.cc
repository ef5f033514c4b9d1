#include "broker/config/server_properties.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>

namespace drave::broker {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\f';
}

// Strict UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t more = lead < 0x80   ? 0
                             : lead < 0xC2 ? 4
                             : lead < 0xE0 ? 1
                             : lead < 0xF0 ? 2
                             : lead < 0xF5 ? 3
                                           : 4;
    if (more == 4 || text.size() - i <= more) return false;
    std::uint32_t point = more == 0 ? lead : lead & (0x3Fu >> more);
    for (std::size_t k = 1; k <= more; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xC0) != 0x80) return false;
      point = point << 6 | (next & 0x3Fu);
    }
    if ((more == 2 && point < 0x800) || (more == 3 && point < 0x10000)) return false;
    if (point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) return false;
    i += more + 1;
  }
  return true;
}

void append_utf8(std::string& out, std::uint32_t point) {
  if (point < 0x80) {
    out.push_back(static_cast<char>(point));
  } else if (point < 0x800) {
    out.push_back(static_cast<char>(0xC0 | point >> 6));
    out.push_back(static_cast<char>(0x80 | (point & 0x3F)));
  } else if (point < 0x10000) {
    out.push_back(static_cast<char>(0xE0 | point >> 12));
    out.push_back(static_cast<char>(0x80 | (point >> 6 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (point & 0x3F)));
  } else {
    out.push_back(static_cast<char>(0xF0 | point >> 18));
    out.push_back(static_cast<char>(0x80 | (point >> 12 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (point >> 6 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (point & 0x3F)));
  }
}

// Four hexadecimal digits at text[at].
std::optional<std::uint32_t> code_unit(std::string_view text, std::size_t at) {
  if (text.size() < at + 4) return std::nullopt;
  std::uint32_t unit = 0;
  for (const char c : text.substr(at, 4)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    unit = unit << 4 | static_cast<std::uint32_t>(digit);
  }
  return unit;
}

// `text` without escapes; nullopt: a \u that is no character.
std::optional<std::string> unescape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out.push_back(text[i]);
      continue;
    }
    if (++i == text.size()) break;
    switch (text[i]) {
      case 't': out.push_back('\t'); break;
      case 'n': out.push_back('\n'); break;
      case 'r': out.push_back('\r'); break;
      case 'f': out.push_back('\f'); break;
      case 'u': {
        const auto unit = code_unit(text, i + 1);
        if (!unit || (*unit >= 0xDC00 && *unit <= 0xDFFF)) return std::nullopt;
        i += 4;
        std::uint32_t point = *unit;
        if (point >= 0xD800 && point <= 0xDBFF) {
          if (text.substr(i + 1, 2) != "\\u") return std::nullopt;
          const auto low = code_unit(text, i + 3);
          if (!low || *low < 0xDC00 || *low > 0xDFFF) return std::nullopt;
          point = 0x10000 + ((point - 0xD800) << 10) + (*low - 0xDC00);
          i += 6;
        }
        append_utf8(out, point);
        break;
      }
      default: out.push_back(text[i]);
    }
  }
  return out;
}

// Natural lines one after the other: '\n', '\r' and "\r\n" end one.
class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {}

  std::optional<std::string_view> next() {
    if (rest_.empty()) return std::nullopt;
    ++number_;
    const std::size_t end = std::min(rest_.find_first_of("\r\n"), rest_.size());
    const std::string_view line = rest_.substr(0, end);
    const std::size_t ending = rest_.substr(end, 2) == "\r\n" ? 2 : 1;
    rest_.remove_prefix(std::min(end + ending, rest_.size()));
    return line;
  }
  std::size_t number() const { return number_; }

 private:
  std::string_view rest_;
  std::size_t number_ = 0;
};

std::string_view without_leading_blanks(std::string_view line) {
  while (!line.empty() && is_blank(line.front())) line.remove_prefix(1);
  return line;
}

bool goes_on(std::string_view line) {
  std::size_t backslashes = 0;
  while (backslashes < line.size() && line[line.size() - 1 - backslashes] == '\\') ++backslashes;
  return backslashes % 2 == 1;
}

// The end of the key in a logical line: the first '=', ':' or blank that no backslash precedes.
std::size_t key_end(std::string_view line) {
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\\') {
      ++i;
    } else if (line[i] == '=' || line[i] == ':' || is_blank(line[i])) {
      return i;
    }
  }
  return line.size();
}

Result<Property> parse_setting(std::string_view line, std::string where) {
  if (!is_utf8(line)) return failure(Errc::invalid, where + ": not UTF-8");
  const std::size_t end = key_end(line);
  std::string_view value = without_leading_blanks(line.substr(end));
  if (!value.empty() && (value.front() == '=' || value.front() == ':')) {
    value = without_leading_blanks(value.substr(1));
  }
  auto key = unescape(line.substr(0, end));
  auto plain = unescape(value);
  if (!key || !plain) {
    return failure(Errc::invalid, where + ": a \\u wants four hexadecimal digits of a character");
  }
  if (key->empty()) return failure(Errc::invalid, where + ": a key is missing before '='");
  if (key->find('\0') != std::string::npos || plain->find('\0') != std::string::npos) {
    return failure(Errc::invalid, where + ": a NUL character");
  }
  return Property{std::move(*key), std::move(*plain), std::move(where)};
}

}  // namespace

Result<std::vector<Property>> parse_properties(std::string_view text, std::string_view file_name) {
  if (text.size() > kPropertiesBytesMax) {
    return failure(Errc::too_large, fmt::format("{}: larger than {} bytes; is this the right file?",
                                                file_name, kPropertiesBytesMax));
  }
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  std::vector<Property> properties;
  Lines lines(text);
  while (const auto first = lines.next()) {
    std::string_view line = without_leading_blanks(*first);
    if (line.empty() || line.front() == '#' || line.front() == '!') continue;
    std::string where = fmt::format("{}:{}", file_name, lines.number());
    std::string logical(line);
    while (goes_on(logical)) {
      logical.pop_back();
      const auto more = lines.next();
      if (!more) break;
      logical += without_leading_blanks(*more);
    }
    TRY(Property property, parse_setting(logical, std::move(where)));
    properties.push_back(std::move(property));
  }
  return properties;
}

Result<Property> parse_override(std::string_view argument) {
  const auto cut = [](std::string_view text) {
    text = without_leading_blanks(text);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    return std::string(text);
  };
  const std::size_t equals = argument.find('=');
  if (equals == std::string_view::npos || cut(argument.substr(0, equals)).empty()) {
    return failure(Errc::invalid, fmt::format("--override wants key=value, not '{}'", argument));
  }
  if (!is_utf8(argument) || argument.find('\0') != std::string_view::npos) {
    return failure(Errc::invalid, "--override: not UTF-8");
  }
  return Property{cut(argument.substr(0, equals)), cut(argument.substr(equals + 1)), "--override"};
}

}  // namespace drave::broker
