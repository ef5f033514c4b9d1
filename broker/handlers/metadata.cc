#include "protocol/messages/metadata.h"

#include <algorithm>
#include <set>

#include "broker/handlers/handlers.h"
#include "broker/handlers/leader_hint.h"
#include "broker/handlers/partition_access.h"
#include "broker/net/connection.h"
#include "broker/node.h"
#include "broker/security/access.h"
#include "metadata/topic_name.h"

namespace drave::broker {

using protocol::AclOperation;
using protocol::ErrorCode;
using protocol::ResourceType;

namespace {

using MetadataTopic = protocol::MetadataRequest::MetadataRequestTopic;

void describe(protocol::MetadataResponse& answer, const metadata::TopicImage& topic,
              const metadata::ListenerView& view, std::int16_t version) {
  auto& out = answer.topics.emplace_back();
  out.name = topic.name;
  out.topic_id = topic.id;
  out.is_internal = is_internal_topic(topic.name);
  out.partitions.reserve(topic.partitions.size());
  for (const auto& [index, partition] : topic.partitions) {
    auto& described = out.partitions.emplace_back();
    described.partition_index = index;
    metadata::PartitionView seen = view.describe(partition, version);
    described.leader_id = seen.leader;
    described.leader_epoch = partition.leader_epoch;
    described.replica_nodes = std::move(seen.replicas);
    described.isr_nodes = std::move(seen.isr);
    described.offline_replicas = std::move(seen.offline);
    described.error_code = code_of(seen.error);
  }
}

void add_error(protocol::MetadataResponse& answer, std::optional<std::string_view> name, Uuid id,
               ErrorCode error) {
  auto& out = answer.topics.emplace_back();
  out.name = name;
  out.topic_id = id;
  out.error_code = code_of(error);
}

// Has the topics created, and waits for that for a moment. Those whose name or settings are refused
// for good are the answer.
io::Task<std::set<std::string_view>> auto_create(Request& asker,
                                                 const std::vector<std::string_view>& names) {
  Node* node = &asker.shard.node();
  const std::vector<std::string> wanted(names.begin(), names.end());
  const Caller caller{.address = asker.connection.peer().host};
  const Node::Refusals refusals = co_await io::call_on(
      asker.shard.loop(), 0, [node, wanted, caller] { return node->auto_create(wanted, caller); });
  std::set<std::string_view> invalid;
  for (const std::string_view name : names) {
    const auto refused = refusals.find(std::string(name));
    if (refused != refusals.end() && (refused->second == ErrorCode::invalid_topic_exception ||
                                      refused->second == ErrorCode::policy_violation))
      invalid.insert(name);
  }
  co_return invalid;
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
  answer.controller_id = any_alive_broker(image, shard.config().node_id);
}

// The names among `wanted` that are to be created: there is no such topic, the name may be, and so
// may the sender; sorted. What the sender may see but not create goes to `refused`.
std::vector<std::string_view> creatable(const ServingImage& image, const Access& access,
                                        const std::vector<MetadataTopic>& wanted,
                                        std::set<std::string_view>& refused) {
  std::set<std::string_view> missing;
  for (const MetadataTopic& topic : wanted) {
    if (!topic.name.has_value() || !topic.topic_id.is_zero()) continue;
    if (image.find(*topic.name) == nullptr && metadata::is_valid_topic_name(*topic.name) &&
        !is_internal_topic(*topic.name) &&
        access.may_quietly(AclOperation::describe, ResourceType::topic, *topic.name))
      missing.insert(*topic.name);
  }
  if (!missing.empty() && !access.may_cluster_quietly(AclOperation::create)) {
    std::erase_if(missing, [&](std::string_view name) {
      return !access.may_topic(AclOperation::create, name) && refused.insert(name).second;
    });
  }
  return {missing.begin(), missing.end()};
}

// Fills the topics of an answer.
class Describer {
 public:
  Describer(const ServingImage& image, const metadata::ListenerView& view, const Request& request,
            bool tell_operations, const Access& access, protocol::MetadataResponse& answer)
      : image_(image),
        view_(view),
        version_(request.version),
        access_(access),
        tell_operations_(tell_operations),
        answer_(answer) {}

