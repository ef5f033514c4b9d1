#pragma once
// A node of the stand-alone replicated log: a log directory with one journal, any number of groups
// in it, and the server that its peers call.
//
// A group is partition g of the topic "raftlog"; its voters are all nodes, a static quorum. Lives
// on one loop. start() ... stop().

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/loop.h"
#include "raftlog/links.h"
#include "raftlog/net/rpc_server.h"
#include "raftlog/raft_log.h"
#include "segments/log_directory.h"
#include "tools/raftlog/group.h"

namespace drave::raft {

struct NodeOptions {
  std::string directory;  // is there
  NodeId id = -1;
  std::vector<Voter> voters;  // this node among them
  int groups = 1;
  QuorumTimers timers;
};

class Node final : public RpcHandler {
 public:
  Node(io::Loop& loop, NodeOptions options);
  ~Node();
  Node(const Node&) = delete;

  io::Task<Result<void>> start();
  // Hands leaderships over, writes everything to segments, ends all connections.
  io::Task<Result<void>> stop();

  const std::vector<std::unique_ptr<Group>>& groups() const { return groups_; }
  Measured& measured() { return *measured_; }
  // Counts from nothing.
  void begin_measuring();
  // From the beginning of start() until all logs were open and delivered what they could.
  Duration open_time() const { return open_time_; }

  io::Task<void> serve(RpcExchange& exchange) override;

 private:
  io::Task<Result<void>> open_directory();
  io::Task<Result<void>> open_group(int number);
  static io::Task<void> stop_log(RaftLog& log, Result<void>& first);
  const VoterEndpoint& endpoint() const;

  io::Task<void> serve_fetch(RpcExchange& exchange);
  // Reads the request, asks the group that it names, answers.
  template <class Request, class Answer>
  io::Task<void> pass_on(RpcExchange& exchange,
                         io::Task<protocol::OwnedMessage<Answer>> (RaftLog::*method)(const Request&,
                                                                                     std::int16_t));

  io::Loop& loop_;
  NodeOptions options_;
  std::optional<Measured> measured_{std::in_place};  // groups refer to it
  std::unique_ptr<segments::LogDirectory> directory_;
  std::unique_ptr<segments::LogShard> shard_;
  std::vector<std::unique_ptr<Group>> groups_;
  Links links_;
  std::vector<std::unique_ptr<RaftLog>> logs_;
  RpcServer server_;
  Duration open_time_;
};

}  // namespace drave::raft
