#pragma once
// Control records: what brokers and the quorum write between the records of clients.
//
// They stand in batches with the control bit. Key: version int16 (0), type int16. The value of an
// end marker (COMMIT, ABORT) is version int16 (0) and coordinatorEpoch int32; those of the quorum
// are generated messages (messages/control_records.h), without a frame. Readers skip types they do
// not know.

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "protocol/batch_builder.h"
#include "protocol/record.h"

namespace drave::protocol {

enum class ControlType : std::int16_t {
  abort = 0,
  commit = 1,
  leader_change = 2,
  snapshot_header = 3,
  snapshot_footer = 4,
  kraft_version = 5,
  kraft_voters = 6,
};

// Of the control record with this key; empty for a type that we do not know.
// Errors: corrupt (shorter than four bytes, or a negative version).
Result<std::optional<ControlType>> parse_control_key(std::optional<ByteView> key);

std::array<std::uint8_t, 4> control_key(ControlType type);

// A control record at the end of `builder`, whose options say `control`. `value` is the whole
// value.
void append_control_record(BatchBuilder& builder, ControlType type, TimestampMs timestamp,
                           ByteView value);

// The end of a transaction in one partition.
struct EndMarker {
  ControlType type = ControlType::abort;  // abort or commit
  ProducerId producer_id = -1;
  ProducerEpoch producer_epoch = -1;
  std::int32_t coordinator_epoch = 0;
  TimestampMs timestamp = -1;
};

// Its batch, with the offset and leader epoch given.
std::vector<std::uint8_t> build_end_marker(const EndMarker& marker, Offset base_offset,
                                           LeaderEpoch leader_epoch);

// coordinatorEpoch of an end marker's value. Errors: corrupt.
Result<std::int32_t> parse_end_marker_value(std::optional<ByteView> value);

}  // namespace drave::protocol
