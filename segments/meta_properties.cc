#include "segments/meta_properties.h"

#include <fmt/format.h>

#include <charconv>
#include <ctime>
#include <map>

namespace drave::segments {
namespace {

constexpr std::size_t kNameLengthMax = 255;

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\f");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\f") - first + 1);
}

// Java writes some characters with a backslash before them.
std::string unescape(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    plain.push_back(text[i]);
  }
  return plain;
}

std::string escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\' || c == '=' || c == ':' || c == '#' || c == '!') escaped.push_back('\\');
    escaped.push_back(c);
  }
  return escaped;
}

std::map<std::string, std::string, std::less<>> decode_properties(std::string_view text) {
  std::map<std::string, std::string, std::less<>> values;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line.front() == '#' || line.front() == '!') continue;
    const std::size_t equals = line.find_first_of("=:");
    if (equals == std::string_view::npos) continue;
    values[unescape(trim(line.substr(0, equals)))] = unescape(trim(line.substr(equals + 1)));
  }
  return values;
}

template <class T>
bool parse_integer(std::string_view text, T& value) {
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  return error == std::errc{} && at == end;
}

// The integer after `"key":` in a flat JSON object.
std::optional<std::int64_t> json_integer(std::string_view text, std::string_view key) {
  const std::size_t at = text.find(fmt::format("\"{}\"", key));
  if (at == std::string_view::npos) return std::nullopt;
  text.remove_prefix(at + key.size() + 2);
  text = trim(text);
  if (text.empty() || text.front() != ':') return std::nullopt;
  text = trim(text.substr(1));
  text = text.substr(0, text.find_first_not_of("-0123456789"));
  std::int64_t value = 0;
  if (!parse_integer(text, value)) return std::nullopt;
  return value;
}

}  // namespace

Result<MetaProperties> decode_meta_properties(std::string_view text) {
  const auto values = decode_properties(text);
  const auto value_of = [&values](std::string_view key) {
    const auto found = values.find(key);
    return found == values.end() ? std::string_view() : std::string_view(found->second);
  };
  MetaProperties properties;
  if (!parse_integer(value_of("version"), properties.version))
    return failure(Errc::corrupt, "meta.properties has no version");
  if (properties.version != 1) {
    return failure(Errc::unsupported,
                   fmt::format("meta.properties has version {}; only 1 is known (version 0 is of a "
                               "ZooKeeper cluster: migrate it with Kafka first)",
                               properties.version));
  }
  properties.cluster_id = value_of("cluster.id");
  if (properties.cluster_id.empty())
    return failure(Errc::corrupt, "meta.properties has no cluster.id");
  if (!parse_integer(value_of("node.id"), properties.node_id) || properties.node_id < 0)
    return failure(Errc::corrupt, "meta.properties has no valid node.id");
  // Kafka before 3.7 wrote none; the zero id says so.
  if (const std::string_view id = value_of("directory.id"); !id.empty()) {
    const auto parsed = Uuid::parse(id);
    if (!parsed) return failure(Errc::corrupt, "meta.properties has no valid directory.id");
    properties.directory_id = *parsed;
  }
  return properties;
}

std::string encode_meta_properties(const MetaProperties& properties, TimestampMs now_ms) {
  const std::time_t now = static_cast<std::time_t>(now_ms / 1000);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char date[64];
  std::strftime(date, sizeof(date), "%a %b %d %H:%M:%S UTC %Y", &parts);
  return fmt::format("#\n#{}\nnode.id={}\ndirectory.id={}\nversion={}\ncluster.id={}\n", date,
                     properties.node_id, properties.directory_id.to_string(), properties.version,
                     escape(properties.cluster_id));
}

std::optional<std::int64_t> decode_clean_shutdown(std::string_view text) {
  if (json_integer(text, "version") != 0) return std::nullopt;
  return json_integer(text, "brokerEpoch");
}

std::string encode_clean_shutdown(std::int64_t broker_epoch) {
  return fmt::format("{{\"version\":0,\"brokerEpoch\":{}}}", broker_epoch);
}

PartitionDirectoryName parse_partition_directory(std::string_view name) {
  if (name.find('-') == std::string_view::npos) return {};
  if (name.ends_with("-delete")) return {DirectoryKind::deleted, {}, -1};
  if (name.ends_with("-future")) return {DirectoryKind::future, {}, -1};
  if (name.ends_with("-stray")) return {DirectoryKind::stray, {}, -1};
  const std::size_t dash = name.rfind('-');
  const std::string_view digits = name.substr(dash + 1);
  PartitionDirectoryName parsed{DirectoryKind::partition, std::string(name.substr(0, dash)), -1};
  if (parsed.topic.empty() || digits.empty() || digits.front() == '+' ||
      !parse_integer(digits, parsed.partition) || parsed.partition < 0)
    return {};
  return parsed;
}

std::string partition_directory_name(std::string_view topic, PartitionIndex partition) {
  return fmt::format("{}-{}", topic, partition);
}

std::string renamed_directory_name(std::string_view topic, PartitionIndex partition, Uuid unique,
                                   std::string_view suffix) {
  const std::string tail =
      fmt::format("-{}.{:016x}{:016x}-{}", partition, unique.high, unique.low, suffix);
  return std::string(topic.substr(0, kNameLengthMax - tail.size())) + tail;
}

}  // namespace drave::segments
