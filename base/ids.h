#pragma once
// The numbers that name things, in Kafka's words. One word per thing, everywhere:
// `offset` counts records in a log, `position` counts bytes in a file, `index` counts from 0 in a
// list, `epoch` is a leader epoch unless another noun stands before it.

#include <compare>
#include <cstdint>
#include <string>

#include "base/uuid.h"

namespace drave {

using Offset = std::int64_t;          // of a record in a partition; -1 where Kafka says "none"
using LeaderEpoch = std::int32_t;     // -1: unknown
using NodeId = std::int32_t;          // broker or controller id
using PartitionIndex = std::int32_t;  // of a partition in its topic
using ProducerId = std::int64_t;      // -1: not idempotent
using ProducerEpoch = std::int16_t;
using Sequence = std::int32_t;     // of a producer's record in a partition, wraps from 2^31-1 to 0
using TimestampMs = std::int64_t;  // wall clock, milliseconds since 1970; -1: none

using TopicId = Uuid;

// A partition by its topic's id: what the journal and the shards key by. Names can be deleted and
// created again; ids never come back.
struct TopicIdPartition {
  TopicId topic_id;
  PartitionIndex partition = 0;
  auto operator<=>(const TopicIdPartition&) const = default;
};

struct OffsetAndEpoch {
  Offset offset = 0;
  LeaderEpoch epoch = 0;
  auto operator<=>(const OffsetAndEpoch&) const = default;
};

}  // namespace drave
