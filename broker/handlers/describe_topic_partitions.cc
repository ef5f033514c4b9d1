#include "protocol/messages/describe_topic_partitions.h"

#include <algorithm>
#include <set>

#include "broker/handlers/handlers.h"
#include "broker/handlers/partition_access.h"
#include "broker/net/connection.h"
#include "broker/node.h"
#include "broker/security/access.h"
#include "metadata/cluster_view.h"
#include "metadata/topic_name.h"

namespace drave::broker {

using protocol::ErrorCode;

namespace {

using Answer = protocol::DescribeTopicPartitionsResponse;
using protocol::AclOperation;
using protocol::ResourceType;

// What there is to say of a name without a topic that may be described.
void refuse(Answer& answer, std::string_view name, ErrorCode error) {
  auto& out = answer.topics.emplace_back();
  out.name = name;
  out.error_code = code_of(error);
}

// As Metadata's newest.
constexpr std::int16_t kMetadataVersion = 12;

// Adds partitions from `first` on while `left` allows. False: stopped early, at *next.
bool describe(Answer& answer, const metadata::TopicImage& topic, const metadata::ListenerView& view,
              PartitionIndex first, std::int32_t& left, PartitionIndex* next) {
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
    metadata::PartitionView seen = view.describe(partition, kMetadataVersion);
    described.leader_id = seen.leader;
    described.leader_epoch = partition.leader_epoch;
    described.replica_nodes = std::move(seen.replicas);
    described.isr_nodes = std::move(seen.isr);
    described.eligible_leader_replicas = partition.eligible_leader_replicas;
    described.last_known_elr = partition.last_known_elr;
    described.offline_replicas = std::move(seen.offline);
    described.error_code = code_of(seen.error);
  }
  return true;
}

// A cursor names a partition, of a topic that is asked for.
bool is_valid_cursor(const protocol::DescribeTopicPartitionsRequest& message) {
  if (!message.cursor.has_value()) return true;
  const auto is_named = [&](const auto& topic) { return topic.name == message.cursor->topic_name; };
  return message.cursor->partition_index >= 0 &&
         (message.topics.empty() ||
          std::any_of(message.topics.begin(), message.topics.end(), is_named));
}

}  // namespace

io::Task<void> handle_describe_topic_partitions(Request request) {
  protocol::DescribeTopicPartitionsRequest message;
  if (!request.read(message)) co_return;
  const ServingImagePtr image = request.shard.image_ptr();
  const Access access(request);
  const bool all = message.topics.empty();
  const metadata::ListenerView view(image->metadata(), request.connection.listener().name);
  Answer answer;
  if (const bool valid = is_valid_cursor(message); !valid) {
    for (const auto& topic : message.topics) refuse(answer, topic.name, ErrorCode::invalid_request);
    request.response.send(answer);
    co_return;
  }
  // Topics in the order of their names; a cursor says where an earlier answer stopped.
  std::set<std::string_view> names;
  if (all) {
    for (const auto& [name, topic] : image->metadata().topics().by_name()) names.insert(name);
  } else {
    for (const auto& topic : message.topics) names.insert(topic.name);
  }
  const std::string_view from = message.cursor.has_value() ? message.cursor->topic_name : "";
  names.erase(names.begin(), names.lower_bound(from));
  std::int32_t left = std::max(
      std::min(message.response_partition_limit, request.shard.config().request_partitions_max), 1);
  for (const std::string_view name : names) {
    if (left == 0) {
      answer.next_cursor.emplace();
      answer.next_cursor->topic_name = name;
      answer.next_cursor->partition_index = 0;
      break;
    }
    // Whether there is such a topic is told to those only who may describe it.
    if (all ? !access.may_quietly(AclOperation::describe, ResourceType::topic, name)
            : !access.may_topic(AclOperation::describe, name)) {
      if (!all) refuse(answer, name, ErrorCode::topic_authorization_failed);
      continue;
    }
    const ServedTopic* topic = image->find(name);
    if (topic == nullptr) {
      if (all) continue;
      refuse(answer, name,
             metadata::is_valid_topic_name(name) ? ErrorCode::unknown_topic_or_partition
                                                 : ErrorCode::invalid_topic_exception);
      continue;
    }
    const bool resumed = message.cursor.has_value() && name == message.cursor->topic_name;
    PartitionIndex next = 0;
    const bool whole = describe(answer, *topic->topic, view,
                                resumed ? message.cursor->partition_index : 0, left, &next);
    answer.topics.back().topic_authorized_operations = access.operations(ResourceType::topic, name);
    if (!whole) {
      answer.next_cursor.emplace();
      answer.next_cursor->topic_name = name;
      answer.next_cursor->partition_index = next;
      break;
    }
  }
  request.response.send(answer);
}

}  // namespace drave::broker