  // What the sender may not see is left out.
  void all() {
    for (const auto& [name, topic] : image_.metadata().topics().by_name())
      if (access_.may_quietly(AclOperation::describe, ResourceType::topic, name)) add(*topic);
  }
  void by_id(const Uuid& id) {
    const std::optional<std::string_view> no_name;
    const ServedTopic* topic = image_.find(id);
    if (topic == nullptr)
      add_error(answer_, no_name, id, ErrorCode::unknown_topic_id);
    else if (!access_.may_topic(AclOperation::describe, topic->topic->name))
      add_error(answer_, no_name, id, ErrorCode::topic_authorization_failed);
    else
      add(*topic->topic);
  }
  // `missing` says why there may be none.
  void by_name(std::string_view name, ErrorCode missing) {
    const ServedTopic* topic = image_.find(name);
    if (!access_.may_topic(AclOperation::describe, name))
      add_error(answer_, name, {}, ErrorCode::topic_authorization_failed);
    else if (topic != nullptr)
      add(*topic->topic);
    else
      add_error(answer_, name, {}, missing);
  }

 private:
  void add(const metadata::TopicImage& topic) {
    describe(answer_, topic, view_, version_);
    if (tell_operations_) {
      answer_.topics.back().topic_authorized_operations =
          access_.operations(ResourceType::topic, topic.name);
    }
  }

  const ServingImage& image_;
  const metadata::ListenerView& view_;
  std::int16_t version_;
  const Access& access_;
  bool tell_operations_;
  protocol::MetadataResponse& answer_;
};

// Versions 10 and 11 have room for ids and for null names, and know what to do with neither.
bool asks_by_name(const protocol::MetadataRequest& message) {
  return !message.topics.has_value() ||
         std::all_of(message.topics->begin(), message.topics->end(), [](const auto& topic) {
           return topic.name.has_value() && topic.topic_id.is_zero();
         });
}

void refuse(const protocol::MetadataRequest& message, protocol::MetadataResponse& answer) {
  for (const MetadataTopic& topic : *message.topics)
    add_error(answer, topic.name.value_or(""), topic.topic_id, ErrorCode::invalid_request);
}

}  // namespace

io::Task<void> handle_metadata(Request request) {
  protocol::MetadataRequest message;
  if (!request.read(message)) co_return;
  if (request.version < 12 && !asks_by_name(message)) {
    protocol::MetadataResponse refused;
    refuse(message, refused);
    request.response.send(refused);
    co_return;
  }
  Shard& shard = request.shard;
  const Access access(request);
  const bool may_create = shard.config().auto_create_topics_enable &&
                          (request.version < 4 || message.allow_auto_topic_creation);
  std::set<std::string_view> not_creatable;
  std::set<std::string_view> invalid;
  std::vector<std::string_view> missing;
  if (may_create && message.topics.has_value())
    missing = creatable(shard.image(), access, *message.topics, not_creatable);
  if (!missing.empty()) invalid = co_await auto_create(request, missing);
  const ServingImagePtr image = shard.image_ptr();
  protocol::MetadataResponse answer;
  add_brokers(shard, request.connection.listener(), answer);
  answer.cluster_id = shard.node().cluster_id();
  if (message.include_cluster_authorized_operations)
    answer.cluster_authorized_operations = access.cluster_operations();
  // Before version 1 an empty list asks for all topics; after it null does.
  const metadata::ListenerView view(image->metadata(), request.connection.listener().name);
  const bool all = !message.topics.has_value() || (request.version == 0 && message.topics->empty());
  Describer describer(*image, view, request, message.include_topic_authorized_operations, access,
                      answer);
  static const std::vector<MetadataTopic> kNone;
  if (all) describer.all();
  // As in Kafka a topic is described once, however often it is named: nobody is to be told a
  // thousand times of ten thousand partitions.
  std::set<std::pair<Uuid, std::string_view>> asked;
  for (const MetadataTopic& wanted : all ? kNone : *message.topics) {
    const std::string_view name = wanted.name.value_or("");
    if (!asked.emplace(wanted.topic_id, wanted.topic_id.is_zero() ? name : "").second) continue;
    if (!wanted.topic_id.is_zero())
      describer.by_id(wanted.topic_id);
    else if (not_creatable.contains(name))
      describer.by_name(name, ErrorCode::topic_authorization_failed);
    else if (!metadata::is_valid_topic_name(name) || invalid.contains(name))
      describer.by_name(name, ErrorCode::invalid_topic_exception);
    else
      describer.by_name(name, ErrorCode::unknown_topic_or_partition);
  }
  request.response.send(answer);
}

}  // namespace drave::broker
