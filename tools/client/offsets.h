#pragma once
// Where partitions begin and end, and what stands at a time: ListOffsets at each partition's
// leader.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/ids.h"
#include "protocol/messages/metadata.h"
#include "tools/client/client.h"

namespace drave::client {

// Timestamps with a meaning of their own.
inline constexpr TimestampMs kLatest = -1;
inline constexpr TimestampMs kEarliest = -2;

struct PartitionOffset {
  protocol::ErrorCode error = protocol::ErrorCode::none;
  Offset offset = -1;  // -1: no record is as young as the time that was asked for
};

// The offsets at `timestamp` of these partitions of one topic, as metadata() named it. Partitions
// without a leader get LEADER_NOT_AVAILABLE. `read_committed`: the latest is the last stable
// offset.
Result<std::map<PartitionIndex, PartitionOffset>> list_offsets(
    Client& client, const protocol::MetadataResponse::MetadataResponseTopic& topic,
    const std::vector<PartitionIndex>& partitions, TimestampMs timestamp, bool read_committed);

}  // namespace drave::client
