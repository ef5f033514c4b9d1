#pragma once
// What a broker checks of a produced batch, once, before it is appended.
//
// The verdicts are Kafka 4.3's, code for code and in its order, with the exceptions that README.md
// of this folder lists. Nothing here knows offsets, producer state or files: what is accepted comes
// with all that the partition needs, and accept_batch() turns the bytes into what is stored.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "protocol/compression.h"
#include "protocol/error_code.h"
#include "protocol/record_batch.h"
#include "protocol/record_stream.h"

namespace drave::protocol {

// At most so many faulty records of a batch are named in an answer (Kafka names all).
inline constexpr std::size_t kRecordErrorsMax = 1000;
// One step of a validation passes over about so many bytes, and so many records.
inline constexpr std::size_t kValidationStepBytes = 256 * 1024;
inline constexpr std::int32_t kValidationStepRecords = 16 * 1024;
// An uncompressed batch up to this size is walked in one step: at worst (the smallest records that
// there can be) it takes 2 ms.
inline constexpr std::size_t kValidationWalkBytesMax = 1280 * 1024;

struct ValidationOptions {
  // Of the topic.
  TimestampType timestamp_type = TimestampType::create_time;  // message.timestamp.type
  std::int64_t timestamp_before_max_ms = INT64_MAX;           // message.timestamp.before.max.ms
  std::int64_t timestamp_after_max_ms = 3'600'000;            // message.timestamp.after.max.ms
  std::size_t batch_bytes_max = 1'048'588;                    // max.message.bytes
  std::size_t segment_bytes_max = 1UL << 30;                  // segment.bytes
  std::optional<Codec> codec;  // compression.type; nullopt: "producer", keeps what was sent
  bool compacted = false;      // cleanup.policy contains compact: every record needs a key
  // For the texts of errors; must live until the verdict.
  std::string_view topic;
  PartitionIndex partition = 0;
  // Of the request.
  std::int16_t produce_version = 13;
  bool transactional_allowed = false;  // the request names a transactional id that may be used
  TimestampMs now_ms = 0;
  // Of the broker.
  std::size_t decoded_bytes_max = kBatchDecodedBytesMax;
};

// An accepted batch.
struct AcceptedBatch {
  std::size_t size_bytes = 0;  // of the batch at the front of the given bytes; a tail is dropped
  std::int32_t record_count = 0;
  std::int32_t last_offset_delta = 0;  // record_count - 1
  Codec codec = Codec::none;           // as sent
  Codec stored_codec = Codec::none;    // as the topic wants it; if different: recompress.h
  TimestampType timestamp_type = TimestampType::create_time;  // as to be stored
  TimestampMs max_timestamp = -1;                             // as to be stored
  std::int32_t max_timestamp_offset_delta =
      -1;  // first record with it; of LogAppendTime the last one
  ProducerId producer_id = -1;
  ProducerEpoch producer_epoch = -1;
  Sequence first_sequence = -1;
  Sequence last_sequence = -1;
  bool transactional = false;

  bool needs_recompression() const { return codec != stored_codec; }
};

struct RecordFailure {
  std::int32_t batch_index = 0;  // of the record in its batch
  std::string message;
};

struct Verdict {
  ErrorCode error = ErrorCode::none;
  std::optional<std::string> message;          // errorMessage of the answer
  std::vector<RecordFailure> record_failures;  // recordErrors of the answer
  AcceptedBatch batch;                         // if error is none
};

// Judges the records of one partition of a produce request in steps of bounded work.
// An uncompressed batch of ordinary size is judged in one step and without allocation.
class BatchValidation {
 public:
  // `records` and `pool` (may be null) outlive this object.
  BatchValidation(ByteView records, const ValidationOptions& options,
                  DecompressorPool* pool = nullptr);
  ~BatchValidation();
  BatchValidation(const BatchValidation&) = delete;
  BatchValidation& operator=(const BatchValidation&) = delete;

  // Goes on for at most about a millisecond; true when the verdict is there.
  bool step();

  Verdict& verdict() { return verdict_; }

 private:
  enum class Phase : std::uint8_t { framing, crc, header, records, stream, done };

  void refuse(ErrorCode error, std::optional<std::string> message = std::nullopt);
  void refuse(RecordFault fault);
  bool check_framing();
  void step_crc();
  void check_header();
  void walk_records();
  bool may_walk_by_runs() const;
  bool take_run(const RecordIterator::PlainRun& run);
  void step_stream();
  void decoded_slice(ByteView slice);
  void decoder_failed(const Error& error);
  void check_record(std::int64_t timestamp_delta, std::int32_t offset_delta, bool has_key,
                    bool has_odd_length);
  bool timestamp_allowed(TimestampMs timestamp) const;
  void fail_record(ErrorCode error, std::string message);
  bool check_record_failures();
  void accept();

  ByteView records_;  // cut to the batch once framing is known
  const ValidationOptions options_;
  DecompressorPool* pool_;
  Phase phase_ = Phase::framing;
  Verdict verdict_;
  BatchHeader header_;
  Codec codec_ = Codec::none;
  // crc
  std::size_t crc_position_ = batch_field::kAttributes;
  std::uint32_t crc_ = 0;
  // records
  std::int32_t index_ = 0;  // of the next record
  TimestampMs max_timestamp_ = -1;
  std::int32_t max_timestamp_index_ = -1;
  std::size_t record_failure_count_ = 0;
  bool invalid_timestamp_ = false;
  RecordStream stream_;
  std::unique_ptr<Decompressor> decompressor_;
};

// All steps at once.
Verdict validate_produced(ByteView records, const ValidationOptions& options,
                          DecompressorPool* pool = nullptr);

// Makes of the produced bytes what is stored: sets timestamp type and max timestamp (computing the
// CRC anew only if they change), offset and leader epoch. `batch` is exactly the accepted batch.
void accept_batch(MutableByteView batch, const AcceptedBatch& accepted, Offset base_offset,
                  LeaderEpoch leader_epoch);

}  // namespace drave::protocol
