// Requests that the controller decides: CreateTopics, DeleteTopics, CreatePartitions, the configs,
// the features, and DescribeQuorum. The frame is kept until the answer is made, for both point into
// it.
//
// What the sender may not do is taken out of the request here, and its refusals are added to the
// controller's answer.

#include <algorithm>

#include "broker/handlers/handlers.h"
#include "broker/handlers/partition_access.h"
#include "broker/node.h"
#include "broker/security/access.h"
#include "protocol/messages/alter_configs.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/describe_quorum.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/update_features.h"

namespace drave::broker {

using protocol::AclOperation;
using protocol::ErrorCode;
using protocol::ResourceType;

namespace {

// --- withhold: takes what is not allowed out of `asked`, with an answer in `refused`; false: the
// whole request is refused, and `refused` is the answer.

bool withhold(const Access& access, const ServingImage&, protocol::CreateTopicsRequest& asked,
              protocol::CreateTopicsResponse& refused) {
  if (access.may_cluster_quietly(AclOperation::create)) return true;
  std::erase_if(asked.topics, [&](const auto& topic) {
    if (access.may_topic(AclOperation::create, topic.name)) return false;
    auto& out = refused.topics.emplace_back();
    out.name = topic.name;
    out.error_code = code_of(ErrorCode::topic_authorization_failed);
    out.error_message = "Authorization failed.";
    return true;
  });
  return true;
}

// Who may not describe a topic is not told whether there is one, nor the name of an id.
bool withhold(const Access& access, const ServingImage& image, protocol::DeleteTopicsRequest& asked,
              protocol::DeleteTopicsResponse& refused) {
  if (access.may_cluster_quietly(AclOperation::remove)) return true;
  const auto refuse = [&](std::optional<std::string_view> name, const TopicId& id) {
    auto& out = refused.responses.emplace_back();
    out.name = name;
    out.topic_id = id;
    out.error_code = code_of(ErrorCode::topic_authorization_failed);
    out.error_message = protocol::message(ErrorCode::topic_authorization_failed);
    return true;
  };
  const auto may_see = [&](std::string_view name) {
    return access.may_topic(AclOperation::describe, name);
  };
  const auto may_delete = [&](std::string_view name) {
    return access.may_topic(AclOperation::remove, name);
  };
  const auto refuse_name = [&](std::string_view name) {
    if (!may_see(name)) return refuse(name, TopicId());
    return image.find(name) != nullptr && !may_delete(name) && refuse(name, TopicId());
  };
  std::erase_if(asked.topic_names, refuse_name);
  std::erase_if(asked.topics, [&](const auto& topic) {
    if (topic.name.has_value()) return topic.topic_id.is_zero() && refuse_name(*topic.name);
    const ServedTopic* served = image.find(topic.topic_id);
    if (served == nullptr || may_delete(served->topic->name)) return false;
    const bool is_seen = may_see(served->topic->name);
    return refuse(is_seen ? std::optional<std::string_view>(served->topic->name) : std::nullopt,
                  topic.topic_id);
  });
  return true;
}

bool withhold(const Access& access, const ServingImage&, protocol::CreatePartitionsRequest& asked,
              protocol::CreatePartitionsResponse& refused) {
  std::erase_if(asked.topics, [&](const auto& topic) {
    if (access.may_topic(AclOperation::alter, topic.name)) return false;
    auto& out = refused.results.emplace_back();
    out.name = topic.name;
    out.error_code = code_of(ErrorCode::topic_authorization_failed);
    return true;
  });
  return true;
}

ErrorCode alter_configs_refusal(const Access& access, std::int8_t type, std::string_view name) {
  using metadata::ConfigResourceType;
  constexpr AclOperation kAlter = AclOperation::alter_configs;
  switch (static_cast<ConfigResourceType>(type)) {
    case ConfigResourceType::topic:
      return access.may_topic(kAlter, name) ? ErrorCode::none
                                            : ErrorCode::topic_authorization_failed;
    case ConfigResourceType::group:
      return access.may(kAlter, ResourceType::group, name) ? ErrorCode::none
                                                           : ErrorCode::group_authorization_failed;
    case ConfigResourceType::broker:
    case ConfigResourceType::broker_logger:
    case ConfigResourceType::client_metrics:
      return access.may_cluster(kAlter) ? ErrorCode::none : ErrorCode::cluster_authorization_failed;
    case ConfigResourceType::unknown: break;
  }
  return ErrorCode::none;  // the controller knows no such resource either
}

// AlterConfigs and IncrementalAlterConfigs.
template <class RequestMessage, class ResponseMessage>
bool withhold(const Access& access, const ServingImage&, RequestMessage& asked,
              ResponseMessage& refused)
  requires requires { refused.responses.front().resource_type; }
{
  std::erase_if(asked.resources, [&](const auto& resource) {
    const ErrorCode error =
        alter_configs_refusal(access, resource.resource_type, resource.resource_name);
    if (error == ErrorCode::none) return false;
    auto& out = refused.responses.emplace_back();
    out.error_code = code_of(error);
    out.error_message = protocol::message(error);
    out.resource_type = resource.resource_type;
    out.resource_name = resource.resource_name;
    return true;
  });
  return true;
}

bool withhold(const Access& access, const ServingImage&, protocol::UpdateFeaturesRequest&,
              protocol::UpdateFeaturesResponse& refused) {
  if (access.may_cluster(AclOperation::alter)) return true;
  refused.error_code = code_of(ErrorCode::cluster_authorization_failed);
  refused.error_message = protocol::message(ErrorCode::cluster_authorization_failed);
  return false;
}

// --- complete: adds the refusals to what the controller answered.

template <class T>
void append(std::vector<T>& to, std::vector<T>& from) {
  std::move(from.begin(), from.end(), std::back_inserter(to));
}

void complete(const Access& access, protocol::CreateTopicsResponse& answer,
              protocol::CreateTopicsResponse& refused) {
  for (auto& topic : answer.topics) {
    if (topic.error_code != 0 ||
        access.may_quietly(AclOperation::describe_configs, ResourceType::topic, topic.name))
      continue;
    topic.topic_config_error_code = code_of(ErrorCode::topic_authorization_failed);
    topic.num_partitions = -1;
    topic.replication_factor = -1;
    topic.configs.emplace();
  }
  append(answer.topics, refused.topics);
}

void complete(const Access&, protocol::CreatePartitionsResponse& answer,
              protocol::CreatePartitionsResponse& refused) {
  append(answer.results, refused.results);
}

void complete(const Access&, protocol::UpdateFeaturesResponse&, protocol::UpdateFeaturesResponse&) {
}

template <class ResponseMessage>
void complete(const Access&, ResponseMessage& answer, ResponseMessage& refused) {
  append(answer.responses, refused.responses);
}

// Decodes, asks the controller on shard 0, answers.
template <class RequestMessage, class ResponseMessage>
io::Task<void> forward(Request request,
                       io::Task<protocol::OwnedMessage<ResponseMessage>> (
                           QuorumController::*decide)(const RequestMessage&, std::int16_t)) {
  RequestMessage message;
  if (!request.read(message)) co_return;
  const Access access(request);
  const ServingImagePtr image = request.shard.image_ptr();  // refusals borrow from it
  ResponseMessage refused;
  if (!access.is_open() && !withhold(access, *image, message, refused)) {
    request.response.send(refused);
    co_return;
  }
  Node* node = &request.shard.node();
  const RequestMessage* asked = &message;
  const std::int16_t version = request.version;
  protocol::OwnedMessage<ResponseMessage> answer = co_await io::call_on(
      request.shard.loop(), 0,
      [node, asked, version, decide] { return (node->controller().*decide)(*asked, version); });
  if (!access.is_open()) complete(access, answer.message, refused);
  request.response.send(answer.message);
}

}  // namespace

io::Task<void> handle_create_topics(Request request) {
  return forward(std::move(request), &QuorumController::create_topics);
}

io::Task<void> handle_delete_topics(Request request) {
  return forward(std::move(request), &QuorumController::delete_topics);
}

io::Task<void> handle_create_partitions(Request request) {
  return forward(std::move(request), &QuorumController::create_partitions);
}

io::Task<void> handle_incremental_alter_configs(Request request) {
  return forward(std::move(request), &QuorumController::incremental_alter_configs);
}

io::Task<void> handle_alter_configs(Request request) {
  return forward(std::move(request), &QuorumController::alter_configs);
}

io::Task<void> handle_update_features(Request request) {
  return forward(std::move(request), &QuorumController::update_features);
}

io::Task<void> handle_describe_quorum(Request request) {
  protocol::DescribeQuorumRequest message;
  if (!request.read(message)) co_return;
  if (!Access(request).may_cluster(AclOperation::describe)) {
    protocol::DescribeQuorumResponse refused;
    refused.error_code = code_of(ErrorCode::cluster_authorization_failed);
    refused.error_message = protocol::message(ErrorCode::cluster_authorization_failed);
    request.response.send(refused);
    co_return;
  }
  Node* node = &request.shard.node();
  const protocol::DescribeQuorumRequest* asked = &message;
  const std::int16_t version = request.version;
  const protocol::OwnedMessage<protocol::DescribeQuorumResponse> answer = co_await io::call_on(
      request.shard.loop(), 0,
      [node, asked, version] { return node->controller().describe_quorum(*asked, version); });
  request.response.send(answer.message);
}

}  // namespace drave::broker
