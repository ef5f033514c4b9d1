#include "tools/cli/record_format.h"

#include <fmt/format.h>

#include "tools/cli/output.h"
#include "tools/cli/text.h"

namespace drave::cli {
namespace {

constexpr std::string_view kFields = "tpoTksKShR%";

std::int64_t size_of(const std::optional<ByteView>& bytes) {
  return bytes ? static_cast<std::int64_t>(bytes->size()) : -1;
}

void append_headers(std::string& out, const RecordRow& record) {
  bool first = true;
  for (const auto& [key, value] : record.headers) {
    if (!std::exchange(first, false)) out += ',';
    out += key;
    out += '=';
    if (value) out += as_text(*value);
  }
}

void append_field(std::string& out, const RecordRow& record, char field) {
  switch (field) {
    case 't': out += record.topic; break;
    case 'p': out += std::to_string(record.partition); break;
    case 'o': out += std::to_string(record.offset); break;
    case 'T': out += std::to_string(record.timestamp); break;
    case 'k': out += as_text(record.key.value_or(ByteView())); break;
    case 's': out += as_text(record.value.value_or(ByteView())); break;
    case 'K': out += std::to_string(size_of(record.key)); break;
    case 'S': out += std::to_string(size_of(record.value)); break;
    case 'h': append_headers(out, record); break;
    case 'R': {
      std::uint8_t size[4];
      store_big(size, static_cast<std::int32_t>(size_of(record.value)));
      out += as_text(size);
      break;
    }
    default: out += '%';
  }
}

void add_bytes(Json& object, const std::string& name, const std::optional<ByteView>& bytes) {
  if (!bytes) {
    object[name] = nullptr;
  } else if (is_utf8(*bytes)) {
    object[name] = as_text(*bytes);
  } else {
    object[name + "Base64"] = to_base64(*bytes);
  }
}

}  // namespace

Result<RecordFormat> RecordFormat::parse(std::string_view text) {
  RecordFormat format;
  while (!text.empty()) {
    const std::size_t percent = text.find('%');
    TRY(std::string literal, unescape(text.substr(0, percent)));
    if (!literal.empty()) format.pieces_.push_back({.text = std::move(literal)});
    if (percent == std::string_view::npos) break;
    const char field = percent + 1 < text.size() ? text[percent + 1] : ' ';
    if (kFields.find(field) == std::string_view::npos) {
      return failure(Errc::invalid,
                     fmt::format("%{}: expected %t %p %o %T %k %s %K %S %h %R or %%", field));
    }
    format.pieces_.push_back({.field = field});
    text.remove_prefix(percent + 2);
  }
  return format;
}

void RecordFormat::append(std::string& out, const RecordRow& record) const {
  for (const Piece& piece : pieces_) {
    if (piece.field == 0) {
      out += piece.text;
    } else {
      append_field(out, record, piece.field);
    }
  }
}

void append_json(std::string& out, const RecordRow& record) {
  Json object{{"topic", record.topic},
              {"partition", record.partition},
              {"offset", record.offset},
              {"timestamp", record.timestamp}};
  add_bytes(object, "key", record.key);
  add_bytes(object, "value", record.value);
  if (!record.headers.empty()) {
    Json headers = Json::array();
    for (const auto& [key, value] : record.headers) {
      Json header{{"key", key}};
      add_bytes(header, "value", value);
      headers.push_back(std::move(header));
    }
    object["headers"] = std::move(headers);
  }
  out += json_line(object);
}

}  // namespace drave::cli
