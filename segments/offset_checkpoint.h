#pragma once
// The checkpoint files of a log directory (`recovery-point-offset-checkpoint`,
// `log-start-offset-checkpoint`, `replication-offset-checkpoint`): text, version 0, the count, then
// lines of topic, partition and offset.

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"

namespace drave::segments {

struct TopicPartitionName {
  std::string topic;
  PartitionIndex partition = 0;
  auto operator<=>(const TopicPartitionName&) const = default;
};

using OffsetCheckpoint = std::map<TopicPartitionName, Offset>;

// Errc::corrupt, Errc::unsupported (version). A partition that is named twice has its last offset.
Result<OffsetCheckpoint> decode_offset_checkpoint(std::string_view text);
std::string encode_offset_checkpoint(const OffsetCheckpoint& checkpoint);

}  // namespace drave::segments
