#include <fmt/format.h>

#include <cmath>

#include "protocol/printer.h"
#include "protocol/registry.h"

namespace drave::protocol {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// The length of the well-formed UTF-8 sequence at the start of `text`, or 0; `skip` is then the
// length of the longest prefix of such a sequence, which one replacement character stands for.
std::size_t utf8_length(std::string_view text, std::size_t& skip) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  skip = 1;
  std::size_t length = 0;
  std::uint8_t low = 0x80;
  std::uint8_t high = 0xBF;
  if (byte(0) < 0x80) return 1;
  if (byte(0) >= 0xC2 && byte(0) <= 0xDF) length = 2;
  if (byte(0) >= 0xE0 && byte(0) <= 0xEF) length = 3;
  if (byte(0) >= 0xF0 && byte(0) <= 0xF4) length = 4;
  if (length == 0) return 0;
  if (byte(0) == 0xE0) low = 0xA0;
  if (byte(0) == 0xED) high = 0x9F;
  if (byte(0) == 0xF0) low = 0x90;
  if (byte(0) == 0xF4) high = 0x8F;
  for (std::size_t i = 1; i < length; ++i) {
    if (i == text.size() || byte(i) < low || byte(i) > high) return 0;
    skip = i + 1;
    low = 0x80;
    high = 0xBF;
  }
  return length;
}

void append_escaped(std::string& out, char letter) {
  switch (letter) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default: break;
  }
  if (static_cast<std::uint8_t>(letter) < 0x20 || letter == 0x7f) {
    fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<std::uint8_t>(letter));
  } else {
    out += letter;
  }
}

}  // namespace

void print_json(std::string& out, bool value) {
  out += value ? "true" : "false";
}

void print_json(std::string& out, std::int64_t value) {
  fmt::format_to(std::back_inserter(out), "{}", value);
}

void print_json(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += std::isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
    return;
  }
  fmt::format_to(std::back_inserter(out), "{}", value);
}

void print_json(std::string& out, const Uuid& value) {
  out += '"';
  out += value.to_string();
  out += '"';
}

void print_json(std::string& out, std::string_view value) {
  out += '"';
  while (!value.empty()) {
    std::size_t taken = 0;
    const std::size_t length = utf8_length(value, taken);
    if (length == 1) {
      append_escaped(out, value[0]);
      taken = 1;
    } else if (length > 1) {
      out += value.substr(0, length);
      taken = length;
    } else {
      out += kReplacement;
    }
    value.remove_prefix(taken);
  }
  out += '"';
}

void print_json(std::string& out, ByteView value) {
  static constexpr char kLetters[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  out += '"';
  for (std::size_t i = 0; i < value.size(); i += 3) {
    const std::size_t left = value.size() - i;
    const unsigned triple = (unsigned{value[i]} << 16) |
                            (left > 1 ? unsigned{value[i + 1]} << 8 : 0) |
                            (left > 2 ? unsigned{value[i + 2]} : 0);
    out += kLetters[triple >> 18];
    out += kLetters[(triple >> 12) & 63];
    out += left > 1 ? kLetters[(triple >> 6) & 63] : '=';
    out += left > 2 ? kLetters[triple & 63] : '=';
  }
  out += '"';
}

void print_json_name(std::string& out, const char* name) {
  out += '"';
  out += name;
  out += "\":";
}

std::vector<const MessageType*> message_types() {
  std::vector<const MessageType*> found;
  for (const MessageFile& file : message_files())
    for (std::size_t i = 0; i < file.count; ++i) found.push_back(&file.types[i]);
  return found;
}

const MessageType* find_message_type(std::string_view name) {
  for (const MessageType* type : message_types())
    if (type->name == name) return type;
  return nullptr;
}

const MessageType* find_metadata_type(std::int64_t id) {
  for (const MessageType* type : message_types()) {
    const bool cluster = type->name.substr(0, 6) != "Remote" || type->name == "RemoveTopicRecord";
    if (type->kind == MessageKind::metadata && cluster && type->key == id) return type;
  }
  return nullptr;
}

const MessageType* find_message_type(MessageKind kind, std::int16_t api_key) {
  for (const MessageType* type : message_types())
    if (type->kind == kind && type->key == api_key) return type;
  return nullptr;
}

}  // namespace drave::protocol
