// DeleteRecords, OffsetForLeaderEpoch and DescribeProducers: small questions to single partitions.

#include <set>

#include "broker/handlers/handlers.h"
#include "broker/handlers/partition_access.h"
#include "broker/node.h"
#include "broker/security/access.h"
#include "protocol/messages/delete_records.h"
#include "protocol/messages/describe_producers.h"
#include "protocol/messages/offset_for_leader_epoch.h"

namespace drave::broker {

using protocol::AclOperation;
using protocol::ErrorCode;

namespace {

constexpr Offset kToHighWatermark = -1;

struct Deleted {
  ErrorCode error = ErrorCode::none;
  Offset low_watermark = -1;
};

io::Task<Deleted> delete_before(Replica& replica, Offset offset) {
  segments::PartitionLog& log = replica.log();
  const Offset target = offset == kToHighWatermark ? replica.high_watermark() : offset;
  if (target < 0 || target > replica.high_watermark())
    co_return Deleted{ErrorCode::offset_out_of_range, -1};
  if (target > log.log_start()) {
    const Result<void> moved = co_await log.advance_log_start(target);
    if (!moved) co_return Deleted{ErrorCode::kafka_storage_error, -1};
  }
  co_return Deleted{ErrorCode::none, log.log_start()};
}

struct EpochFound {
  ErrorCode error = ErrorCode::none;
  segments::EpochEnd end;
};

struct ProducersFound {
  ErrorCode error = ErrorCode::none;
  std::vector<protocol::DescribeProducersResponse::ProducerState> producers;
};

ProducersFound producers_of(Replica& replica) {
  ProducersFound found;
  for (const auto& [id, entry] : replica.log().producers().entries()) {
    auto& out = found.producers.emplace_back();
    out.producer_id = id;
    out.producer_epoch = entry.epoch;
    if (entry.batch_count > 0)
      out.last_sequence = entry.batches[entry.batch_count - 1].last_sequence;
    out.last_timestamp = entry.last_timestamp;
    out.coordinator_epoch = entry.coordinator_epoch;
    out.current_txn_start_offset = entry.transaction_first_offset;
  }
  return found;
}

}  // namespace

io::Task<void> handle_delete_records(Request request) {
  protocol::DeleteRecordsRequest message;
  if (!request.read(message)) co_return;
  protocol::DeleteRecordsResponse answer;
  const Access access(request);
  for (const auto& topic : message.topics) {
    auto& out = answer.topics.emplace_back();
    out.name = topic.name;
    const bool may_delete = access.may_topic(AclOperation::remove, topic.name);
    for (const auto& partition : topic.partitions) {
      Deleted deleted;
      const PartitionPlace place =
          find_partition(request.shard, topic.name, partition.partition_index);
      if (!may_delete) {
        deleted.error = ErrorCode::topic_authorization_failed;
      } else if (place.error != ErrorCode::none) {
        deleted.error = place.error;
      } else if (place.topic->is_internal) {
        deleted.error = ErrorCode::invalid_topic_exception;
      } else if (!place.topic->config.cleanup_delete) {
        deleted.error = ErrorCode::policy_violation;
      } else {
        const Offset offset = partition.offset;
        deleted = co_await on_replica(request.shard, place.id, [offset](Replica& replica) {
          return delete_before(replica, offset);
        });
      }
      out.partitions.push_back(
          {partition.partition_index, deleted.low_watermark, code_of(deleted.error)});
    }
  }
  request.response.send(answer);
}

io::Task<void> handle_offset_for_leader_epoch(Request request) {
  protocol::OffsetForLeaderEpochRequest message;
  if (!request.read(message)) co_return;
  protocol::OffsetForLeaderEpochResponse answer;
  const Access access(request);
  const bool may_all = access.may_cluster_quietly(AclOperation::cluster_action);
  for (const auto& topic : message.topics) {
    auto& out = answer.topics.emplace_back();
    out.topic = topic.topic;
    const bool may_describe = may_all || access.may_topic(AclOperation::describe, topic.topic);
    for (const auto& partition : topic.partitions) {
      EpochFound found;
      const PartitionPlace place = find_partition(request.shard, topic.topic, partition.partition,
                                                  partition.current_leader_epoch);
      found.error = may_describe ? place.error : ErrorCode::topic_authorization_failed;
      if (found.error == ErrorCode::none) {
        const LeaderEpoch epoch = partition.leader_epoch;
        found = co_await on_replica(request.shard, place.id, [epoch](Replica& replica) {
          EpochFound asked{ErrorCode::none, replica.log().end_offset_for_epoch(epoch)};
          // Of the present epoch a consumer is told what it may read.
          if (epoch == replica.leader_epoch()) asked.end = {epoch, replica.high_watermark()};
          return asked;
        });
      }
      out.partitions.push_back(
          {code_of(found.error), partition.partition, found.end.epoch, found.end.end_offset});
    }
  }
  request.response.send(answer);
}

io::Task<void> handle_describe_producers(Request request) {
  protocol::DescribeProducersRequest message;
  if (!request.read(message)) co_return;
  protocol::DescribeProducersResponse answer;
  const Access access(request);
  // Each is told of once: an answer is larger than its question.
  std::set<std::pair<std::string_view, std::int32_t>> seen;
  for (const auto& topic : message.topics) {
    auto& out = answer.topics.emplace_back();
    out.name = topic.name;
    const bool may_read = access.may_topic(AclOperation::read, topic.name);
    for (const std::int32_t index : topic.partition_indexes) {
      ProducersFound found;
      const PartitionPlace place = find_partition(request.shard, topic.name, index);
      found.error = may_read ? place.error : ErrorCode::topic_authorization_failed;
      if (found.error == ErrorCode::none && !seen.emplace(topic.name, index).second)
        found.error = ErrorCode::invalid_request;
      if (found.error == ErrorCode::none)
        found = co_await on_replica(request.shard, place.id, producers_of);
      auto& described = out.partitions.emplace_back();
      described.partition_index = index;
      described.error_code = code_of(found.error);
      described.active_producers = std::move(found.producers);
    }
  }
  request.response.send(answer);
}

}  // namespace drave::broker
