// Requests that the active controller decides, wherever it is (broker/controller/forwarder.h). On
// its own listener a controller answers by itself, also that it is not the active one. The frame is
// kept until the answer is made, for what is asked points into it.
//
// What the sender may not do is taken out of the request here, by the node that it asked, and its
// refusals are added to the controller's answer (broker/security/withhold.h). Of what comes in an
// Envelope the controller does that.

#include "broker/handlers/handlers.h"
#include "broker/handlers/partition_access.h"
#include "broker/net/connection.h"
#include "broker/node.h"
#include "broker/security/access.h"
#include "broker/security/withhold.h"
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

using protocol::ErrorCode;

namespace {

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
  auto unwrapped = std::make_shared<Forwarder::Unwrapped>(co_await io::call_on(
      request.shard.loop(), 0,
      [node, asked] { return node->forwarder().unwrap(node->shard(0), *asked); }));
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
