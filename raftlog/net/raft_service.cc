#include "raftlog/net/raft_service.h"

#include "base/log.h"

namespace drave::raft {

namespace {

using protocol::ApiKey;

template <class Answer>
void send(RpcExchange& exchange, const Answer& answer) {
  if (const Result<void> sent = exchange.answer(answer.message); !sent)
    LOG_WARN("raft", "an answer cannot be said version={} error={}", exchange.version,
             sent.error().message());
}

template <class Request, class Method>
io::Task<void> serve_one(RaftLog& log, RpcExchange& exchange, Method method) {
  Request request;
  if (!exchange.read(request)) co_return;
  const auto answer = co_await (log.*method)(request, exchange.version);
  send(exchange, answer);
}

io::Task<void> describe(RaftLog& log, RpcExchange& exchange) {
  protocol::DescribeQuorumRequest request;
  if (!exchange.read(request)) co_return;
  send(exchange, log.describe_quorum(request, exchange.version));
}

io::Task<void> nothing() {
  co_return;
}

}  // namespace

std::vector<ApiKey> raft_apis() {
  return {ApiKey::fetch,
          ApiKey::vote,
          ApiKey::begin_quorum_epoch,
          ApiKey::end_quorum_epoch,
          ApiKey::describe_quorum,
          ApiKey::fetch_snapshot,
          ApiKey::add_raft_voter,
          ApiKey::remove_raft_voter,
          ApiKey::update_raft_voter};
}

io::Task<void> serve_raft(RaftLog& log, RpcExchange& exchange) {
  switch (exchange.key) {
    case ApiKey::fetch: return serve_one<protocol::FetchRequest>(log, exchange, &RaftLog::fetch);
    case ApiKey::vote: return serve_one<protocol::VoteRequest>(log, exchange, &RaftLog::vote);
    case ApiKey::begin_quorum_epoch:
      return serve_one<protocol::BeginQuorumEpochRequest>(log, exchange,
                                                          &RaftLog::begin_quorum_epoch);
    case ApiKey::end_quorum_epoch:
      return serve_one<protocol::EndQuorumEpochRequest>(log, exchange, &RaftLog::end_quorum_epoch);
    case ApiKey::fetch_snapshot:
      return serve_one<protocol::FetchSnapshotRequest>(log, exchange, &RaftLog::fetch_snapshot);
    case ApiKey::add_raft_voter:
      return serve_one<protocol::AddRaftVoterRequest>(log, exchange, &RaftLog::add_raft_voter);
    case ApiKey::remove_raft_voter:
      return serve_one<protocol::RemoveRaftVoterRequest>(log, exchange,
                                                         &RaftLog::remove_raft_voter);
    case ApiKey::update_raft_voter:
      return serve_one<protocol::UpdateRaftVoterRequest>(log, exchange,
                                                         &RaftLog::update_raft_voter);
    case ApiKey::describe_quorum: return describe(log, exchange);
    default: return nothing();
  }
}

}  // namespace drave::raft
