#include "protocol/messages/metadata.h"

#include <algorithm>
#include <set>

#include "broker/handlers/handlers.h"
#include "broker/handlers/partition_access.h"
#include "broker/net/connection.h"
#include "broker/node.h"
#include "metadata/topic_name.h"
#include "protocol/messages/create_topics.h"

namespace drave::broker {

using protocol::ErrorCode;

namespace {

void describe(protocol::MetadataResponse& answer, const metadata::TopicImage& topic) {
  auto& out = answer.topics.emplace_back();
  out.name = topic.name;
  out.topic_id = topic.id;
  out.is_internal = is_internal_topic(topic.name);
  out.partitions.reserve(topic.partitions.size());
  for (const auto& [index, partition] : topic.partitions) {
    auto& described = out.partitions.emplace_back();
    described.partition_index = index;
    described.leader_id = partition.leader;
    described.leader_epoch = partition.leader_epoch;
    described.replica_nodes = partition.replicas;
    described.isr_nodes = partition.isr;
    if (partition.leader < 0) described.error_code = code_of(ErrorCode::leader_not_available);
  }
}

void add_error(protocol::MetadataResponse& answer, std::optional<std::string_view> name, Uuid id,
               ErrorCode error) {
  auto& out = answer.topics.emplace_back();
  out.name = name;
  out.topic_id = id;
  out.error_code = code_of(error);
}

// Creates the topics with the broker's defaults; the outcome of each by its error.
io::Task<protocol::OwnedMessage<protocol::CreateTopicsResponse>> auto_create(
    Shard& shard, std::vector<std::string_view> names) {
  protocol::CreateTopicsRequest request;
  request.timeout_ms = 30'000;
  for (const std::string_view name : names) {
    auto& topic = request.topics.emplace_back();
    topic.name = name;
    topic.num_partitions = -1;
    topic.replication_factor = -1;
  }
  Node* node = &shard.node();
  const protocol::CreateTopicsRequest* wanted = &request;
  co_return co_await io::call_on(shard.loop(), 0, [node, wanted] {
    return node->controller().create_topics(*wanted, protocol::CreateTopicsRequest::kVersionMax);
  });
}

void add_brokers(Shard& shard, const ListenerInfo& listener, protocol::MetadataResponse& answer) {
  const metadata::Image& image = shard.image().metadata();
  for (const auto& [id, broker] : image.brokers()) {
    if (broker.fenced) continue;
    for (const metadata::BrokerEndpoint& endpoint : broker.endpoints) {
      if (endpoint.name != listener.name) continue;
      auto& out = answer.brokers.emplace_back();
      out.node_id = id;
      out.host = endpoint.host;
      out.port = endpoint.port;
      if (broker.rack.has_value()) out.rack = *broker.rack;
    }
  }
}

}  // namespace

io::Task<void> handle_metadata(Request request) {
  protocol::MetadataRequest message;
  if (!request.read(message)) co_return;
  Shard& shard = request.shard;
  std::vector<std::string_view> missing;
  if (message.topics.has_value()) {
    for (const auto& topic : *message.topics)
      if (topic.name.has_value() && topic.topic_id.is_zero() &&
          shard.image().find(*topic.name) == nullptr)
        missing.push_back(*topic.name);
  }
  std::sort(missing.begin(), missing.end());
  missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
  std::erase_if(missing, [](std::string_view name) {
    return !metadata::is_valid_topic_name(name) || is_internal_topic(name);
  });
  std::set<std::string_view> refused;
  const bool may_create = shard.config().auto_create_topics_enable &&
                          (request.version < 4 || message.allow_auto_topic_creation);
  if (may_create && !missing.empty()) {
    const auto created = co_await auto_create(shard, missing);
    for (const auto& topic : created.message.topics) {
      const auto error = static_cast<ErrorCode>(topic.error_code);
      if (error == ErrorCode::invalid_topic_exception || error == ErrorCode::policy_violation)
        refused.insert(*std::find(missing.begin(), missing.end(), topic.name));
    }
  }
  const ServingImagePtr image = shard.image_ptr();
  protocol::MetadataResponse answer;
  add_brokers(shard, request.connection.listener(), answer);
  answer.cluster_id = shard.node().cluster_id();
  answer.controller_id = shard.config().node_id;
  // Before version 1 an empty list asks for all topics; after it null does.
  const bool all = !message.topics.has_value() || (request.version == 0 && message.topics->empty());
  if (all) {
    for (const auto& [name, topic] : image->metadata().topics().by_name()) describe(answer, *topic);
  } else {
    for (const auto& wanted : *message.topics) {
      if (!wanted.topic_id.is_zero()) {
        const ServedTopic* topic = image->find(wanted.topic_id);
        if (topic != nullptr)
          describe(answer, *topic->topic);
        else {
          // The name is null where that may be said.
          std::optional<std::string_view> name;
          if (request.version < 12) name = "";
          add_error(answer, name, wanted.topic_id, ErrorCode::unknown_topic_id);
        }
        continue;
      }
      const std::string_view name = wanted.name.value_or("");
      const ServedTopic* topic = image->find(name);
      if (topic != nullptr)
        describe(answer, *topic->topic);
      else if (!metadata::is_valid_topic_name(name) || refused.contains(name))
        add_error(answer, name, {}, ErrorCode::invalid_topic_exception);
      else
        add_error(answer, name, {}, ErrorCode::unknown_topic_or_partition);
    }
  }
  request.response.send(answer);
}

}  // namespace drave::broker
