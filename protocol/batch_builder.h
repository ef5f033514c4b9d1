#pragma once
// Makes record batches of magic 2: for tools, tests, the metadata log and control records.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "protocol/record.h"
#include "protocol/record_batch.h"

namespace drave::protocol {

struct BatchOptions {
  Offset base_offset = 0;
  LeaderEpoch leader_epoch = -1;
  Codec codec = Codec::none;
  std::optional<int> level;  // compression.h; nullopt: the codec's default
  TimestampType timestamp_type = TimestampType::create_time;
  ProducerId producer_id = -1;
  ProducerEpoch producer_epoch = -1;
  Sequence base_sequence = -1;
  bool transactional = false;
  bool control = false;
  // What follows is derived from the records unless it is given.
  std::optional<TimestampMs> base_timestamp;      // else the first record's
  std::optional<TimestampMs> max_timestamp;       // else the largest; of LogAppendTime the append's
  std::optional<std::int32_t> last_offset_delta;  // else the last record's
  std::optional<TimestampMs> delete_horizon;      // sets the bit, and stands in base_timestamp
};

// Collects records, then yields the batch. Uses: construct, append..., finish once. Nothing that is
// passed in needs to outlive the call. Sizes are asserted to stay below 2 GiB.
class BatchBuilder {
 public:
  explicit BatchBuilder(BatchOptions options);

  // A record with the next offset delta (0, 1, 2 ...). nullopt is null.
  void append(TimestampMs timestamp, std::optional<ByteView> key, std::optional<ByteView> value,
              std::span<const RecordHeaderView> headers = {});
  // The same with a given offset delta, above the last one: for compacted batches.
  void append_at(std::int32_t offset_delta, TimestampMs timestamp, std::optional<ByteView> key,
                 std::optional<ByteView> value, std::span<const RecordHeaderView> headers = {});

  std::int32_t record_count() const { return record_count_; }
  // Of the batch if nothing more is appended, before compression.
  std::size_t size_bytes() const { return batch_.size(); }

  // The finished batch with its CRC. Without records it is the empty batch that compaction leaves.
  std::vector<std::uint8_t> finish() &&;

 private:
  BatchOptions options_;
  std::vector<std::uint8_t> batch_;
  std::optional<TimestampMs> base_timestamp_;
  TimestampMs max_timestamp_ = -1;
  std::int32_t last_offset_delta_ = -1;
  std::int32_t record_count_ = 0;
};

}  // namespace drave::protocol
