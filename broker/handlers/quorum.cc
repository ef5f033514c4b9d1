// What nodes ask a controller on its listener: the quorum's own requests (raftlog/raft_log.h), and
// those of brokers and other controllers. Those of one connection are served side by side; answers
// leave in the order of the requests. These connections live on shard 0, with what they ask.
//
// Where the authorizer was asked for by name, who sends them needs the right to ClusterAction. What
// a controller knows of ACLs when it starts is its newest snapshot's: before there is a leader
// it is super.users that counts.

#include <memory>

#include "broker/handlers/handlers.h"
#include "broker/handlers/partition_access.h"
#include "broker/net/connection.h"
#include "broker/node.h"
#include "broker/security/access.h"

namespace drave::broker {

namespace {

raft::RaftLog& asked_of(Node& node, raft::RaftLog*) {
  return node.controller().raft();
}

QuorumController& asked_of(Node& node, QuorumController*) {
  return node.controller();
}

// Decodes, asks the log or the controller on shard 0, answers.
template <class Who, class Asked, class Answered>
io::Task<void> serve(Request request,
                     io::Task<protocol::OwnedMessage<Answered>> (Who::*ask)(const Asked&,
                                                                            std::int16_t)) {
  Asked message;
  Node* node = &request.shard.node();
  if (node->controller().has_stopped()) {
    request.response.close_connection();
  } else if (!request.read(message)) {
    // it was refused
  } else if (!may_act_as_node(request)) {
    Answered refused;
    refused.error_code = code_of(protocol::ErrorCode::cluster_authorization_failed);
    request.response.send(refused);
  } else {
    const Asked* asked = &message;
    const std::int16_t version = request.version;
    // Records of the answer are sent from where they are.
    const auto answer = std::make_shared<protocol::OwnedMessage<Answered>>(
        co_await io::call_on(request.shard.loop(), 0, [node, asked, version, ask] {
          return (asked_of(*node, static_cast<Who*>(nullptr)).*ask)(*asked, version);
        }));
    request.response.keep(answer);
    request.response.send(answer->message);
  }
  request.connection.operation_ended();
}

template <auto kAsk>
io::Task<void> handle(Request request) {
  request.connection.operation_begun();
  Shard& shard = request.shard;
  shard.scope().spawn(serve(std::move(request), kAsk));
  co_return;
}

}  // namespace

io::Task<void> handle_vote(Request request) {
  return handle<&raft::RaftLog::vote>(std::move(request));
}

io::Task<void> handle_begin_quorum_epoch(Request request) {
  return handle<&raft::RaftLog::begin_quorum_epoch>(std::move(request));
}

io::Task<void> handle_end_quorum_epoch(Request request) {
  return handle<&raft::RaftLog::end_quorum_epoch>(std::move(request));
}

io::Task<void> handle_metadata_fetch(Request request) {
  return handle<&raft::RaftLog::fetch>(std::move(request));
}

io::Task<void> handle_fetch_snapshot(Request request) {
  return handle<&raft::RaftLog::fetch_snapshot>(std::move(request));
}

io::Task<void> handle_update_raft_voter(Request request) {
  return handle<&raft::RaftLog::update_raft_voter>(std::move(request));
}

io::Task<void> handle_broker_registration(Request request) {
  return handle<&QuorumController::broker_registration>(std::move(request));
}

io::Task<void> handle_broker_heartbeat(Request request) {
  return handle<&QuorumController::broker_heartbeat>(std::move(request));
}

io::Task<void> handle_controller_registration(Request request) {
  return handle<&QuorumController::controller_registration>(std::move(request));
}

io::Task<void> handle_allocate_producer_ids(Request request) {
  return handle<&QuorumController::allocate_producer_ids>(std::move(request));
}

io::Task<void> handle_assign_replicas_to_dirs(Request request) {
  return handle<&QuorumController::assign_replicas_to_dirs>(std::move(request));
}

}  // namespace drave::broker
