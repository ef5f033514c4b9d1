#pragma once
// Serves the requests of replicas and administrators to a RaftLog behind an RpcServer.

#include <vector>

#include "io/task.h"
#include "protocol/api_key.h"
#include "raftlog/net/rpc_server.h"
#include "raftlog/raft_log.h"

namespace drave::raft {

// For RpcServerOptions::apis.
std::vector<protocol::ApiKey> raft_apis();

// Answers one request. Not answered: it could not be read. `log` outlives the exchange.
io::Task<void> serve_raft(RaftLog& log, RpcExchange& exchange);

}  // namespace drave::raft
