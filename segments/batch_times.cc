#include "segments/batch_times.h"

#include <algorithm>

#include "protocol/compression.h"
#include "protocol/legacy_batch.h"
#include "protocol/record_stream.h"

namespace drave::segments {

using protocol::BatchView;

namespace {

Error unreadable(const BatchView& batch) {
  return Error{Errc::corrupt, 0,
               "the records of the batch at offset " + std::to_string(batch.base_offset()) +
                   " cannot be read"};
}

// Calls visit(offset, timestamp) for each record until it returns true.
template <class Visit>
Result<void> visit_records(const BatchView& batch, Visit visit) {
  if (batch.is_legacy()) {
    TRY(const protocol::LegacyBatch records, protocol::LegacyBatch::read(batch));
    for (const protocol::LegacyRecord& record : records.records()) {
      if (visit(record.offset, record.timestamp)) break;
    }
    return {};
  }
  const bool append_time = batch.timestamp_type() == protocol::TimestampType::log_append_time;
  if (!batch.codec() || batch.record_count() < 0) return std::unexpected(unreadable(batch));
  protocol::Decompressor decoder;
  decoder.start(*batch.codec(), batch.records());
  protocol::RecordStream records(batch.record_count());
  while (true) {
    TRY(protocol::DecodedSlice slice, decoder.step());
    if (slice.end) return {};
    protocol::RecordSummary record;
    while (records.next(slice.bytes, record)) {
      const TimestampMs timestamp =
          append_time ? batch.max_timestamp() : batch.base_timestamp() + record.timestamp_delta;
      if (visit(batch.base_offset() + record.offset_delta, timestamp)) return {};
    }
    if (records.fault() != protocol::RecordFault::none) return std::unexpected(unreadable(batch));
  }
}

}  // namespace

Result<TimestampOffset> find_record_by_timestamp(const BatchView& batch, TimestampMs timestamp,
                                                 Offset first, Offset limit) {
  TimestampOffset found;
  TRY_VOID(visit_records(batch, [&](Offset offset, TimestampMs at) {
    if (offset >= limit) return true;
    if (offset < first || at < timestamp) return false;
    found.offset = offset;
    found.timestamp = at;
    found.leader_epoch = batch.is_legacy() ? -1 : batch.leader_epoch();
    return true;
  }));
  return found;
}

Result<TimestampMs> largest_timestamp_below(const BatchView& batch, Offset limit) {
  if (!batch.is_legacy() && batch.last_offset() < limit) return batch.max_timestamp();
  TimestampMs largest = -1;
  TRY_VOID(visit_records(batch, [&](Offset offset, TimestampMs at) {
    if (offset >= limit) return true;
    largest = std::max(largest, at);
    return false;
  }));
  return largest;
}

}  // namespace drave::segments
