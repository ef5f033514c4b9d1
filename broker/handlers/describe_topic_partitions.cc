#include "protocol/messages/describe_topic_partitions.h"

#include <algorithm>
#include <set>

#include "broker/handlers/handlers.h"
#include "broker/handlers/partition_access.h"
#include "broker/node.h"
#include "metadata/topic_name.h"

namespace drave::broker {

using protocol::ErrorCode;

namespace {

using Answer = protocol::DescribeTopicPartitionsResponse;

// Adds partitions from `first` on while `left` allows. False: stopped early, at *next.
bool describe(Answer& answer, const metadata::TopicImage& topic, PartitionIndex first,
              std::int32_t& left, PartitionIndex* next) {
  auto& out = answer.topics.emplace_back();
  out.name = topic.name;
  out.topic_id = topic.id;
  out.is_internal = is_internal_topic(topic.name);
  for (auto at = topic.partitions.lower_bound(first); at != topic.partitions.end(); ++at) {
    if (left == 0) {
      *next = at->first;
      return false;
    }
    --left;
    const metadata::PartitionImage& partition = at->second;
    auto& described = out.partitions.emplace_back();
    described.partition_index = at->first;
    described.leader_id = partition.leader;
    described.leader_epoch = partition.leader_epoch;
    described.replica_nodes = partition.replicas;
    described.isr_nodes = partition.isr;
    described.eligible_leader_replicas = partition.eligible_leader_replicas;
    described.last_known_elr = partition.last_known_elr;
    if (partition.leader < 0) described.error_code = code_of(ErrorCode::leader_not_available);
  }
  return true;
}

}  // namespace

io::Task<void> handle_describe_topic_partitions(Request request) {
  protocol::DescribeTopicPartitionsRequest message;
  if (!request.read(message)) co_return;
  const ServingImagePtr image = request.shard.image_ptr();
  Answer answer;
  // Topics in the order of their names; a cursor says where an earlier answer stopped.
  std::set<std::string_view> names;
  if (message.topics.empty()) {
    for (const auto& [name, topic] : image->metadata().topics().by_name()) names.insert(name);
  } else {
    for (const auto& topic : message.topics) names.insert(topic.name);
  }
  const std::string_view from = message.cursor.has_value() ? message.cursor->topic_name : "";
  names.erase(names.begin(), names.lower_bound(from));
  std::int32_t left =
      std::min(message.response_partition_limit, request.shard.config().request_partitions_max);
  if (left <= 0 || (message.cursor.has_value() && message.cursor->partition_index < 0)) {
    request.refuse(Error{Errc::invalid, 0, "a partition limit or cursor that cannot be"});
    co_return;
  }
  for (const std::string_view name : names) {
    if (left == 0) {
      answer.next_cursor.emplace();
      answer.next_cursor->topic_name = name;
      answer.next_cursor->partition_index = 0;
      break;
    }
    const ServedTopic* topic = image->find(name);
    if (topic == nullptr) {
      if (message.topics.empty()) continue;
      auto& out = answer.topics.emplace_back();
      out.name = name;
      out.error_code =
          code_of(metadata::is_valid_topic_name(name) ? ErrorCode::unknown_topic_or_partition
                                                      : ErrorCode::invalid_topic_exception);
      continue;
    }
    const bool resumed = message.cursor.has_value() && name == message.cursor->topic_name;
    PartitionIndex next = 0;
    if (!describe(answer, *topic->topic, resumed ? message.cursor->partition_index : 0, left,
                  &next)) {
      answer.next_cursor.emplace();
      answer.next_cursor->topic_name = name;
      answer.next_cursor->partition_index = next;
      break;
    }
  }
  request.response.send(answer);
}

}  // namespace drave::broker
