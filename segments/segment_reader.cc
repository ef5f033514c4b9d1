#include "segments/segment_reader.h"

#include <algorithm>
#include <utility>

#include "base/canary.h"
#include "segments/log_limits.h"

namespace drave::segments {

using protocol::BatchPeek;
using protocol::BatchView;

namespace {

// Whether a batch of ours could begin here: cheap, for looking at every byte.
bool could_begin(const std::uint8_t* at, std::uint64_t bytes_left, Offset offset_min) {
  if (at[protocol::batch_field::kMagic] != protocol::kBatchMagic) return false;
  const auto size = load_big<std::int32_t>(at + protocol::batch_field::kSize);
  if (size < static_cast<std::int32_t>(protocol::kBatchHeaderSize - protocol::kBatchSizeFieldEnd) ||
      static_cast<std::uint64_t>(size) + protocol::kBatchSizeFieldEnd > bytes_left) {
    return false;
  }
  const auto base = load_big<Offset>(at + protocol::batch_field::kBaseOffset);
  return base >= offset_min && base - offset_min <= INT32_MAX &&
         load_big<std::int32_t>(at + protocol::batch_field::kLastOffsetDelta) >= 0;
}

bool makes_sense(const BatchView& batch) {
  if (batch.base_offset() < 0) return false;
  return batch.is_legacy() || batch.last_offset_delta() >= 0;
}

}  // namespace

ByteView SegmentReader::window() const {
  if (position_ < buffer_at_ || position_ >= buffer_at_ + buffer_size_) return {};
  const std::size_t from = static_cast<std::size_t>(position_ - buffer_at_);
  return {buffer_.get() + from, buffer_size_ - from};
}

io::Task<Result<void>> SegmentReader::load(std::uint64_t position, std::size_t bytes) {
  const auto wanted = static_cast<std::size_t>(
      std::min<std::uint64_t>(std::max(bytes, kScanBytes), end_ - position));
  buffer_size_ = 0;
  buffer_ = pool_->take(wanted);
  CO_TRY(const std::size_t got,
         co_await file_->read(position, MutableByteView(buffer_.get(), wanted)));
  buffer_at_ = position;
  buffer_size_ = got;
  if (got < wanted) end_ = position + got;
  co_return Result<void>{};
}

std::optional<BatchView> SegmentReader::whole_batch(ByteView bytes) {
  const BatchPeek peek = protocol::peek_batch(bytes);
  if (peek.status == BatchPeek::Status::partial) return std::nullopt;
  if (!peek.corrupt()) {
    const Result<BatchView> batch = protocol::parse_batch(bytes);
    if (batch && makes_sense(*batch) &&
        (batch->crc_matches() || DRAVE_CANARY("torn-taken-for-valid"))) {
      return *batch;
    }
  }
  corrupt_ = true;
  return std::nullopt;
}

io::Task<Result<SegmentReader::Step>> SegmentReader::fill() {
  while (true) {
    if (position_ >= end_) co_return Step::end;
    const ByteView bytes = window();
    const BatchPeek peek = protocol::peek_batch(bytes);
    if (peek.status != BatchPeek::Status::partial) {
      corrupt_ = false;
      co_return whole_batch(bytes) ? Step::batches : Step::corrupt;
    }
    if (peek.size > end_ - position_ || position_ + bytes.size() >= end_) co_return Step::partial;
    CO_TRY_VOID(co_await load(position_, peek.size));
    if (buffer_size_ == 0) co_return Step::end;
  }
}

std::optional<BatchView> SegmentReader::next() {
  corrupt_ = false;
  std::optional<BatchView> batch = whole_batch(window());
  if (batch) position_ += batch->size_bytes();
  return batch;
}

bool SegmentReader::try_again() {
  if (std::exchange(bad_at_, position_) != position_) bad_reads_ = 0;
  if (++bad_reads_ >= kBadReadsMax) return false;
  buffer_size_ = 0;
  return true;
}

io::Task<Result<bool>> SegmentReader::is_valid_at(std::uint64_t position, Offset offset_min) {
  position_ = position;
  const BatchPeek peek = protocol::peek_batch(window());
  if (peek.status == BatchPeek::Status::partial) CO_TRY_VOID(co_await load(position, peek.size));
  corrupt_ = false;
  const std::optional<BatchView> batch = whole_batch(window());
  co_return batch && batch->base_offset() >= offset_min;
}

io::Task<Result<std::optional<std::uint64_t>>> SegmentReader::skip_to_valid(Offset offset_min) {
  const std::uint64_t broken = position_;
  std::uint64_t at = broken + 1;
  while (at + protocol::kBatchHeaderSize <= end_) {
    position_ = at;
    if (window().size() < protocol::kBatchHeaderSize) CO_TRY_VOID(co_await load(at, kScanBytes));
    const ByteView bytes = window();
    if (bytes.size() < protocol::kBatchHeaderSize) break;
    std::size_t i = 0;
    const std::size_t last = bytes.size() - protocol::kBatchHeaderSize;
    while (i <= last && !could_begin(bytes.data() + i, end_ - at - i, offset_min)) ++i;
    at += i;
    if (i > last) continue;
    CO_TRY(const bool valid, co_await is_valid_at(at, offset_min));
    if (valid) co_return std::optional<std::uint64_t>(at);
    ++at;
  }
  position_ = broken;
  co_return std::optional<std::uint64_t>();
}

}  // namespace drave::segments
