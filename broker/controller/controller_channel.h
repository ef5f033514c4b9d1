#pragma once
// The way to the active controller, wherever it is: this node itself, or another over the network.
//
// Lives on shard 0, below the QuorumController, which outlives it. What is asked of another node
// goes over one connection to its controller listener; when that node is not the leader any more,
// the connection is given up. The calls on it end a moment later (Errc::canceled): a leader that
// handed over has committed what it was asked for, and says so; one that was replaced does not
// answer any more, or not in time.

#include <algorithm>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "broker/controller/quorum_controller.h"
#include "io/scope.h"
#include "protocol/error_code.h"
#include "raftlog/net/rpc_client.h"

namespace drave::broker {

// An answer of the active controller; what its views point into is in it.
template <class Message>
struct ControllerReply {
  Message message;
  std::list<std::string> texts;
  raft::RpcAnswer bytes;
};

struct ChannelOptions {
  std::string client_id;
  std::string listener;  // of the controllers
  Duration request_timeout;
  Duration retry_backoff;
};

// How long to wait before each try: twice as long as before the last one.
class Backoff {
 public:
  Backoff(Duration first, Duration most) : first_(first), most_(most), next_(first) {}
  Duration next() {
    const Duration wait = next_;
    next_ = std::min(Duration{next_.ns * 2}, most_);
    return wait;
  }
  void reset() { next_ = first_; }

 private:
  Duration first_;
  Duration most_;
  Duration next_;
};

class ControllerChannel {
 public:
  ControllerChannel(io::Loop& loop, QuorumController& controller, ChannelOptions options);
  ~ControllerChannel();

  // The connection to the leader's node; null: no leader is known, it is this node, or the channel
  // ends. It stays usable for who holds it, but its calls end when the leader changes.
  std::shared_ptr<raft::RpcClient> peer();

  // Asks the active controller once. Errors: those of RpcClient; closed (nobody is known to ask).
  // An answer may still say NOT_CONTROLLER.
  template <class Response, class Request>
  io::Task<Result<ControllerReply<Response>>> ask(
      const Request& request,
      QuorumController::Answer<Response> (QuorumController::*here)(const Request&, std::int16_t));

  // Waits before the next try: until something about the leader changes, or a back-off has passed.
  io::Task<void> back_off();
  // Until another controller is active, so much time has passed, or `of` stops, whose stop wakes
  // changed() of the controller. True: another controller is active.
  io::Task<bool> back_off(Duration most, const io::Scope& of);

  void start();
  // Ends all calls.
  io::Task<void> stop();
  bool is_stopping() const { return scope_.is_stopping(); }

 private:
  io::Task<void> watch();
  io::Task<void> retire(std::shared_ptr<raft::RpcClient> client);
  void follow_leader();
  // Who is asked now: the leader's id, -1 for nobody, and whether it is active here.
  std::pair<NodeId, bool> asked() const;

  io::Loop& loop_;
  QuorumController& controller_;
  ChannelOptions options_;
  std::shared_ptr<raft::RpcClient> client_;
  io::Scope scope_;
};

template <class Response, class Request>
io::Task<Result<ControllerReply<Response>>> ControllerChannel::ask(
    const Request& request,
    QuorumController::Answer<Response> (QuorumController::*here)(const Request&, std::int16_t)) {
  ControllerReply<Response> reply;
  if (controller_.is_active()) {
    auto answer = co_await (controller_.*here)(request, Request::kVersionMax);
    reply.message = std::move(answer.message);
    reply.texts = std::move(answer.texts);
    co_return reply;
  }
  const std::shared_ptr<raft::RpcClient> client = peer();
  if (client == nullptr) co_return failure(Errc::closed, "no active controller is known");
  CO_TRY(auto answer, co_await client->call<Response>(request, options_.request_timeout));
  reply.message = std::move(answer.message);
  reply.bytes = std::move(answer.bytes);
  co_return reply;
}

}  // namespace drave::broker
