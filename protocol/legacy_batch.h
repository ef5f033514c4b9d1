#pragma once
// Reading of messages of magic 0 and 1, which old Kafka data directories may still hold. Kafka 4
// writes none, takes none from producers, and neither do we.
//
//   offset int64, size int32, crc int32 (CRC-32 of what follows), magic int8, attributes int8,
//   magic 1: timestamp int64, key int32 length and bytes, value the same
//
// A compressed one is a wrapper: its value holds messages of the same magic, whose offsets are
// absolute (0) or relative to the first (1); the wrapper's own offset is the last one's.

#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "protocol/compression.h"
#include "protocol/record_batch.h"

namespace drave::protocol {

struct LegacyRecord {
  Offset offset = 0;
  TimestampMs timestamp = -1;  // magic 0 has none
  std::optional<ByteView> key;
  std::optional<ByteView> value;
};

// One message or one wrapper with what is in it. Views die with `batch` and with this object.
class LegacyBatch {
 public:
  // `batch` is of magic 0 or 1. Errors: corrupt, too_large (it decodes to more than the budget).
  // The wrapper's CRC is the caller's to check; those of the messages inside are checked.
  static Result<LegacyBatch> read(BatchView batch,
                                  std::size_t decoded_bytes_max = kBatchDecodedBytesMax);

  const std::vector<LegacyRecord>& records() const { return records_; }  // at least one
  Offset base_offset() const { return records_.front().offset; }
  Offset last_offset() const { return records_.back().offset; }
  // Empty for magic 0.
  std::optional<TimestampType> timestamp_type() const { return timestamp_type_; }
  TimestampMs max_timestamp() const { return max_timestamp_; }  // the wrapper's; -1 for magic 0

 private:
  std::vector<LegacyRecord> records_;
  std::vector<std::uint8_t> decoded_;
  std::optional<TimestampType> timestamp_type_;
  TimestampMs max_timestamp_ = -1;
};

}  // namespace drave::protocol
