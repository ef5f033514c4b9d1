#include "protocol/batch_builder.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "protocol/compression.h"

namespace drave::protocol {
namespace {

std::int32_t size_of(const std::optional<ByteView>& bytes) {
  if (!bytes) return -1;
  ASSERT(bytes->size() <= INT32_MAX);
  return static_cast<std::int32_t>(bytes->size());
}

std::size_t sized_bytes(std::int32_t size) {
  return varint_size(size) + static_cast<std::size_t>(std::max(size, 0));
}

std::uint8_t* write_sized(std::uint8_t* at, const std::optional<ByteView>& bytes) {
  at = write_varint(at, size_of(bytes));
  if (!bytes || bytes->empty()) return at;
  return std::copy(bytes->begin(), bytes->end(), at);
}

std::size_t headers_size(std::span<const RecordHeaderView> headers) {
  std::size_t size = varint_size(static_cast<std::int32_t>(headers.size()));
  for (const RecordHeaderView& header : headers) {
    size += sized_bytes(static_cast<std::int32_t>(header.key.size())) +
            sized_bytes(size_of(header.value));
  }
  return size;
}

std::int16_t attributes_of(const BatchOptions& options) {
  int bits = static_cast<int>(options.codec);
  if (options.timestamp_type == TimestampType::log_append_time) {
    bits |= batch_attribute::kLogAppendTime;
  }
  if (options.transactional) bits |= batch_attribute::kTransactional;
  if (options.control) bits |= batch_attribute::kControl;
  if (options.delete_horizon) bits |= batch_attribute::kDeleteHorizon;
  return static_cast<std::int16_t>(bits);
}

}  // namespace

BatchBuilder::BatchBuilder(BatchOptions options)
    : options_(options), batch_(kBatchHeaderSize), base_timestamp_(options.base_timestamp) {
  if (options_.delete_horizon) base_timestamp_ = options_.delete_horizon;
}

void BatchBuilder::append(TimestampMs timestamp, std::optional<ByteView> key,
                          std::optional<ByteView> value,
                          std::span<const RecordHeaderView> headers) {
  append_at(last_offset_delta_ + 1, timestamp, key, value, headers);
}

void BatchBuilder::append_at(std::int32_t offset_delta, TimestampMs timestamp,
                             std::optional<ByteView> key, std::optional<ByteView> value,
                             std::span<const RecordHeaderView> headers) {
  ASSERT(offset_delta > last_offset_delta_);
  if (!base_timestamp_) base_timestamp_ = timestamp;
  const std::int64_t timestamp_delta = static_cast<std::int64_t>(
      static_cast<std::uint64_t>(timestamp) - static_cast<std::uint64_t>(*base_timestamp_));
  const std::size_t body = 1 + varlong_size(timestamp_delta) + varint_size(offset_delta) +
                           sized_bytes(size_of(key)) + sized_bytes(size_of(value)) +
                           headers_size(headers);
  const std::size_t begin = batch_.size();
  const std::size_t size = varint_size(static_cast<std::int32_t>(body)) + body;
  ASSERT(begin + size <= INT32_MAX);
  batch_.resize(begin + size);
  std::uint8_t* at = write_varint(batch_.data() + begin, static_cast<std::int32_t>(body));
  *at++ = 0;
  at = write_varlong(at, timestamp_delta);
  at = write_varint(at, offset_delta);
  at = write_sized(at, key);
  at = write_sized(at, value);
  at = write_varint(at, static_cast<std::int32_t>(headers.size()));
  for (const RecordHeaderView& header : headers) {
    at = write_sized(at, as_bytes(header.key));
    at = write_sized(at, header.value);
  }
  ASSERT(at == batch_.data() + batch_.size());
  max_timestamp_ = std::max(max_timestamp_, timestamp);
  last_offset_delta_ = offset_delta;
  ++record_count_;
}

std::vector<std::uint8_t> BatchBuilder::finish() && {
  if (options_.codec != Codec::none) {
    std::vector<std::uint8_t> compressed(kBatchHeaderSize);
    compress(options_.codec, options_.level, ByteView(batch_).subspan(kBatchHeaderSize),
             compressed);
    batch_ = std::move(compressed);
  }
  BatchHeader header;
  header.base_offset = options_.base_offset;
  header.leader_epoch = options_.leader_epoch;
  header.attributes = attributes_of(options_);
  header.last_offset_delta = options_.last_offset_delta.value_or(std::max(last_offset_delta_, 0));
  header.base_timestamp = base_timestamp_.value_or(-1);
  header.max_timestamp = options_.max_timestamp.value_or(max_timestamp_);
  header.producer_id = options_.producer_id;
  header.producer_epoch = options_.producer_epoch;
  header.base_sequence = options_.base_sequence;
  header.record_count = record_count_;
  header.size = static_cast<std::int32_t>(batch_.size() - kBatchSizeFieldEnd);
  header.write(batch_.data());
  set_batch_crc(batch_);
  return std::move(batch_);
}

}  // namespace drave::protocol
