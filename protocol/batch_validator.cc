#include "protocol/batch_validator.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/crc32c.h"
#include "protocol/record.h"

namespace drave::protocol {
namespace {

constexpr std::int16_t kZstdVersionMin = 7;         // of Produce
constexpr std::size_t kCrcStepBytes = 4UL << 20;    // 0.3 ms
constexpr std::size_t kShownRecordFailuresMax = 3;  // in the batch's own message
constexpr ProducerEpoch kProducerEpochMin = -1;     // what a producer without state has

// Sums and differences of timestamps wrap, as in Java.
constexpr std::int64_t wrapping_add(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}
constexpr std::int64_t wrapping_subtract(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}

}  // namespace

BatchValidation::BatchValidation(ByteView records, const ValidationOptions& options,
                                 DecompressorPool* pool)
    : records_(records), options_(options), pool_(pool) {}

BatchValidation::~BatchValidation() {
  if (pool_ != nullptr) pool_->give_back(std::move(decompressor_));
}

void BatchValidation::refuse(ErrorCode error, std::optional<std::string> message) {
  ASSERT(error != ErrorCode::none);
  verdict_.error = error;
  verdict_.message = std::move(message);
  phase_ = Phase::done;
}

void BatchValidation::refuse(RecordFault fault) {
  // Kafka fails in its varint reader there, outside of what it translates.
  const bool unknown = fault == RecordFault::length_too_long && codec_ == Codec::none;
  refuse(unknown ? ErrorCode::unknown_server_error : ErrorCode::invalid_record);
}

bool BatchValidation::step() {
  if (phase_ == Phase::framing && check_framing()) phase_ = Phase::crc;
  if (phase_ == Phase::crc) step_crc();
  if (phase_ == Phase::header) check_header();
  if (phase_ == Phase::records) walk_records();
  if (phase_ == Phase::stream) step_stream();
  return phase_ == Phase::done;
}

bool BatchValidation::check_framing() {
  using Status = BatchPeek::Status;
  const BatchPeek first = peek_batch(records_);
  if (first.status == Status::partial) return refuse(ErrorCode::invalid_record), false;
  if (first.status == Status::size_overflow) {
    return refuse(ErrorCode::unknown_server_error), false;
  }
  if (first.corrupt()) return refuse(ErrorCode::corrupt_message, first.message()), false;
  const std::uint8_t* const at = records_.data();
  const bool current = first.magic == kBatchMagic;
  // The least size of any magic makes sure that the attributes are there.
  const auto attributes = load_big<std::int16_t>(at + batch_field::kAttributes);
  if (current && (attributes & batch_attribute::kTransactional) != 0 &&
      !options_.transactional_allowed) {
    return refuse(ErrorCode::transactional_id_authorization_failed), false;
  }
  if (!current) return refuse(ErrorCode::invalid_record), false;
  if (options_.produce_version < kZstdVersionMin &&
      (attributes & batch_attribute::kCodecMask) == static_cast<int>(Codec::zstd)) {
    return refuse(ErrorCode::unsupported_compression_type), false;
  }
  const BatchPeek second = peek_batch(records_.subspan(first.size));
  if (second.status == Status::size_overflow) {
    return refuse(ErrorCode::unknown_server_error), false;
  }
  if (second.corrupt()) return refuse(ErrorCode::corrupt_message), false;
  if (second.status == Status::whole) return refuse(ErrorCode::invalid_record), false;
  if (load_big<Offset>(at) != 0) return refuse(ErrorCode::invalid_record), false;
  if (first.size > options_.batch_bytes_max) return refuse(ErrorCode::message_too_large), false;
  if (first.size < kBatchHeaderSize) return refuse(ErrorCode::corrupt_message), false;
  records_ = records_.first(first.size);
  header_ = BatchHeader::read(at);
  return true;
}

void BatchValidation::step_crc() {
  const std::size_t size = std::min(records_.size() - crc_position_, kCrcStepBytes);
  crc_ = crc32c(records_.subspan(crc_position_, size), crc_);
  crc_position_ += size;
  if (crc_position_ < records_.size()) return;
  if (crc_ != header_.crc) return refuse(ErrorCode::corrupt_message);
  phase_ = Phase::header;
}

void BatchValidation::check_header() {
  const int codec_bits = header_.attributes & batch_attribute::kCodecMask;
  if (codec_bits >= kCodecCount) return refuse(ErrorCode::unknown_server_error);
  codec_ = static_cast<Codec>(codec_bits);
  const bool counts_agree =
      header_.record_count > 0 &&
      static_cast<std::int64_t>(header_.last_offset_delta) + 1 == header_.record_count;
  const bool control = (header_.attributes & batch_attribute::kControl) != 0;
  if (!counts_agree || control || (header_.producer_id > -1 && header_.base_sequence < 0)) {
    return refuse(ErrorCode::invalid_record);
  }
  if (codec_ == Codec::none && records_.size() <= kValidationWalkBytesMax) {
    phase_ = Phase::records;
    return;
  }
  stream_ = RecordStream(header_.record_count);
  decompressor_ = pool_ != nullptr ? pool_->take() : std::make_unique<Decompressor>();
  decompressor_->start(
      codec_, records_.subspan(kBatchHeaderSize),
      {.decoded_bytes_max = codec_ == Codec::none ? records_.size() : options_.decoded_bytes_max});
  phase_ = Phase::stream;
}

void BatchValidation::walk_records() {
  RecordIterator records(records_.subspan(kBatchHeaderSize), header_.record_count);
  bool by_runs = may_walk_by_runs();
  RecordView record;
  while (true) {
    if (by_runs) {
      const RecordIterator before = records;
      if (!take_run(records.pass_plain(index_))) {
        // Some record of the run is to be refused: by its own name.
        records = before;
        by_runs = false;
      }
    }
    if (!records.next(record)) break;
    check_record(record.timestamp_delta, record.offset_delta, record.key_size >= 0,
                 record.has_odd_length);
    if (phase_ == Phase::done) return;
  }
  if (records.fault() != RecordFault::none) return refuse(records.fault());
  if (check_record_failures()) accept();
}

// Timestamps are the producer's, and between a run's oldest and newest none wraps or is the -1 that
// is always allowed: what holds for those two holds for all.
bool BatchValidation::may_walk_by_runs() const {
  constexpr TimestampMs kFarthest = TimestampMs{1} << 62;
  const TimestampMs base = header_.base_timestamp;
  return (header_.attributes & batch_attribute::kLogAppendTime) == 0 &&
         options_.timestamp_type == TimestampType::create_time &&
         base > RecordIterator::kPlainDeltaMax && base < kFarthest;
}

// False: check_record() has something to say about one of them.
bool BatchValidation::take_run(const RecordIterator::PlainRun& run) {
  if (run.count == 0) return true;
  const TimestampMs newest = header_.base_timestamp + run.timestamp_delta_max;
  if ((options_.compacted && run.has_null_key) || !timestamp_allowed(newest) ||
      !timestamp_allowed(header_.base_timestamp + run.timestamp_delta_min))
    return false;
  if (newest > max_timestamp_) {
    max_timestamp_ = newest;
    max_timestamp_index_ = index_ + run.timestamp_max_at;
  }
  index_ += run.count;
  return true;
}

bool BatchValidation::timestamp_allowed(TimestampMs timestamp) const {
  const std::int64_t age = wrapping_subtract(options_.now_ms, timestamp);
  return timestamp == -1 || (age <= options_.timestamp_before_max_ms &&
                             wrapping_subtract(0, age) <= options_.timestamp_after_max_ms);
}

void BatchValidation::step_stream() {
  const std::int32_t index_end = index_ + kValidationStepRecords;
  const std::size_t decoded_end = decompressor_->decoded_bytes() + kValidationStepBytes;
  do {
    const auto slice = decompressor_->step();
    if (!slice) return decoder_failed(slice.error());
    if (slice->end) {
      stream_.finish();
      if (stream_.fault() != RecordFault::none) return refuse(stream_.fault());
      if (check_record_failures()) accept();
      return;
    }
    decoded_slice(slice->bytes);
    if (slice->bytes.empty()) return;  // a step of input went without output
  } while (phase_ == Phase::stream && index_ < index_end &&
           decompressor_->decoded_bytes() < decoded_end);
}

void BatchValidation::decoded_slice(ByteView slice) {
  RecordSummary record;
  while (stream_.next(slice, record)) {
    check_record(record.timestamp_delta, record.offset_delta, record.has_key,
                 record.has_odd_length);
    if (phase_ == Phase::done) return;
  }
  if (stream_.fault() != RecordFault::none) refuse(stream_.fault());
}

void BatchValidation::decoder_failed(const Error& error) {
  if (error.code == Errc::too_large) return refuse(ErrorCode::message_too_large, error.context);
  refuse(ErrorCode::corrupt_message, error.context);
}

void BatchValidation::check_record(std::int64_t timestamp_delta, std::int32_t offset_delta,
                                   bool has_key, bool has_odd_length) {
  if (offset_delta != index_ || has_odd_length) [[unlikely]] {
    return refuse(ErrorCode::invalid_record,
                  has_odd_length
                      ? fmt::format("Record {} has a length below -1", index_)
                      : fmt::format("Record {} has offset delta {}", index_, offset_delta));
  }
  const bool append_time = (header_.attributes & batch_attribute::kLogAppendTime) != 0;
  const TimestampMs timestamp =
      append_time ? header_.max_timestamp : wrapping_add(header_.base_timestamp, timestamp_delta);
  if (options_.compacted && !has_key) [[unlikely]] {
    fail_record(ErrorCode::invalid_record,
                fmt::format("Compacted topic cannot accept message without key in topic partition "
                            "{}-{}.",
                            options_.topic, options_.partition));
  } else if (options_.timestamp_type == TimestampType::create_time && timestamp != -1) {
    if (!timestamp_allowed(timestamp)) [[unlikely]] {
      fail_record(
          ErrorCode::invalid_timestamp,
          fmt::format(
              "Timestamp {} of message with offset {} is out of range. The timestamp should "
              "be within [{}, {}]",
              timestamp, index_,
              wrapping_subtract(options_.now_ms, options_.timestamp_before_max_ms),
              wrapping_add(options_.now_ms, options_.timestamp_after_max_ms)));
    }
  } else if (append_time) [[unlikely]] {
    fail_record(ErrorCode::invalid_timestamp,
                fmt::format("Invalid timestamp type in message with offset {}. Producer should not "
                            "set timestamp type to LogAppendTime.",
                            index_));
  }
  if (timestamp > max_timestamp_) {
    max_timestamp_ = timestamp;
    max_timestamp_index_ = index_;
  }
  ++index_;
}

void BatchValidation::fail_record(ErrorCode error, std::string message) {
  invalid_timestamp_ |= error == ErrorCode::invalid_timestamp;
  ++record_failure_count_;
  if (verdict_.record_failures.size() < kRecordErrorsMax) {
    verdict_.record_failures.push_back({index_, std::move(message)});
  }
}

bool BatchValidation::check_record_failures() {
  if (record_failure_count_ == 0) return true;
  if (invalid_timestamp_) {
    refuse(ErrorCode::invalid_timestamp,
           "One or more records have been rejected due to invalid timestamp");
    return false;
  }
  std::string shown;
  const auto& failures = verdict_.record_failures;
  for (std::size_t i = 0; i < std::min(failures.size(), kShownRecordFailuresMax); ++i) {
    shown += fmt::format("{}RecordError(batchIndex={}, message='{}')", i == 0 ? "" : ", ",
                         failures[i].batch_index, failures[i].message);
  }
  refuse(ErrorCode::invalid_record,
         fmt::format("One or more records have been rejected due to {} record errors in total, and "
                     "only showing the first three errors at most: [{}]",
                     record_failure_count_, shown));
  return false;
}

void BatchValidation::accept() {
  if (records_.size() > options_.segment_bytes_max) {
    return refuse(ErrorCode::record_list_too_large);
  }
  if (header_.producer_id > -1 && header_.producer_epoch < kProducerEpochMin) {
    return refuse(ErrorCode::invalid_producer_epoch);
  }
  AcceptedBatch& batch = verdict_.batch;
  batch.size_bytes = records_.size();
  batch.record_count = header_.record_count;
  batch.last_offset_delta = header_.last_offset_delta;
  batch.codec = codec_;
  batch.stored_codec = options_.codec.value_or(codec_);
  batch.timestamp_type = options_.timestamp_type;
  batch.max_timestamp = max_timestamp_;
  batch.max_timestamp_offset_delta = max_timestamp_index_;
  if (options_.timestamp_type == TimestampType::log_append_time) {
    batch.max_timestamp = options_.now_ms;
    batch.max_timestamp_offset_delta = header_.last_offset_delta;
  }
  batch.producer_id = header_.producer_id;
  batch.producer_epoch = header_.producer_epoch;
  batch.first_sequence = header_.base_sequence;
  batch.last_sequence = header_.base_sequence < 0
                            ? -1
                            : sequence_after(header_.base_sequence, header_.last_offset_delta);
  batch.transactional = (header_.attributes & batch_attribute::kTransactional) != 0;
  phase_ = Phase::done;
}

Verdict validate_produced(ByteView records, const ValidationOptions& options,
                          DecompressorPool* pool) {
  BatchValidation validation(records, options, pool);
  while (!validation.step()) continue;
  return std::move(validation.verdict());
}

void accept_batch(MutableByteView batch, const AcceptedBatch& accepted, Offset base_offset,
                  LeaderEpoch leader_epoch) {
  ASSERT_EQUAL(batch.size(), accepted.size_bytes);
  set_max_timestamp(batch, accepted.timestamp_type, accepted.max_timestamp);
  stamp_batch(batch, base_offset, leader_epoch);
}

}  // namespace drave::protocol
