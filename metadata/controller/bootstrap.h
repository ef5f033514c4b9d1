#pragma once
// The first records of a cluster.

#include <cstdint>

#include "base/bytes.h"
#include "base/result.h"
#include "metadata/record_list.h"

namespace drave::metadata {

// What a new log begins with: the records of a bootstrap.checkpoint (checked bytes; empty: what a
// new cluster of the newest release has) within one metadata transaction where the metadata.version
// knows those, and the cluster's min.insync.replicas where eligible leader replicas need it.
// Errors: invalid, unsupported (a record that cannot be), also without a level of metadata.version.
Result<RecordList> bootstrap_records(ByteView checkpoint, std::int32_t min_insync_replicas);

}  // namespace drave::metadata
