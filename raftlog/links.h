#pragma once
// The connections of a replica to the others. Two to each: one for fetches, which wait for long,
// one for all else, which must not wait behind them.
//
// Logs of one loop may share them, if those who answer do not answer in order: their calls then
// travel together, and a wait of one log holds up no other. What a connection's end means, it means
// for all of them.

#include <array>
#include <memory>
#include <vector>

#include "base/ids.h"
#include "io/loop.h"
#include "io/operation.h"
#include "io/scope.h"
#include "io/task.h"
#include "raftlog/net/rpc_client.h"

namespace drave::raft {

enum class Lane : std::uint8_t { fetch, other };

class Links {
 public:
  Links(io::Loop& loop, RpcClientOptions options)
      : loop_(loop), options_(std::move(options)), scope_(loop) {}

  // To be used before the next suspension; a call that has begun may end later. Another address
  // than last time ends the calls to the old one; beyond kLinksMax peers, those to another end.
  RpcClient& to(NodeId peer, const io::SocketAddress& address, Lane lane);

  std::size_t peer_count() const { return links_.size(); }

  // Each log that uses this joins, and leaves when it asks nothing more. When the last one has left
  // all calls end. Of a log that leaves before, they end when they are answered.
  void join() { ++users_; }
  io::Task<void> leave();

 private:
  struct Link {
    NodeId peer = -1;
    std::array<std::unique_ptr<RpcClient>, 2> lanes;
  };
  Link& link_to(NodeId peer);
  void retire_all(Link& link);
  io::Task<void> close();
  static io::Task<void> retire(std::unique_ptr<RpcClient> client);

  io::Loop& loop_;
  RpcClientOptions options_;
  std::vector<Link> links_;  // by when they were last used, the latest at the end
  io::Scope scope_;
  std::size_t users_ = 0;
};

}  // namespace drave::raft
