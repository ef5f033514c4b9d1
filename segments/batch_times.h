#pragma once
// Looking for a record by its timestamp inside one batch, decoding it if need be.

#include "base/ids.h"
#include "base/result.h"
#include "protocol/record_batch.h"
#include "segments/partition_log.h"

namespace drave::segments {

// The first record of `batch` with an offset in [first, limit) and a timestamp of at least
// `timestamp`; offset -1: none. In a batch of LogAppendTime all records have the batch's.
// Errc::corrupt: the records cannot be read.
Result<TimestampOffset> find_record_by_timestamp(const protocol::BatchView& batch,
                                                 TimestampMs timestamp, Offset first, Offset limit);

// The largest timestamp of the batch's records with an offset below `limit`; -1: none has any.
Result<TimestampMs> largest_timestamp_below(const protocol::BatchView& batch, Offset limit);

}  // namespace drave::segments
