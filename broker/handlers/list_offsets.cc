#include "protocol/messages/list_offsets.h"

#include <set>

#include "broker/handlers/handlers.h"
#include "broker/handlers/partition_access.h"
#include "broker/node.h"
#include "broker/security/access.h"

namespace drave::broker {

using protocol::ErrorCode;

namespace {

// Kafka's special timestamps.
constexpr std::int64_t kLatest = -1;
constexpr std::int64_t kEarliest = -2;
constexpr std::int64_t kMaxTimestamp = -3;
constexpr std::int64_t kEarliestLocal = -4;
constexpr std::int64_t kLatestTiered = -5;
constexpr std::int64_t kEarliestPendingUpload = -6;

struct Found {
  ErrorCode error = ErrorCode::none;
  segments::TimestampOffset at;
};

// The first version that knows a special timestamp.
std::int16_t version_of(std::int64_t timestamp) {
  switch (timestamp) {
    case kMaxTimestamp: return 7;
    case kEarliestLocal: return 8;
    case kLatestTiered: return 9;
    case kEarliestPendingUpload: return 11;
    default: return 0;
  }
}

io::Task<Found> look_up(Replica& replica, std::int64_t timestamp, bool read_committed) {
  segments::PartitionLog& log = replica.log();
  Found found;
  const Offset end = replica.visible_end(read_committed);
  if (timestamp == kLatest) {
    found.at.offset = end;
    found.at.leader_epoch = replica.leader_epoch();
  } else if (timestamp == kEarliest || timestamp == kEarliestLocal) {
    found.at.offset = log.log_start();
    found.at.leader_epoch = log.epoch_of(log.log_start());
  } else if (timestamp == kLatestTiered || timestamp == kEarliestPendingUpload) {
    // Nothing is tiered: there is no such offset.
    found.at.leader_epoch = -1;
  } else {
    Result<segments::TimestampOffset> at = segments::TimestampOffset{};
    if (timestamp == kMaxTimestamp)
      at = co_await log.find_max_timestamp(end);
    else
      at = co_await log.find_by_timestamp(timestamp, end);
    if (at)
      found.at = *at;
    else
      found.error = ErrorCode::kafka_storage_error;
  }
  co_return found;
}

using Named = std::set<std::pair<std::string_view, std::int32_t>>;

// Partitions that the request names more than once.
Named doubles_of(const protocol::ListOffsetsRequest& message) {
  Named seen;
  Named doubles;
  for (const auto& topic : message.topics)
    for (const auto& partition : topic.partitions)
      if (!seen.emplace(topic.name, partition.partition_index).second)
        doubles.emplace(topic.name, partition.partition_index);
  return doubles;
}

}  // namespace

io::Task<void> handle_list_offsets(Request request) {
  protocol::ListOffsetsRequest message;
  if (!request.read(message)) co_return;
  protocol::ListOffsetsResponse answer;
  const Access access(request);
  const bool read_committed = message.isolation_level == 1;
  const Named doubles = doubles_of(message);
  for (const auto& topic : message.topics) {
    auto& out = answer.topics.emplace_back();
    out.name = topic.name;
    const bool may_describe = access.may_topic(protocol::AclOperation::describe, topic.name);
    for (const auto& partition : topic.partitions) {
      protocol::ListOffsetsResponse::ListOffsetsPartitionResponse found_out;
      found_out.partition_index = partition.partition_index;
      const std::int64_t timestamp = partition.timestamp;
      const PartitionPlace place = find_partition(
          request.shard, topic.name, partition.partition_index, partition.current_leader_epoch);
      if (!may_describe) {
        found_out.error_code = code_of(ErrorCode::topic_authorization_failed);
      } else if (doubles.contains({topic.name, partition.partition_index})) {
        found_out.error_code = code_of(ErrorCode::invalid_request);
      } else if (timestamp < kEarliestPendingUpload || request.version < version_of(timestamp)) {
        found_out.error_code = code_of(ErrorCode::unsupported_version);
      } else if (place.error != ErrorCode::none) {
        found_out.error_code = code_of(place.error);
      } else {
        const Found found = co_await on_replica(
            request.shard, place.id, [timestamp, read_committed](Replica& replica) {
              return look_up(replica, timestamp, read_committed);
            });
        found_out.error_code = code_of(found.error);
        found_out.offset = found.at.offset;
        found_out.timestamp = found.at.timestamp;
        if (request.version >= 4) found_out.leader_epoch = found.at.leader_epoch;
      }
      out.partitions.push_back(found_out);
    }
  }
  request.response.send(answer);
}

}  // namespace drave::broker
