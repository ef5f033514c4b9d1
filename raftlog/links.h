#pragma once
// The connections of a replica to the others. Two to each: one for fetches, which wait for long,
// one for all else, which must not wait behind them.

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
  // than last time ends the calls to the old one.
  RpcClient& to(NodeId peer, const io::SocketAddress& address, Lane lane);

  // Ends all calls; returns when they have ended.
  io::Task<void> close();

 private:
  struct Link {
    NodeId peer = -1;
    std::array<std::unique_ptr<RpcClient>, 2> lanes;
  };
  static io::Task<void> retire(std::unique_ptr<RpcClient> client);

  io::Loop& loop_;
  RpcClientOptions options_;
  std::vector<Link> links_;  // one for each voter and bootstrap server that was asked
  io::Scope scope_;
};

}  // namespace drave::raft
