#pragma once
// The file `partition.metadata` in a partition's directory: to which topic id the data belongs.

#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "io/loop.h"
#include "io/task.h"

namespace drave::segments {

inline constexpr std::string_view kPartitionMetadataName = "partition.metadata";

// Errc::corrupt, Errc::unsupported (version).
Result<TopicId> decode_partition_metadata(std::string_view text);
std::string encode_partition_metadata(TopicId topic_id);

// Errc::not_found: there is none.
io::Task<Result<TopicId>> read_partition_metadata(io::Loop& loop, std::string directory);
// Durable on return.
io::Task<Result<void>> write_partition_metadata(io::Loop& loop, std::string directory,
                                                TopicId topic_id);

}  // namespace drave::segments
