// Requests of others: into the core, and its replies with records, bytes and endpoints.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "raftlog/raft_log_impl.h"

namespace drave::raft {

using protocol::OwnedMessage;

void RaftLogImpl::ask_core(Asking& asking) {
  if (!started_ || stopping_ || failed_.has_value()) {
    asking.ended = true;
    return;
  }
  const std::uint64_t token = ++last_token_;
  asking_.emplace(token, &asking);
  step(RequestReceived{token, asking.request});
}

void RaftLogImpl::answer(std::uint64_t token, Reply reply) {
  const auto found = asking_.find(token);
  if (found == asking_.end()) return;
  Asking& asking = *found->second;
  asking_.erase(found);
  asking.reply = std::move(reply);
  asking.ended = true;
  if (asking.coroutine) loop_.post(asking);
}

// The core will not answer any more.
void RaftLogImpl::end_asking() {
  for (const auto& [token, asking] : std::exchange(asking_, {})) {
    asking->ended = true;
    if (asking->coroutine) loop_.post(*asking);
  }
}

const VoterEndpoint* RaftLogImpl::leader_endpoint(NodeId leader) const {
  if (leader < 0) return nullptr;
  if (leader == self_.id && !options_.endpoint.host.empty()) return &options_.endpoint;
  for (const Voter& voter : history_.voters()) {
    if (voter.id == leader) return wire::endpoint_of(voter, options_.endpoint.name);
  }
  return nullptr;
}

io::Task<OwnedMessage<protocol::VoteResponse>> RaftLogImpl::vote(
    const protocol::VoteRequest& request, std::int16_t version) {
  const Serving serving(*this);
  const auto asked = wire::asked(group_, request);
  if (!asked) {
    const bool names_one = !request.topics.empty() && !request.topics.front().partitions.empty();
    note_stranger(names_one ? request.topics.front().partitions.front().replica_id : -1,
                  request.cluster_id, asked.error());
    co_return wire::refusal<protocol::VoteResponse>(asked.error());
  }
  const VoteReply reply = reply_as<VoteReply>(co_await Asking(*this, *asked));
  co_return wire::answer_of(group_, reply, leader_endpoint(reply.leader), version);
}

io::Task<OwnedMessage<protocol::BeginQuorumEpochResponse>> RaftLogImpl::begin_quorum_epoch(
    const protocol::BeginQuorumEpochRequest& request, std::int16_t version) {
  const Serving serving(*this);
  const auto asked = wire::asked(group_, request);
  if (!asked) co_return wire::refusal<protocol::BeginQuorumEpochResponse>(asked.error());
  if (started_ && core_->would_follow(asked->epoch, asked->leader) &&
      !request.leader_endpoints.empty()) {
    const auto* endpoint = &request.leader_endpoints.front();
    for (const auto& each : request.leader_endpoints) {
      if (each.name == options_.endpoint.name) endpoint = &each;
    }
    if (!endpoint->host.empty())
      note_leader_address(
          wire::LeaderAddress{asked->leader, std::string(endpoint->host), endpoint->port});
  }
  const EpochReply reply = reply_as<EpochReply>(co_await Asking(*this, *asked));
  co_return wire::begin_answer_of(group_, reply, leader_endpoint(reply.leader), version);
}

io::Task<OwnedMessage<protocol::EndQuorumEpochResponse>> RaftLogImpl::end_quorum_epoch(
    const protocol::EndQuorumEpochRequest& request, std::int16_t version) {
  const Serving serving(*this);
  const auto asked = wire::asked(group_, request);
  if (!asked) co_return wire::refusal<protocol::EndQuorumEpochResponse>(asked.error());
  EndEpochRequest end = *asked;
  // Kafka knows no request for this: its leader, told by somebody that itself ends its epoch in
  // favour of one voter, hands over to that one.
  if (leading_ && end.leader == self_.id && end.epoch == led_epoch_ && end.successors.size() == 1) {
    const Result<void> moved = co_await transfer(end.successors.front().id);
    EpochReply reply{ErrorCode::none, epoch(), core_->leader()};
    if (!moved)
      reply.error = moved.error().code == Errc::invalid ? ErrorCode::invalid_request
                                                        : ErrorCode::request_timed_out;
    co_return wire::end_answer_of(group_, reply, leader_endpoint(reply.leader), version);
  }
  if (version == 0) {
    // Only ids are named: this node means itself by its own.
    for (ReplicaKey& successor : end.successors) {
      if (successor.id == self_.id) successor = self_;
    }
  }
  const EpochReply reply = reply_as<EpochReply>(co_await Asking(*this, std::move(end)));
  co_return wire::end_answer_of(group_, reply, leader_endpoint(reply.leader), version);
}

// --- Records

namespace {
bool says_only_the_watermark(const FetchReply& reply) {
  return reply.error == ErrorCode::none && reply.from < 0 && !reply.diverging && !reply.snapshot;
}
}  // namespace

io::Task<OwnedMessage<protocol::FetchResponse>> RaftLogImpl::fetch(
    const protocol::FetchRequest& request, std::int16_t version) {
  const Serving serving(*this);
  const auto asked = wire::asked(group_, request, version);
  if (!asked) {
    note_stranger(std::max(request.replica_id, request.replica_state.replica_id),
                  request.cluster_id, asked.error());
    co_return wire::refusal<protocol::FetchResponse>(asked.error());
  }
  const std::int32_t wanted =
      std::min(request.max_bytes, request.topics.front().partitions.front().partition_max_bytes);
  FetchReply reply = reply_as<FetchReply>(co_await Asking(*this, *asked));
  if (says_only_the_watermark(reply)) {
    // What was just committed is often followed by more in this very pass: it goes along, and need
    // not be fetched once more.
    co_await io::yield(loop_);
    if (core_->is_leader() && core_->epoch() == reply.epoch && !stopping_ &&
        core_->log().end() > asked->offset) {
      reply.from = asked->offset;
      reply.high_watermark = core_->high_watermark();
    }
  }
  std::string records;
  if (reply.error == ErrorCode::none && reply.from >= 0) {
    const std::size_t bytes_max =
        std::min(static_cast<std::size_t>(std::max(wanted, 1)), kLogReadBytes);
    reply.error = co_await read_records(reply, bytes_max, records);
  }
  auto answer = wire::answer_of(group_, reply, leader_endpoint(reply.leader), version);
  if (!records.empty()) {
    const std::string_view kept = answer.keep(std::move(records));
    answer.message.responses.front().partitions.front().records = as_bytes(kept);
  }
  co_return answer;
}

io::Task<ErrorCode> RaftLogImpl::read_records(FetchReply reply, std::size_t bytes_max,
                                              std::string& records) {
  const segments::ReadRequest wanted{reply.from, INT64_MAX, bytes_max, true};
  Result<std::optional<segments::ReadResult>> at_once = log_->try_read(wanted);
  Result<segments::ReadResult> read = segments::ReadResult{};
  if (!at_once) {
    read = std::unexpected(at_once.error());
  } else if (at_once->has_value()) {
    read = std::move(**at_once);
  } else {
    read = co_await log_->read(wanted);
    // What is there now may be another leader's.
    if (!core_->is_leader() || core_->epoch() != reply.epoch)
      co_return ErrorCode::not_leader_or_follower;
  }
  if (!read) {
    if (read.error().code == Errc::out_of_range) co_return ErrorCode::offset_out_of_range;
    LOG_ERROR("raft", "the log cannot be read offset={} error={}", reply.from,
              read.error().message());
    co_return ErrorCode::kafka_storage_error;
  }
  records.reserve(read->size);
  for (const segments::LogPiece& piece : read->pieces) records += as_text(piece.bytes());
  co_return ErrorCode::none;
}

io::Task<OwnedMessage<protocol::FetchSnapshotResponse>> RaftLogImpl::fetch_snapshot(
    const protocol::FetchSnapshotRequest& request, std::int16_t version) {
  using Response = protocol::FetchSnapshotResponse;
  const Serving serving(*this);
  const auto asked = wire::asked(group_, request);
  if (!asked) {
    if (asked.error() == ErrorCode::unknown_topic_or_partition)
      co_return wire::unknown_partition(request);
    co_return wire::refusal<Response>(asked.error());
  }
  const std::size_t bytes_max =
      std::min(static_cast<std::size_t>(std::max(request.max_bytes, 1)), kSnapshotPieceBytes);
  SnapshotReply reply = reply_as<SnapshotReply>(co_await Asking(*this, *asked));
  std::vector<std::uint8_t> bytes;
  if (reply.error == ErrorCode::none) {
    reply.size = snapshots_.size_of(reply.id).value_or(0);
    Result<std::vector<std::uint8_t>> read =
        co_await snapshots_.read_at(reply.id, reply.position, bytes_max);
    if (read)
      bytes = std::move(*read);
    else if (read.error().code == Errc::not_found)
      reply.error = ErrorCode::snapshot_not_found;
    else if (read.error().code == Errc::out_of_range)
      reply.error = ErrorCode::position_out_of_range;
    else
      reply.error = ErrorCode::kafka_storage_error;
  }
  auto answer = wire::answer_of(group_, reply, leader_endpoint(reply.leader), version);
  answer.message.topics.front().partitions.front().unaligned_records =
      as_bytes(answer.keep(std::string(as_text(bytes))));
  co_return answer;
}

}  // namespace drave::raft
