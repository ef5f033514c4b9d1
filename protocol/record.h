#pragma once
// Records inside a batch of magic 2.
//
// A record is a varint that counts the bytes behind it, then: attributes int8 (unused), timestamp
// delta varlong, offset delta varint, key, value, a varint count of headers, the headers. Key,
// value and header value are a varint length (negative: null) and that many bytes; a header's key
// is the same and never null.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "base/ids.h"
#include "protocol/varint.h"

namespace drave::protocol {

// Why bytes are not the records that a batch announces.
enum class RecordFault : std::uint8_t {
  none,
  ends_early,            // fewer records than announced
  length_too_long,       // the varint of a record's length has more than 5 bytes
  length_out_of_bounds,  // a record's length is negative or beyond the end
  structure,             // a field does not fit in its record, or bytes are left over in it
  header_count,          // negative, or more headers than bytes
  header_key_null,       //
  bytes_left_over,       // behind the last announced record
};
std::string_view to_string(RecordFault fault);  // a sentence without a full stop

// One record; views into the bytes it was parsed from.
struct RecordView {
  std::int8_t attributes = 0;
  // Some length (key, value, header value) is below -1. Kafka reads that as null and so do we; what
  // a producer sends must not have it.
  bool has_odd_length = false;
  std::int32_t offset_delta = 0;
  std::int64_t timestamp_delta = 0;
  std::int32_t key_size = -1;    // negative: null
  std::int32_t value_size = -1;  // negative: null
  std::int32_t header_count = 0;
  std::uint32_t size_bytes = 0;  // of the record with its length
  const std::uint8_t* key_begin = nullptr;
  const std::uint8_t* value_begin = nullptr;
  ByteView headers;  // header_count well-formed headers: for HeaderIterator

  std::optional<ByteView> key() const {
    if (key_size < 0) return std::nullopt;
    return ByteView(key_begin, static_cast<std::size_t>(key_size));
  }
  std::optional<ByteView> value() const {
    if (value_size < 0) return std::nullopt;
    return ByteView(value_begin, static_cast<std::size_t>(value_size));
  }
};

struct RecordHeaderView {
  std::string_view key;
  std::optional<ByteView> value;
};

// Walks the headers of one record, which RecordIterator has checked.
class HeaderIterator {
 public:
  explicit HeaderIterator(const RecordView& record)
      : at_(record.headers.data()), end_(at_ + record.headers.size()), left_(record.header_count) {}
  std::optional<RecordHeaderView> next();

 private:
  const std::uint8_t* at_;
  const std::uint8_t* end_;
  std::int32_t left_;
};

// Parses the body (what the length counts) of one record that fills [at, end) exactly.
RecordFault parse_record_body(const std::uint8_t* at, const std::uint8_t* end, RecordView& record);

// Walks an uncompressed records section without copying. Reads what Kafka's reader reads: gaps in
// offset deltas, which compaction leaves, are fine here; batch_validator.h is stricter.
//
//   RecordIterator records(batch.records(), batch.record_count());
//   for (RecordView record; records.next(record);) ...
//   if (records.fault() != RecordFault::none) ...
class RecordIterator {
 public:
  // What pass_plain() tells of the records that it passed.
  struct PlainRun {
    std::int32_t count = 0;
    std::int64_t timestamp_delta_min = INT64_MAX;
    std::int64_t timestamp_delta_max = INT64_MIN;
    std::int32_t timestamp_max_at = 0;  // the first that has it; 0: the first of the run
    bool has_null_key = false;
  };
  // Of pass_plain()'s timestamp deltas, what their three bytes hold.
  static constexpr std::int64_t kPlainDeltaMax = 1 << 20;

  // `count` is the batch's record_count(); a negative one yields a fault at once.
  RecordIterator(ByteView records, std::int32_t count)
      : begin_(records.data()), at_(begin_), end_(begin_ + records.size()), left_(count) {}

  // False at the end and at the first fault. The last record is returned only if nothing follows
  // it.
  bool next(RecordView& record) {
    if (left_ <= 0 || fault_ != RecordFault::none) {
      if (left_ < 0) fault_ = RecordFault::ends_early;
      return false;
    }
    std::int32_t length = 0;
    VarintFault varint_fault = VarintFault::none;
    const std::uint8_t* body = read_varint(at_, end_, length, varint_fault);
    if (body == nullptr) [[unlikely]] {
      return stop(varint_fault == VarintFault::cut ? RecordFault::ends_early
                                                   : RecordFault::length_too_long);
    }
    if (length < 0 || length > end_ - body) [[unlikely]] {
      return stop(RecordFault::length_out_of_bounds);
    }
    const std::uint8_t* behind = body + length;
    const RecordFault fault = parse_record_body(body, behind, record);
    if (fault != RecordFault::none) [[unlikely]]
      return stop(fault);
    record.size_bytes = static_cast<std::uint32_t>(behind - at_);
    at_ = behind;
    if (--left_ == 0 && at_ != end_) [[unlikely]]
      return stop(RecordFault::bytes_left_over);
    return true;
  }

  // Passes the next records as long as they are of the many: not the last, whole, without headers,
  // their numbers of at most three bytes, their offset deltas `offset_delta` (not negative) and on
  // without a gap. What stands behind them is for next() to look at.
  PlainRun pass_plain(std::int32_t offset_delta);

  RecordFault fault() const { return fault_; }
  std::size_t position() const { return static_cast<std::size_t>(at_ - begin_); }

 private:
  bool stop(RecordFault fault) {
    fault_ = fault;
    return false;
  }

  const std::uint8_t* begin_;
  const std::uint8_t* at_;
  const std::uint8_t* end_;
  std::int32_t left_;
  RecordFault fault_ = RecordFault::none;
};

}  // namespace drave::protocol
