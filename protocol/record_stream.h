#pragma once
// Checks records that arrive in slices, without keeping them: keys, values and headers are counted
// and passed over. For compressed batches, and for batches too large for one pass of a loop.

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "protocol/record.h"

namespace drave::protocol {

// What remains of a record that was passed over.
struct RecordSummary {
  std::int64_t timestamp_delta = 0;
  std::int32_t offset_delta = 0;
  bool has_key = false;
  bool has_odd_length = false;  // as in RecordView
};

class RecordStream {
 public:
  // `count` records are expected, >= 0.
  explicit RecordStream(std::int32_t count = 0) : records_left_(count) {}

  // Takes the next slice from its beginning up to the end of a record, or to its end: returns true
  // if a record was completed (`record` is it), false if the slice is used up or at a fault. Call
  // again with the same slice until false.
  bool next(ByteView& slice, RecordSummary& record);

  // The input has ended: a record begun or announced is missing then.
  void finish();

  RecordFault fault() const { return fault_; }

 private:
  enum class Field : std::uint8_t {
    length,
    attributes,
    timestamp,
    offset,
    key_length,
    value_length,
    header_count,
    header_key_length,
    header_value_length,
  };
  enum class Varint : std::uint8_t { done, more, bad };

  bool stop(RecordFault fault);
  bool whole_record(ByteView& slice, RecordSummary& record);
  Varint take_varint(ByteView& slice, unsigned size_max);
  bool take_field(ByteView& slice);
  void skip_body(ByteView& slice);
  bool begin_skip(std::int32_t size);
  bool read_field(std::uint64_t raw);

  std::int32_t records_left_;
  RecordFault fault_ = RecordFault::none;
  // The record being read piece by piece.
  Field field_ = Field::length;
  bool record_done_ = false;
  unsigned varint_groups_ = 0;      // bytes of the current varint taken so far
  std::uint64_t varint_value_ = 0;  //
  std::uint32_t body_left_ = 0;     // bytes of the record that are not taken yet
  std::uint32_t skip_left_ = 0;     // of them, those to pass over now
  std::int32_t headers_left_ = 0;
  RecordSummary record_;
};

}  // namespace drave::protocol
