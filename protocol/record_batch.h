#pragma once
// Record batches, Kafka's unit of writing, copying and checking.
//
// Version 2 ("magic" 2), all integers big-endian; `size` counts the bytes behind that field:
//
//    0 baseOffset int64        21 attributes int16        43 producerId int64
//    8 size int32              23 lastOffsetDelta int32   51 producerEpoch int16
//   12 leaderEpoch int32       27 baseTimestamp int64     53 baseSequence int32
//   16 magic int8              35 maxTimestamp int64      57 recordCount int32
//   17 crc uint32                                         61 records
//
// The CRC-32C covers [21, end): offset and leader epoch can be stamped without touching it. Only
// the records are compressed. Batches of magic 0 and 1 (legacy_batch.h) share the first 8 + 4 bytes
// and the place of the magic byte; we read them and never write them.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"

namespace drave::protocol {

inline constexpr std::size_t kBatchHeaderSize = 61;
inline constexpr std::size_t kBatchSizeFieldEnd =
    12;                                            // offset and size: in front of what size counts
inline constexpr std::size_t kBatchMagicEnd = 17;  // as many bytes tell size and magic
inline constexpr std::int32_t kBatchSizeFieldMin = 14;  // the least `size` of any magic
inline constexpr std::int8_t kBatchMagic = 2;

namespace batch_field {
inline constexpr std::size_t kBaseOffset = 0;
inline constexpr std::size_t kSize = 8;
inline constexpr std::size_t kLeaderEpoch = 12;
inline constexpr std::size_t kMagic = 16;
inline constexpr std::size_t kCrc = 17;
inline constexpr std::size_t kAttributes = 21;
inline constexpr std::size_t kLastOffsetDelta = 23;
inline constexpr std::size_t kBaseTimestamp = 27;
inline constexpr std::size_t kMaxTimestamp = 35;
inline constexpr std::size_t kProducerId = 43;
inline constexpr std::size_t kProducerEpoch = 51;
inline constexpr std::size_t kBaseSequence = 53;
inline constexpr std::size_t kRecordCount = 57;
}  // namespace batch_field

enum class Codec : std::uint8_t { none = 0, gzip = 1, snappy = 2, lz4 = 3, zstd = 4 };
inline constexpr int kCodecCount = 5;
std::string_view to_string(Codec codec);  // Kafka's names: "none", "gzip" ...
std::optional<Codec> codec_from_name(std::string_view name);

enum class TimestampType : std::uint8_t { create_time = 0, log_append_time = 1 };

namespace batch_attribute {
inline constexpr std::int16_t kCodecMask = 0x07;
inline constexpr std::int16_t kLogAppendTime = 0x08;
inline constexpr std::int16_t kTransactional = 0x10;
inline constexpr std::int16_t kControl = 0x20;
inline constexpr std::int16_t kDeleteHorizon = 0x40;  // baseTimestamp is when tombstones may go
inline constexpr std::int16_t kUsed = 0x7F;
}  // namespace batch_attribute

// The sequence `count` after `sequence`: after 2^31-1 comes 0.
constexpr Sequence sequence_after(Sequence sequence, std::int32_t count) {
  const std::int64_t sum = static_cast<std::int64_t>(sequence) + count;
  return static_cast<Sequence>(sum > INT32_MAX ? sum - INT32_MAX - 1 : sum);
}

// All fields of a version 2 header, for writing one and for keeping one.
struct BatchHeader {
  Offset base_offset = 0;
  std::int32_t size = 0;  // as stored: without the first 12 bytes
  LeaderEpoch leader_epoch = -1;
  std::int8_t magic = kBatchMagic;
  std::uint32_t crc = 0;
  std::int16_t attributes = 0;
  std::int32_t last_offset_delta = 0;
  TimestampMs base_timestamp = -1;
  TimestampMs max_timestamp = -1;
  ProducerId producer_id = -1;
  ProducerEpoch producer_epoch = -1;
  Sequence base_sequence = -1;
  std::int32_t record_count = 0;

  // From and to the kBatchHeaderSize bytes at `at`, field by field; checks and computes nothing.
  static BatchHeader read(const std::uint8_t* at);
  void write(std::uint8_t* at) const;

  bool operator==(const BatchHeader&) const = default;
};

// A whole batch inside somebody else's bytes; dies with them. A BatchView exists only over bytes
// that parse_batch or BatchIterator accepted: magic 0 to 2, and at least kBatchHeaderSize bytes if
// it is 2. The CRC has not been checked. Accessors marked (2) may be called for magic 2 only.
class BatchView {
 public:
  BatchView() = default;

  ByteView bytes() const { return bytes_; }
  std::size_t size_bytes() const { return bytes_.size(); }  // with the first 12 bytes
  std::int8_t magic() const { return field<std::int8_t>(batch_field::kMagic); }
  bool is_legacy() const { return magic() < kBatchMagic; }
  // Of a compressed legacy batch: the offset of its last record, as last_offset().
  Offset base_offset() const { return field<Offset>(batch_field::kBaseOffset); }
  Offset last_offset() const {
    return is_legacy() ? base_offset() : base_offset() + last_offset_delta();
  }
  std::uint32_t crc() const;
  bool crc_matches() const;  // reads every byte
  // The three codec bits as they are: 5 to 7 name no codec, and codec() is empty then.
  std::uint8_t codec_bits() const;
  std::optional<Codec> codec() const;

