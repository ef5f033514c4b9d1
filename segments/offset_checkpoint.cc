#include "segments/offset_checkpoint.h"

#include "segments/text_file.h"

namespace drave::segments {

Result<OffsetCheckpoint> decode_offset_checkpoint(std::string_view text) {
  CountedLines lines(text);
  TRY_VOID(lines.read_header());
  OffsetCheckpoint checkpoint;
  for (std::string_view line; lines.next(line);) {
    const std::size_t space = line.find(' ');
    std::int64_t partition = -1;
    std::int64_t offset = -1;
    std::string_view numbers =
        line.substr(space == std::string_view::npos ? line.size() : space + 1);
    if (space == 0 || !take_integer(numbers, partition) || !take_integer(numbers, offset) ||
        !numbers.empty() || partition < 0 || partition > INT32_MAX || offset < 0) {
      return failure(Errc::corrupt, "checkpoint: a line is not `topic partition offset`");
    }
    checkpoint[{std::string(line.substr(0, space)), static_cast<PartitionIndex>(partition)}] =
        offset;
  }
  TRY_VOID(lines.finish());
  return checkpoint;
}

std::string encode_offset_checkpoint(const OffsetCheckpoint& checkpoint) {
  std::string text = "0\n" + std::to_string(checkpoint.size()) + "\n";
  for (const auto& [name, offset] : checkpoint) {
    text += name.topic + " " + std::to_string(name.partition) + " " + std::to_string(offset) + "\n";
  }
  return text;
}

}  // namespace drave::segments
