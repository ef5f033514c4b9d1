#include "tools/cli/record_input.h"

#include <fmt/format.h>

#include "tools/cli/output.h"
#include "tools/cli/text.h"

namespace drave::cli {
namespace {

// object[name] as text or object[nameBase64]; nullopt: null, or not there. False: neither.
bool read_bytes(const Json& object, const std::string& name, std::optional<std::string>& value) {
  value.reset();
  if (const auto encoded = object.find(name + "Base64"); encoded != object.end()) {
    if (!encoded->is_string()) return false;
    value = from_base64(encoded->get_ref<const std::string&>());
    return value.has_value();
  }
  const auto plain = object.find(name);
  if (plain == object.end() || plain->is_null()) return true;
  value = plain->is_string() ? plain->get<std::string>() : plain->dump();
  return true;
}

std::unexpected<Failure> bad_line(std::string_view line, std::string_view why) {
  constexpr std::size_t kShown = 60;
  return fail(ExitCode::usage, fmt::format("{}: {}", why, line.substr(0, kShown)),
              "Expected one JSON object per line, as `drave consume -o json` writes them.");
}

}  // namespace

std::optional<std::string_view> RecordSplitter::next() {
  const std::string_view left = std::string_view(buffer_).substr(at_);
  const std::size_t end = left.find(delimiter_);
  if (end != std::string_view::npos) {
    at_ += end + delimiter_.size();
    return left.substr(0, end);
  }
  if (!finished_ || left.empty()) return std::nullopt;
  at_ = buffer_.size();
  return left;
}

void RecordSplitter::compact() {
  buffer_.erase(0, at_);
  at_ = 0;
}

void InputRecord::read_line(std::string_view line, std::string_view key_delimiter,
                            bool empty_is_null) {
  row = {};
  if (!key_delimiter.empty()) {
    const std::size_t at = line.find(key_delimiter);
    if (at != std::string_view::npos) {
      row.key = as_bytes(line.substr(0, at));
      line.remove_prefix(at + key_delimiter.size());
    }
  }
  if (!line.empty() || !empty_is_null) row.value = as_bytes(line);
}

Outcome<> InputRecord::read_json(std::string_view line) {
  row = {};
  texts_.clear();
  const Json object = Json::parse(line, nullptr, false);
  if (!object.is_object()) return bad_line(line, "this line is no JSON object");
  const auto headers = object.find("headers");
  const std::size_t header_count =
      headers != object.end() && headers->is_array() ? headers->size() : 0;
  texts_.reserve(2 + 2 * header_count);
  const auto keep = [&](const std::optional<std::string>& text) -> std::optional<ByteView> {
    if (!text) return std::nullopt;
    return as_bytes(texts_.emplace_back(*text));
  };
  std::optional<std::string> text;
  if (!read_bytes(object, "key", text)) return bad_line(line, "key is neither text nor base64");
  row.key = keep(text);
  if (!read_bytes(object, "value", text)) return bad_line(line, "value is neither text nor base64");
  row.value = keep(text);
  for (std::size_t i = 0; i < header_count; ++i) {
    const Json& header = (*headers)[i];
    if (!header.is_object() || !header.contains("key") || !header["key"].is_string() ||
        !read_bytes(header, "value", text)) {
      return bad_line(line, "headers must be objects of key and value");
    }
    const std::string& key = texts_.emplace_back(header["key"].get<std::string>());
    row.headers.emplace_back(key, keep(text));
  }
  const auto number = [&](const char* name, std::int64_t otherwise) {
    const auto found = object.find(name);
    return found != object.end() && found->is_number_integer() ? found->get<std::int64_t>()
                                                               : otherwise;
  };
  row.partition = static_cast<PartitionIndex>(number("partition", -1));
  row.timestamp = number("timestamp", -1);
  return {};
}

}  // namespace drave::cli
