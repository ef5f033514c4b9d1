#include <algorithm>
#include <utility>

#include "segments/batch_times.h"
#include "segments/file_log.h"
#include "segments/log_limits.h"

namespace drave::segments {

using protocol::BatchView;

namespace {

ReadRequest scan_request(Offset from, Offset end) {
  ReadRequest request;
  request.offset = from;
  request.end_limit = end;
  request.bytes_max = kReadAheadMax;
  request.at_least_one_batch = true;
  return request;
}

}  // namespace

// The segments, each with its largest timestamp known.
io::Task<Result<std::vector<FileLog::SegmentPtr>>> FileLog::segments_with_times() {
  while (true) {
    std::vector<SegmentPtr> segments = segments_;
    const std::uint64_t generation = generation_;
    for (const SegmentPtr& segment : segments) {
      if (segment->largest_known) continue;
      CO_TRY_VOID(co_await load_segment_indexes(segment));
    }
    if (generation == generation_) co_return std::move(segments);
  }
}

io::Task<Result<TimestampOffset>> FileLog::find_in_range(Offset from, Offset end,
                                                         TimestampMs timestamp, Offset limit) {
  while (from < end) {
    CO_TRY(const ReadResult result, co_await read(scan_request(from, std::min(end, limit))));
    if (result.size == 0) break;
    for (const LogPiece& piece : result.pieces) {
      protocol::BatchIterator batches(piece.bytes());
      while (std::optional<BatchView> batch = batches.next()) {
        from = batch->last_offset() + 1;
        if (!batch->is_legacy() && batch->max_timestamp() < timestamp) continue;
        CO_TRY(const TimestampOffset found,
               find_record_by_timestamp(*batch, timestamp, log_start_, limit));
        if (found.offset >= 0) co_return found;
      }
    }
    co_await io::yield(loop());
    from = std::max(from, log_start_);
  }
  co_return TimestampOffset{};
}

io::Task<Result<TimestampOffset>> FileLog::find_by_timestamp(TimestampMs timestamp, Offset limit) {
  const UnderWay under_way(*this);
  CO_TRY(const std::vector<SegmentPtr> segments, co_await segments_with_times());
  for (const SegmentPtr& segment : segments) {
    if (segment->base_offset() >= limit) break;
    if (segment->largest_timestamp.timestamp < timestamp) continue;
    CO_TRY_VOID(co_await load_segment_indexes(segment));
    const Offset from = std::max(segment->time_index.lookup(timestamp).offset, log_start_);
    CO_TRY(const TimestampOffset found,
           co_await find_in_range(from, segment->end_offset, timestamp, limit));
    if (found.offset >= 0) co_return found;
  }
  co_return TimestampOffset{};
}

// The largest timestamp of records in [from, limit).
io::Task<Result<TimestampMs>> FileLog::largest_in_range(Offset from, Offset limit) {
  TimestampMs largest = -1;
  from = std::max(from, log_start_);
  while (from < limit) {
    CO_TRY(const ReadResult result, co_await read(scan_request(from, limit)));
    if (result.size == 0) break;
    for (const LogPiece& piece : result.pieces) {
      protocol::BatchIterator batches(piece.bytes());
      while (std::optional<BatchView> batch = batches.next()) {
        from = batch->last_offset() + 1;
        CO_TRY(const TimestampMs here, largest_timestamp_below(*batch, limit));
        largest = std::max(largest, here);
      }
    }
    co_await io::yield(loop());
    from = std::max(from, log_start_);
  }
  co_return largest;
}

io::Task<Result<TimestampOffset>> FileLog::find_max_timestamp(Offset limit) {
  const UnderWay under_way(*this);
  CO_TRY(const std::vector<SegmentPtr> segments, co_await segments_with_times());
  TimestampMs largest = -1;
  for (const SegmentPtr& segment : segments) {
    if (segment->base_offset() >= limit || segment->end_offset <= log_start_) continue;
    const TimestampEntry& known = segment->largest_timestamp;
    if (known.timestamp <= largest) continue;
    if (segment->end_offset <= limit && known.offset >= log_start_) {
      largest = known.timestamp;
      continue;
    }
    CO_TRY(const TimestampMs here,
           co_await largest_in_range(segment->base_offset(), std::min(limit, segment->end_offset)));
    largest = std::max(largest, here);
  }
  if (largest < 0) co_return TimestampOffset{};
  co_return co_await find_by_timestamp(largest, limit);
}

io::Task<Result<std::vector<AbortedTransaction>>> FileLog::aborted_transactions(Offset first,
                                                                                Offset last) {
  const UnderWay under_way(*this);
  std::vector<AbortedEntry> entries;
  const std::vector<SegmentPtr> segments(
      segments_.begin() + static_cast<std::ptrdiff_t>(segment_index_of(first)), segments_.end());
  for (const SegmentPtr& segment : segments) {
    CO_TRY_VOID(co_await load_segment_indexes(segment));
    if (segment->transaction_index.collect(first, last, entries)) break;
  }
  std::vector<AbortedTransaction> aborted;
  aborted.reserve(entries.size());
  for (const AbortedEntry& entry : entries) {
    aborted.push_back({entry.producer_id, entry.first_offset});
  }
  co_return std::move(aborted);
}

}  // namespace drave::segments
