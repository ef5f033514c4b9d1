#pragma once
// The hashes by which Kafka's clients and brokers choose partitions, and those that its group
// records hold. Text is UTF-8; where Java hashes or orders UTF-16 units, so does this, and bytes
// that are no UTF-8 count as U+FFFD each. Pure.

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"

namespace drave::protocol {

std::int32_t murmur2(ByteView bytes);
// The partition that Java's default partitioner chooses for a record with this key.
PartitionIndex partition_of_key(ByteView key, std::int32_t partition_count);

// Java's String.hashCode.
std::int32_t java_hash_code(std::string_view text);
// The partition of __consumer_offsets (by group), __transaction_state (by transactional id) or
// __share_group_state (by share_coordinator_key) that a coordinator keeps.
PartitionIndex coordinator_partition(std::string_view key, std::int32_t partition_count);
std::string share_coordinator_key(std::string_view group, const TopicId& topic,
                                  PartitionIndex partition);

// What a group's MetadataHash is made of: a topic as its members' assignor sees it. `racks`: for
// each partition those of its replicas, in any order.
std::int64_t topic_metadata_hash(const TopicId& id, std::string_view name,
                                 const std::vector<std::vector<std::string>>& racks);
// By topic name; 0 of no topics.
std::int64_t group_metadata_hash(const std::map<std::string, std::int64_t>& topic_hashes);

}  // namespace drave::protocol