  LeaderEpoch leader_epoch() const { return field<LeaderEpoch>(batch_field::kLeaderEpoch); }  // (2)
  std::int16_t attributes() const { return field<std::int16_t>(batch_field::kAttributes); }   // (2)
  bool is_transactional() const { return has(batch_attribute::kTransactional); }              // (2)
  bool is_control() const { return has(batch_attribute::kControl); }                          // (2)
  bool has_delete_horizon() const { return has(batch_attribute::kDeleteHorizon); }            // (2)
  TimestampType timestamp_type() const {                                                      // (2)
    return has(batch_attribute::kLogAppendTime) ? TimestampType::log_append_time
                                                : TimestampType::create_time;
  }
  std::int32_t last_offset_delta() const {  // (2)
    return field<std::int32_t>(batch_field::kLastOffsetDelta);
  }
  TimestampMs base_timestamp() const {  // (2)
    return field<TimestampMs>(batch_field::kBaseTimestamp);
  }
  TimestampMs max_timestamp() const {
    return field<TimestampMs>(batch_field::kMaxTimestamp);
  }  // (2)
  ProducerId producer_id() const { return field<ProducerId>(batch_field::kProducerId); }  // (2)
  bool has_producer_id() const { return producer_id() > -1; }                             // (2)
  ProducerEpoch producer_epoch() const {                                                  // (2)
    return field<ProducerEpoch>(batch_field::kProducerEpoch);
  }
  Sequence base_sequence() const { return field<Sequence>(batch_field::kBaseSequence); }  // (2)
  Sequence last_sequence() const {  // (2); -1 where there is no base sequence
    return base_sequence() < 0 ? -1 : sequence_after(base_sequence(), last_offset_delta());
  }
  std::int32_t record_count() const {
    return field<std::int32_t>(batch_field::kRecordCount);
  }  // (2)
  // What follows the header: the records, or their compressed form. (2)
  ByteView records() const { return bytes_.subspan(kBatchHeaderSize); }
  BatchHeader header() const { return BatchHeader::read(bytes_.data()); }  // (2)

 private:
  friend class BatchIterator;
  friend Result<BatchView> parse_batch(ByteView bytes);
  explicit BatchView(ByteView bytes) : bytes_(bytes) {}

  template <class T>
  T field(std::size_t at) const {
    return load_big<T>(bytes_.data() + at);
  }
  bool has(std::int16_t bit) const { return (attributes() & bit) != 0; }

  ByteView bytes_;
};

// What the first bytes of `bytes` say about the batch that begins there. Judges exactly as much as
// Kafka's reader does, in its order.
struct BatchPeek {
  enum class Status : std::uint8_t {
    whole,    // [0, size) is a batch; a header shorter than its magic demands is not excluded
    partial,  // the bytes end before the batch does; `size` is 0 if they do not even tell it
    size_too_small,  // the size field is below kBatchSizeFieldMin: corrupt
    size_overflow,   // size field + 12 does not fit in an int32: corrupt
    unknown_magic,   // corrupt
  };
  Status status = Status::partial;
  std::int32_t size_field = 0;
  std::int8_t magic = 0;
  std::size_t size = 0;  // of the batch with its first 12 bytes

  bool corrupt() const { return status > Status::partial; }
  // Kafka's sentence for a corrupt one ("Invalid magic found in record: 3"), else empty.
  std::string message() const;
};
BatchPeek peek_batch(ByteView bytes);

// The size, first 12 bytes included, of the batch that begins `bytes`, which need hold no more than
// kBatchMagicEnd bytes of it. Errors: torn (fewer bytes than that), corrupt.
Result<std::size_t> peek_batch_size(ByteView bytes);

// The batch that begins `bytes`; what follows it is left alone. Errors: torn (incomplete), corrupt
// (size or magic make no sense, or the header does not fit). The CRC is the caller's to check.
Result<BatchView> parse_batch(ByteView bytes);

// Walks batches that stand one behind the other.
class BatchIterator {
 public:
  explicit BatchIterator(ByteView bytes) : bytes_(bytes) {}

  // The next batch, or nothing: at the end, before an incomplete batch, before a corrupt one.
  std::optional<BatchView> next();

  // After next() returned nothing: whether what stands at position() is not a batch. False means
  // the end, or an incomplete batch of remaining() bytes, which Kafka's reader ignores.
  bool corrupt() const { return corrupt_; }
  std::string message() const;                        // what is corrupt
  std::size_t position() const { return position_; }  // first byte behind the last batch returned
  std::size_t remaining() const { return bytes_.size() - position_; }

 private:
  ByteView bytes_;
  std::size_t position_ = 0;
  bool corrupt_ = false;
};

// Setters in place; `batch` is exactly one batch of magic 2.

// Outside the CRC, so cheap.
void stamp_batch(MutableByteView batch, Offset base_offset, LeaderEpoch leader_epoch);

// Sets timestamp type and max timestamp. If that changes anything the CRC is computed anew and the
// unused attribute bits are cleared, as Kafka does; returns whether it did.
bool set_max_timestamp(MutableByteView batch, TimestampType type, TimestampMs max_timestamp);

// Computes the CRC of the batch and stores it.
void set_batch_crc(MutableByteView batch);

}  // namespace drave::protocol
