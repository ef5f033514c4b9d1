// Requests that the controller decides: CreateTopics, DeleteTopics, CreatePartitions, the configs,
// the features, and DescribeQuorum. The frame is kept until the answer is made, for both point into
// it.

#include "broker/handlers/handlers.h"
#include "broker/handlers/partition_access.h"
#include "broker/node.h"
#include "protocol/messages/alter_configs.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/describe_quorum.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/update_features.h"

namespace drave::broker {

namespace {

// Decodes, asks the controller on shard 0, answers.
template <class RequestMessage, class ResponseMessage>
io::Task<void> forward(Request request,
                       io::Task<protocol::OwnedMessage<ResponseMessage>> (
                           QuorumController::*decide)(const RequestMessage&, std::int16_t)) {
  RequestMessage message;
  if (!request.read(message)) co_return;
  Node* node = &request.shard.node();
  const RequestMessage* asked = &message;
  const std::int16_t version = request.version;
  const protocol::OwnedMessage<ResponseMessage> answer = co_await io::call_on(
      request.shard.loop(), 0,
      [node, asked, version, decide] { return (node->controller().*decide)(*asked, version); });
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
  Node* node = &request.shard.node();
  const protocol::DescribeQuorumRequest* asked = &message;
  const std::int16_t version = request.version;
  const protocol::OwnedMessage<protocol::DescribeQuorumResponse> answer = co_await io::call_on(
      request.shard.loop(), 0,
      [node, asked, version] { return node->controller().describe_quorum(*asked, version); });
  request.response.send(answer.message);
}

}  // namespace drave::broker
