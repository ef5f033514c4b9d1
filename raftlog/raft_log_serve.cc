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
  asking_.emplace_back(token, &asking);
  step(RequestReceived{token, std::move(asking.request)});
}

void RaftLogImpl::answer(std::uint64_t token, Reply reply) {
  const auto found = std::ranges::find(asking_, token, &decltype(asking_)::value_type::first);
  if (found == asking_.end()) return;
  Asking& asking = *found->second;
  *found = asking_.back();
  asking_.pop_back();
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
  const auto asked = wire::asked(group_, request, version);
  if (!asked)
    note_stranger(std::max(request.replica_id, request.replica_state.replica_id),
                  request.cluster_id, asked.error());
  std::int32_t wanted = 0;
  if (asked.has_value())
    wanted =
        std::min(request.max_bytes, request.topics.front().partitions.front().partition_max_bytes);
  co_return wire::answer_of(group_, co_await find_for(asked, wanted), version);
}

io::Task<wire::Fetched> RaftLogImpl::fetch_plain(const wire::FetchAsked& request) {
  const auto asked = wire::asked(group_, request);
  if (!asked) note_stranger(request.request.replica.id, request.cluster_id, asked.error());
  return find_for(asked, request.bytes_max);
}

io::Task<wire::Fetched> RaftLogImpl::find_for(wire::Asked<FetchRequest> asked,
                                              std::int32_t wanted) {
  const Serving serving(*this);
  wire::Fetched fetched;
  if (!asked) {
    fetched.refused = asked.error();
    co_return fetched;
  }
  const Offset offset = asked->offset;
  FetchReply& reply = fetched.reply;
  reply = reply_as<FetchReply>(co_await Asking(*this, *asked));
  if (says_only_the_watermark(reply)) {
    // What was just committed is often followed by more in this very pass: it goes along, and need
    // not be fetched once more.
    co_await io::yield(loop_);
    if (core_->is_leader() && core_->epoch() == reply.epoch && !stopping_ &&
        core_->log().end() > offset) {
      reply.from = offset;
      reply.high_watermark = core_->high_watermark();
    }
  }
  if (reply.error == ErrorCode::none && reply.from >= 0) {
    const std::size_t bytes_max =
        std::min(static_cast<std::size_t>(std::max(wanted, 1)), kLogReadBytes);
    const segments::ReadRequest range{reply.from, INT64_MAX, bytes_max, true};
    Result<std::optional<segments::ReadResult>> read = log_->try_read(range);
    if (read && !read->has_value()) read = co_await log_->read(range);
    // What is there now may be another leader's.
    const bool still_leads = core_->is_leader() && core_->epoch() == reply.epoch;
    if (!still_leads)
      reply.error = ErrorCode::not_leader_or_follower;
    else if (read)
      take_records(**read, fetched);
    else if (read.error().code == Errc::out_of_range)
      reply.error = ErrorCode::offset_out_of_range;
    else
      go_around(read.error(), reply);
  }
  fetched.leader = leader_endpoint(reply.leader);
  co_return fetched;
}

// What cannot be read of the log a snapshot above it stands for: the newest, or the next one.
void RaftLogImpl::go_around(const Error& error, FetchReply& reply) {
  const OffsetAndEpoch newest = snapshots_.latest();
  const bool is_covered = newest.offset > reply.from;
  if (may_tell_unreadable()) {
    LOG_ERROR("raft", "the log cannot be read node={} topic={} offset={} error={}: who needs it {}",
              self_.id, options_.topic, reply.from, error.message(),
              is_covered ? "is sent a snapshot" : "waits for the next snapshot");
  }
  if (is_covered) {
    reply.snapshot = newest;
  } else {
    reply.error = ErrorCode::kafka_storage_error;
    bytes_since_snapshot_ = kSnapshotAtOnce;
  }
  reply.from = -1;
}

bool RaftLogImpl::may_tell_unreadable() {
  if (loop_.now() < unreadable_told_until_) return false;
  unreadable_told_until_ = loop_.now() + kUnreadableTold;
  return true;
}

// What is in one piece is not copied.
void RaftLogImpl::take_records(const segments::ReadResult& read, wire::Fetched& fetched) {
  if (read.pieces.size() == 1) {
    fetched.records = read.pieces.front().bytes();
    fetched.bytes = read.pieces.front().owner();
    return;
  }
  // In memory of its own also where it is short: views of it must outlive a move.
  auto joined = std::make_shared<std::string>();
  joined->reserve(read.size);
  for (const segments::LogPiece& piece : read.pieces) *joined += as_text(piece.bytes());
  fetched.records = as_bytes(*joined);
  fetched.bytes = std::move(joined);
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
    auto read = co_await read_piece(reply.id, reply.position, bytes_max);
    if (read)
      bytes = std::move(*read);
    else
      reply.error = note_unreadable_snapshot(reply.id, read.error());
  }
  auto answer = wire::answer_of(group_, reply, leader_endpoint(reply.leader), version);
  answer.message.topics.front().partitions.front().unaligned_records =
      as_bytes(answer.keep(std::string(as_text(bytes))));
  co_return answer;
}

// Who begins with one that is damaged would fetch all of it, again and again.
io::Task<Result<std::vector<std::uint8_t>>> RaftLogImpl::read_piece(OffsetAndEpoch id,
                                                                    std::int64_t position,
                                                                    std::size_t bytes_max) {
  if (position == 0) CO_TRY_VOID(co_await snapshots_.check(id));
  co_return co_await snapshots_.read_at(id, position, bytes_max);
}

// Another one is wanted at once: who needs it has no other way. One that is damaged or gone is
// passed over; one that could not be read may be whole.
ErrorCode RaftLogImpl::note_unreadable_snapshot(OffsetAndEpoch id, const Error& error) {
  if (error.code == Errc::out_of_range) return ErrorCode::position_out_of_range;
  if (!snapshots_.size_of(id).has_value()) return ErrorCode::snapshot_not_found;
  if (may_tell_unreadable()) {
    LOG_ERROR("raft",
              "a snapshot cannot be read node={} topic={} path={} error={}: another one is written",
              self_.id, options_.topic, snapshots_.path(id), error.message());
  }
  bytes_since_snapshot_ = kSnapshotAtOnce;
  if (error.code != Errc::corrupt && error.code != Errc::not_found)
    return ErrorCode::kafka_storage_error;
  snapshots_.pass_over(id);
  return ErrorCode::snapshot_not_found;
}

}  // namespace drave::raft
