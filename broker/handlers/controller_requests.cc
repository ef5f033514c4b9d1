// Requests that the active controller decides, wherever it is (broker/controller/forwarder.h). On
// its own listener a controller answers by itself, also that it is not the active one. The frame is
// kept until the answer is made, for what is asked points into it.
//
// What the sender may not do is taken out of the request here, by the node that it asked, and its
// refusals are added to the controller's answer.

#include <algorithm>

#include "broker/handlers/handlers.h"
#include "broker/handlers/partition_access.h"
#include "broker/net/connection.h"
#include "broker/node.h"
#include "broker/security/access.h"
#include "metadata/controller/leadership.h"
#include "protocol/messages/add_raft_voter.h"
#include "protocol/messages/alter_configs.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/describe_quorum.h"
#include "protocol/messages/elect_leaders.h"
#include "protocol/messages/envelope.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/remove_raft_voter.h"
#include "protocol/messages/unregister_broker.h"
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

// Who may not describe a topic is not told whether there is one, nor the name of an id. What may be
// unknown here only, because it is new, does not go on to the controller, which does not ask who
// may.
bool withhold(const Access& access, const ServingImage& image, protocol::DeleteTopicsRequest& asked,
              protocol::DeleteTopicsResponse& refused) {
  if (access.may_cluster_quietly(AclOperation::remove)) return true;
  const auto refuse = [&](std::optional<std::string_view> name, const TopicId& id,
                          ErrorCode error = ErrorCode::topic_authorization_failed) {
    auto& out = refused.responses.emplace_back();
    out.name = name;
    out.topic_id = id;
    out.error_code = code_of(error);
    out.error_message = protocol::message(error);
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
    if (may_delete(name)) return false;
    return refuse(name, TopicId(),
                  image.find(name) == nullptr ? ErrorCode::unknown_topic_or_partition
                                              : ErrorCode::topic_authorization_failed);
  };
  std::erase_if(asked.topic_names, refuse_name);
  std::erase_if(asked.topics, [&](const auto& topic) {
    if (topic.name.has_value()) return topic.topic_id.is_zero() && refuse_name(*topic.name);
    if (topic.topic_id.is_zero()) return false;
    const ServedTopic* served = image.find(topic.topic_id);
    if (served == nullptr) return refuse(std::nullopt, topic.topic_id, ErrorCode::unknown_topic_id);
    if (may_delete(served->topic->name)) return false;
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

// Of requests that the right to alter the cluster decides as a whole.
template <class ResponseMessage>
bool withhold_cluster(const Access& access, AclOperation operation, ResponseMessage& refused) {
  if (access.may_cluster(operation)) return true;
  refused.error_code = code_of(ErrorCode::cluster_authorization_failed);
  if constexpr (requires { refused.error_message; })
    refused.error_message = protocol::message(ErrorCode::cluster_authorization_failed);
  return false;
}

template <class RequestMessage, class ResponseMessage>
bool withhold(const Access& access, const ServingImage&, RequestMessage&, ResponseMessage& refused)
  requires requires { refused.error_code; }
{
  constexpr bool kOnlyLooks = std::is_same_v<RequestMessage, protocol::DescribeQuorumRequest>;
  return withhold_cluster(access, kOnlyLooks ? AclOperation::describe : AclOperation::alter,
                          refused);
}

bool withhold(const Access& access, const ServingImage&, protocol::ElectLeadersRequest& asked,
              protocol::ElectLeadersResponse& refused) {
  if (access.may_cluster(AclOperation::alter)) return true;
  metadata::refuse_election(asked, code_of(ErrorCode::cluster_authorization_failed), refused);
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

template <class ResponseMessage>
void complete(const Access&, ResponseMessage& answer, ResponseMessage& refused) {
  if constexpr (requires { answer.responses.front(); }) append(answer.responses, refused.responses);
}

// Decodes, has it decided, answers.
template <class Asked, class Answered>
io::Task<void> forward(Request request) {
  Asked message;
  if (!request.read(message)) co_return;
  const Access access(request);
  const ServingImagePtr image = request.shard.image_ptr();  // refusals borrow from it
  Answered refused;
  if (!access.is_open() && !withhold(access, *image, message, refused)) {
    if constexpr (std::is_same_v<Answered, protocol::ElectLeadersResponse>)
      if (request.version == 0) refused.error_code = 0;  // each partition says it
    request.response.send(refused);
    co_return;
  }
  Node* node = &request.shard.node();
  const Asked* asked = &message;
  const std::int16_t version = request.version;
  const Caller caller{.address = request.connection.peer().host};
  const bool here = request.from_controller_listener;
  auto reply = co_await io::call_on(request.shard.loop(), 0, [node, asked, version, caller, here] {
    return here ? node->forwarder().ask_here<Answered>(*asked, version, caller)
                : node->forwarder().ask<Answered>(*asked, version, caller);
  });
  if (!reply) {
    request.refuse(reply.error());
    co_return;
  }
  if (!access.is_open()) complete(access, reply->message, refused);
  request.response.send(reply->message);
}

// Decides on behalf of the client from which another node has the request.
io::Task<void> decide_for_client(Request& request, const protocol::EnvelopeRequest& message) {
  protocol::EnvelopeResponse answer;
  if (!may_act_as_node(request)) {
    answer.error_code = code_of(ErrorCode::cluster_authorization_failed);
    request.response.send(answer);
    co_return;
  }
  Node* node = &request.shard.node();
  const protocol::EnvelopeRequest* asked = &message;
  auto unwrapped = std::make_shared<Forwarder::Unwrapped>(
      co_await io::call_on(request.shard.loop(), 0, [node, asked] {
        return node->forwarder().unwrap(asked->request_data, asked->request_principal,
                                        asked->client_host_address);
      }));
  answer.error_code = static_cast<std::int16_t>(unwrapped->error);
  if (unwrapped->error == ErrorCode::none) answer.response_data = ByteView(unwrapped->response);
  request.response.keep(unwrapped);
  request.response.send(answer);
}

// Envelopes of one connection are decided side by side.
io::Task<void> unwrap(Request request) {
  protocol::EnvelopeRequest message;
  if (request.read(message)) co_await decide_for_client(request, message);
  request.connection.operation_ended();
}

}  // namespace

io::Task<void> handle_create_topics(Request request) {
  return forward<protocol::CreateTopicsRequest, protocol::CreateTopicsResponse>(std::move(request));
}

io::Task<void> handle_delete_topics(Request request) {
  return forward<protocol::DeleteTopicsRequest, protocol::DeleteTopicsResponse>(std::move(request));
}

io::Task<void> handle_create_partitions(Request request) {
  return forward<protocol::CreatePartitionsRequest, protocol::CreatePartitionsResponse>(
      std::move(request));
}

io::Task<void> handle_elect_leaders(Request request) {
  return forward<protocol::ElectLeadersRequest, protocol::ElectLeadersResponse>(std::move(request));
}

io::Task<void> handle_incremental_alter_configs(Request request) {
  return forward<protocol::IncrementalAlterConfigsRequest,
                 protocol::IncrementalAlterConfigsResponse>(std::move(request));
}

io::Task<void> handle_alter_configs(Request request) {
  return forward<protocol::AlterConfigsRequest, protocol::AlterConfigsResponse>(std::move(request));
}

io::Task<void> handle_update_features(Request request) {
  return forward<protocol::UpdateFeaturesRequest, protocol::UpdateFeaturesResponse>(
      std::move(request));
}

io::Task<void> handle_unregister_broker(Request request) {
  return forward<protocol::UnregisterBrokerRequest, protocol::UnregisterBrokerResponse>(
      std::move(request));
}

io::Task<void> handle_describe_quorum(Request request) {
  return forward<protocol::DescribeQuorumRequest, protocol::DescribeQuorumResponse>(
      std::move(request));
}

io::Task<void> handle_add_raft_voter(Request request) {
  return forward<protocol::AddRaftVoterRequest, protocol::AddRaftVoterResponse>(std::move(request));
}

io::Task<void> handle_remove_raft_voter(Request request) {
  return forward<protocol::RemoveRaftVoterRequest, protocol::RemoveRaftVoterResponse>(
      std::move(request));
}

io::Task<void> handle_envelope(Request request) {
  request.connection.operation_begun();
  Shard& shard = request.shard;
  shard.scope().spawn(unwrap(std::move(request)));
  co_return;
}

}  // namespace drave::broker
