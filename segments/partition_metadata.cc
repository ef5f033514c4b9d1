#include "segments/partition_metadata.h"

#include <vector>

#include "io/file.h"
#include "segments/log_limits.h"

namespace drave::segments {
namespace {

// "key: value" of the next line, blanks trimmed; false at the end or where it is something else.
bool take_property(std::string_view& text, std::string_view& key, std::string_view& value) {
  const std::size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return false;
  key = line.substr(0, colon);
  value = line.substr(colon + 1);
  while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  while (!value.empty() && value.back() == ' ') value.remove_suffix(1);
  return true;
}

}  // namespace

Result<TopicId> decode_partition_metadata(std::string_view text) {
  std::string_view key;
  std::string_view value;
  if (!take_property(text, key, value) || key != "version") {
    return failure(Errc::corrupt, "partition.metadata: the first line is no version");
  }
  if (value != "0") return failure(Errc::unsupported, "partition.metadata: unknown version");
  if (!take_property(text, key, value) || key != "topic_id") {
    return failure(Errc::corrupt, "partition.metadata: the second line is no topic_id");
  }
  const std::optional<Uuid> id = Uuid::parse(value);
  if (!id || id->is_zero()) {
    return failure(Errc::corrupt, "partition.metadata: topic_id is no topic id");
  }
  return *id;
}

std::string encode_partition_metadata(TopicId topic_id) {
  return "version: 0\ntopic_id: " + topic_id.to_string();
}

io::Task<Result<TopicId>> read_partition_metadata(io::Loop& loop, std::string directory) {
  CO_TRY(std::vector<std::uint8_t> bytes,
         co_await io::read_file(loop, io::join_path(directory, kPartitionMetadataName),
                                kSmallFileBytesMax));
  co_return decode_partition_metadata(as_text(bytes));
}

io::Task<Result<void>> write_partition_metadata(io::Loop& loop, std::string directory,
                                                TopicId topic_id) {
  const std::string text = encode_partition_metadata(topic_id);
  co_return co_await io::replace_file(loop, io::join_path(directory, kPartitionMetadataName),
                                      std::vector<std::uint8_t>(text.begin(), text.end()));
}

}  // namespace drave::segments
