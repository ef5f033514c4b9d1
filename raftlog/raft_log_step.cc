// Stepping the core: its effects are performed in their order, what happens meanwhile is stepped
// after them. And what is said to others.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/canary.h"
#include "base/log.h"
#include "io/descriptors.h"
#include "io/file.h"
#include "raftlog/quorum_state.h"
#include "raftlog/raft_log_impl.h"

namespace drave::raft {

namespace {
constexpr std::int16_t kFirstPreVoteVersion = 2;  // of Vote
constexpr Duration kRefusalTold = seconds(30);

bool is_bootstrap(NodeId node) {
  return node <= kFirstBootstrapId;
}

// What it means for who looks for the leader.
std::string describe(const FetchReply& reply) {
  switch (reply.error) {
    case ErrorCode::unknown_topic_or_partition:
    case ErrorCode::unknown_topic_id:
      return fmt::format("no controllers' listener: it answers {}", protocol::name(reply.error));
    case ErrorCode::none:
    case ErrorCode::not_leader_or_follower:
    case ErrorCode::fenced_leader_epoch:
    case ErrorCode::unknown_leader_epoch:
      return reply.leader < 0 ? "it knows no leader"
                              : fmt::format("it says that {} leads", reply.leader);
    default: return fmt::format("it answers {}", protocol::name(reply.error));
  }
}

// What only a leader answers.
bool is_leaders(ErrorCode error) {
  return error == ErrorCode::none || error == ErrorCode::kafka_storage_error ||
         error == ErrorCode::snapshot_not_found;
}

}  // namespace

void RaftLogImpl::step(Event event, const Received* received) {
  if (!started_ || stopping_ || failed_.has_value()) return;
  if (stepping_) {
    ASSERT(received == nullptr);
    events_.push_back(std::move(event));
    return;
  }
  stepping_ = true;
  core_->step(loop_.now(), event, effects_);
  finish_step(received);
}

void RaftLogImpl::finish_step(const Received* received) {
  perform(received);
  while (!events_.empty() && !stopping_ && !failed_.has_value()) {
    const Event next = std::move(events_.front());
    events_.pop_front();
    core_->step(loop_.now(), next, effects_);
    perform(nullptr);
  }
  stepping_ = false;
  arm_ticker();
}

void RaftLogImpl::perform(const Received* received) {
  if (!effects_.fatal.empty()) {
    fail({Errc::corrupt, 0, fmt::format("{}: {}", path_, effects_.fatal)});
    return;
  }
  if (effects_.save.has_value()) save(*effects_.save);
  if (effects_.truncate.has_value()) {
    LOG_INFO("raft", "truncating node={} topic={} to={} end={}", self_.id, options_.topic,
             effects_.truncate->to, log_->end());
    history_.truncate(effects_.truncate->to);
    writer_.truncate(effects_.truncate->to, effects_.truncate->generation);
  }
  if (effects_.append_received > 0) append_received(effects_.append_received, *received);
  if (effects_.store_chunk.has_value())
    take_chunk(*effects_.store_chunk, *received, effects_.load_snapshot.has_value());
  for (OutgoingReply& reply : effects_.replies) answer(reply.token, std::move(reply.reply));
  for (OutgoingRequest& request : effects_.requests) send(request);
  if (!effects_.resigned_because.empty()) {
    LOG_WARN("raft", "resigns node={} topic={} epoch={} reason={}", self_.id, options_.topic,
             epoch(), effects_.resigned_because);
  }
  if (effects_.misfit) note_misfit();
  if (effects_.lost.has_value()) note_lost_voter(*effects_.lost);
  const bool role_changed = effects_.role_changed;
  const bool watermark_moved = effects_.high_watermark_moved;
  if (effects_.append.has_value()) {
    control_ = std::move(effects_.append);
    append_control();
  }
  note_kraft_version();
  // Last, since the listener may ask for more. What was committed with the last step of a
  // leadership is reported by resign().
  if (role_changed) note_role();
  if (watermark_moved) note_high_watermark();
}

void RaftLogImpl::note_kraft_version() {
  if (std::exchange(told_kraft_version_, kraft_version()) != kraft_version())
    events_.push_back(KRaftVersionChanged{kraft_version()});
}

void RaftLogImpl::note_role() {
  if (!core_->is_leader()) {
    control_.reset();
    changing_.reset();
    static_voters_.clear();
    epoch_begun_end_ = -1;
    no_room_since_.reset();
    timed_.reset();
  }
  if (leading_ && (!core_->is_leader() || core_->epoch() != led_epoch_)) resign();
  if (!core_->is_leader()) own_controls_.clear();
  changed_.wake_all();
  deliver_.wake_all();
  if (core_->leader() == told_leader_ && core_->epoch() == told_epoch_) return;
  count_leader();
  told_leader_ = core_->leader();
  told_epoch_ = core_->epoch();
  LOG_INFO("raft", "node={} topic={} role={} epoch={} leader={}", self_.id, options_.topic,
           to_string(core_->role()), told_epoch_, told_leader_);
  listener_.on_leader_changed(told_leader_, told_epoch_);
}

void RaftLogImpl::count_leader() {
  const NodeId leader = core_->leader();
  if (told_leader_ == self_.id) heard_leader_ = loop_.now();
  if (leader < 0) {
    if (told_leader_ >= 0) leaderless_since_ = loop_.now();
    return;
  }
  heard_leader_ = loop_.now();
  ++elections_.leaders;
  if (leader == self_.id) ++elections_.led;
  if (told_leader_ >= 0) return;
  const Duration gap = loop_.now() - leaderless_since_;
  ++elections_.gaps;
  elections_.leaderless = elections_.leaderless + gap;
  elections_.leaderless_max = std::max(elections_.leaderless_max, gap);
}

void RaftLogImpl::note_high_watermark() {
  changed_.wake_all();
  note_committed();
  if (!leading_) {
    deliver_.wake_all();
    return;
  }
  delivered_ = core_->high_watermark();
  end_proposals(uncommitted_, delivered_, nullptr);
  if (const Result<void> given = deliver_own_controls(); !given) return fail(given.error());
  listener_.on_high_watermark(delivered_);
}

void RaftLogImpl::resign() {
  if (!leading_) return;
  leading_ = false;
  delivered_ = led_end_ = core_->high_watermark();
  end_proposals(uncommitted_, delivered_, nullptr);
  const Error error = gone();
  end_proposals(uncommitted_, INT64_MAX, &error);
  const Result<void> given = deliver_own_controls();
  own_controls_.clear();
  listener_.on_resigned(delivered_);
  if (!given) fail(given.error());
}

// Nothing more is said, and nothing counts any more.
void RaftLogImpl::fail(const Error& error) {
  if (failed_.has_value() || stopping_) return;
  LOG_ERROR("raft", "the log fails node={} topic={} error={}", self_.id, options_.topic,
            error.message());
  if (started_) {
    Effects unused;
    core_->step(loop_.now(), DiskFailed{}, unused);
  }
  failed_ = Error{Errc::fenced, error.system, error.context};
  control_.reset();
  events_.clear();
  resign();
  end_asking();
  changed_.wake_all();
  deliver_.wake_all();
  listener_.on_failed(*failed_);
}

void RaftLogImpl::tick() {
  step(Tick{});
}

// An armed timer that fires too early costs less than moving it with each step.
void RaftLogImpl::arm_ticker() {
  if (stopping_ || failed_.has_value()) return;
  const Instant due = core_->deadline();
  if (due == Instant::never()) return;
  if (!ticker_.is_armed() || due < ticker_.deadline()) loop_.timers().arm(ticker_, due);
}

// --- quorum-state

void RaftLogImpl::save(const SaveState& state) {
  to_save_ = state;
  if (std::exchange(saving_, true)) return;
  scope_.spawn(run_saver());
}

// One replacement at a time, of the newest.
io::Task<void> RaftLogImpl::run_saver() {
  while (to_save_.has_value() && !failed_.has_value()) {
    const SaveState state = *std::exchange(to_save_, std::nullopt);
    const std::string text = print_quorum_state(state.state, kraft_version(), core_->voters());
    const bool is_early = DRAVE_CANARY("vote-before-save");
    if (is_early) step(StateSaved{state.version});
    const Result<void> saved = co_await io::replace_file(
        loop_, file(kQuorumStateFile), std::vector<std::uint8_t>(text.begin(), text.end()));
    if (!saved && co_await wait_for_space(saved.error())) {
      if (!to_save_.has_value()) to_save_ = state;
    } else if (!saved)
      fail(saved.error());
    else if (!is_early)
      step(StateSaved{state.version});
  }
  saving_ = false;
}

// Whether what found no room on the disk may be tried again: it has changed nothing, and what it is
// to promise waits.
io::Task<bool> RaftLogImpl::wait_for_space(Error error) {
  if (!io::is_shortage(error) || stopping_ || failed_.has_value()) co_return false;
  if (loop_.now() >= no_space_told_until_) {
    no_space_told_until_ = loop_.now() + kNoSpaceTold;
    LOG_WARN("raft",
             "no room on the disk, or no descriptor: this node votes for nobody new and loads no "
             "snapshot until there is node={} topic={} error={}",
             self_.id, options_.topic, error.message());
  }
  co_await scope_.stopping().wait_until(loop_.now() + kNoSpaceRetry);
  co_return !stopping_ && !failed_.has_value();
}

// --- The log's fate

void RaftLogImpl::on_durable_end_advanced(Offset durable_end) {
  if (loading_) return;  // a snapshot takes its place; what was there does not count any more
  step(Flushed{generation_, durable_end});
  changed_.wake_all();
}

void RaftLogImpl::on_log_fenced(const Error& error) {
  fail(error);
}

void RaftLogImpl::on_truncated(std::uint64_t generation) {
  generation_ = generation;
  step(Flushed{generation_, log_->durable_end()});
  changed_.wake_all();
}

void RaftLogImpl::on_write_failed(const Error& error) {
  fail(error);
}

// --- Requests to others

std::optional<io::SocketAddress> RaftLogImpl::address_of(NodeId node) const {
  if (node <= kFirstBootstrapId) {
    const std::size_t index = static_cast<std::size_t>(kFirstBootstrapId - node);
    if (index >= options_.bootstrap_servers.size()) return std::nullopt;
    return options_.bootstrap_servers[index];
  }
  // What the leader says of itself is newer than the voter set.
  if (leader_address_.id == node)
    return io::SocketAddress{leader_address_.host, leader_address_.port};
  for (const Voter& voter : history_.voters()) {
    if (voter.id != node) continue;
    const VoterEndpoint* endpoint = wire::endpoint_of(voter, options_.endpoint.name);
    if (endpoint != nullptr) return io::SocketAddress{endpoint->host, endpoint->port};
  }
  return std::nullopt;
}

// Nobody else tells that the wrong servers are asked.
void RaftLogImpl::note_bootstrap(NodeId server, std::string said) {
  bootstrap_said_.resize(options_.bootstrap_servers.size());
  bootstrap_said_[static_cast<std::size_t>(kFirstBootstrapId - server)] = std::move(said);
}

// Those that were asked since a leader was heard, and what they said last; empty: none was asked.
std::string RaftLogImpl::list_bootstrap_servers() const {
  std::string servers;
  for (std::size_t i = 0; i < bootstrap_said_.size(); ++i) {
    const io::SocketAddress& address = options_.bootstrap_servers[i];
    servers += fmt::format("{}{}:{} ({})", i == 0 ? "; bootstrap servers: " : ", ", address.host,
                           address.port,
                           bootstrap_said_[i].empty() ? "not asked yet" : bootstrap_said_[i]);
  }
  return servers;
}

void RaftLogImpl::note_leader_address(const std::optional<wire::LeaderAddress>& leader) {
  if (leader.has_value() && leader->id != self_.id) leader_address_ = *leader;
}

// Nothing gets better by itself: somebody must be told, now and then.
void RaftLogImpl::note_refusal(NodeId by, ErrorCode error) {
  const bool is_denied = error == ErrorCode::cluster_authorization_failed;
  if (!is_denied && error != ErrorCode::inconsistent_cluster_id) return;
  const std::optional<io::SocketAddress> address = address_of(by);
  const std::string who =
      address.has_value() ? fmt::format("{}:{}", address->host, address->port) : std::to_string(by);
  refusal_ = is_denied ? fmt::format(
                             "the controller at {} does not let this node take part in the "
                             "quorum: it needs the right to ClusterAction, or to be one of "
                             "super.users there",
                             who)
                       : fmt::format(
                             "the controller at {} is of another cluster than this node, whose "
                             "cluster.id is {} (meta.properties): was it formatted with another "
                             "id, or does the configuration name the wrong controllers?",
                             who, options_.cluster_id);
  if (loop_.now() < refusal_told_until_) return;
  refusal_told_until_ = loop_.now() + kRefusalTold;
  LOG_WARN("raft", "node={} topic={} {}", self_.id, options_.topic, refusal_);
}

// The other side of it.
void RaftLogImpl::note_stranger(NodeId who, std::optional<std::string_view> cluster_id,
                                ErrorCode error) {
  if (error != ErrorCode::inconsistent_cluster_id || loop_.now() < stranger_told_until_) return;
  stranger_told_until_ = loop_.now() + kRefusalTold;
  LOG_WARN("raft",
           "node={} topic={} refuses node {} of another cluster cluster_id={} its_cluster_id={}",
           self_.id, options_.topic, who, options_.cluster_id, cluster_id.value_or(""));
}

// Who joins is no voter yet when it hears of the voters first.
void RaftLogImpl::note_lost_log() {
  if (!began_empty_ || history_.voters().empty()) return;
  began_empty_ = false;
  if (!core_->is_voter()) return;
  LOG_WARN("raft",
           "node={} topic={} is a voter already and began with an empty log: what it acknowledged "
           "and for whom it voted is forgotten. If its disk lost files, remove it from the voters, "
           "format it and add it again",
           self_.id, options_.topic);
}

constexpr std::string_view kReplaceDisk =
    "Where a disk was replaced, remove the node from the voters, format it with a directory id of "
    "its own (format --no-initial-controllers) and add it again";

// Of whose log nobody can say whether it is the leader's.
void RaftLogImpl::note_misfit() {
  if (loop_.now() < misfit_told_until_) return;
  misfit_told_until_ = loop_.now() + kRefusalTold;
  LOG_WARN(
      "raft",
      "node={} topic={} what leader {} sends does not go on from this log, which ends at {} in "
      "epoch {}, or names voters that there cannot be: nothing is taken. If a voter lost its "
      "files and was formatted with its old directory id, what the quorum had acknowledged may "
      "be lost. {}",
      self_.id, options_.topic, core_->leader(), core_->log().end(), core_->log().last().epoch,
      kReplaceDisk);
}

// The leader sends the same again, and again.
void RaftLogImpl::note_misread(NodeId leader, const std::string& why) {
  if (loop_.now() < misread_told_until_) return;
  misread_told_until_ = loop_.now() + kRefusalTold;
  LOG_WARN("raft", "records of the leader fail their check node={} topic={} from={} offset={}: {}",
           self_.id, options_.topic, leader, core_->log().end(),
           why.empty() ? "a checksum or a length is wrong" : why);
}

void RaftLogImpl::note_lost_voter(const LostLog& lost) {
  if (loop_.now() < lost_told_until_) return;
  lost_told_until_ = loop_.now() + kRefusalTold;
  LOG_WARN("raft",
           "node={} topic={} voter {} with the directory {} has nothing of what it acknowledged in "
           "epoch {}, up to offset {}: its disk lost files, and for whom it voted is forgotten. {}",
           self_.id, options_.topic, lost.voter.id, lost.voter.directory_id.to_string(), epoch(),
           lost.end, kReplaceDisk);
}

// Whom the core follows it follows until it knows another, also one that is gone.
bool RaftLogImpl::hears_leader() const {
  if (core_->is_leader()) return true;
  return core_->leader() >= 0 && loop_.now() < heard_leader_ + kLeaderlessTold;
}

// What an operator is to know of a quorum without a leader, now and then: who of the voters is
// there.
void RaftLogImpl::note_leaderless() {
  if (hears_leader()) {
    bootstrap_said_.clear();
    leaderless_told_ = loop_.now() + kLeaderlessTold;
    return;
  }
  if (loop_.now() < leaderless_told_) return;
  leaderless_told_ = loop_.now() + kRefusalTold;
  LOG_WARN("raft",
           "the leader of the quorum is not heard node={} topic={} seconds={} epoch={} voters: {}",
           self_.id, options_.topic, (loop_.now() - heard_leader_).ns / seconds(1).ns, epoch(),
           list_voters());
}

std::string RaftLogImpl::list_voters() const {
  std::string voters;
  for (const Voter& voter : history_.voters()) {
    const std::optional<io::SocketAddress> address = address_of(voter.id);
    if (!voters.empty()) voters += ", ";
    voters += fmt::format("{}", voter.id);
    if (voter.id == self_.id)
      voters += " (this node)";
    else if (!address.has_value())
      voters += " (no address is known)";
    else
      voters += fmt::format(" at {}:{}", address->host, address->port);
    // Who is no voter has nothing to say to them.
    if (voter.id == self_.id || !address.has_value() || !core_->is_voter()) continue;
    const bool is_reached = links_.to(voter.id, *address, Lane::other).is_connected();
    voters += is_reached ? " (connected)" : " (not reached)";
  }
  if (voters.empty()) voters = "none is known";
  return voters + list_bootstrap_servers();
}

std::string RaftLogImpl::why_not_leader() const {
  if (core_->is_leader()) return {};
  if (core_->leader() < 0 || !hears_leader()) {
    return fmt::format("No leader of the quorum is heard by node {}, in epoch {}. Voters: {}",
                       self_.id, epoch(), list_voters());
  }
  return fmt::format("Node {} follows node {}, last heard {} ms ago, in epoch {}", self_.id,
                     core_->leader(), (loop_.now() - heard_leader_).ns / milliseconds(1).ns,
                     epoch());
}

void RaftLogImpl::send(OutgoingRequest& request) {
  const std::optional<io::SocketAddress> address = address_of(request.to);
  if (!address.has_value()) {
    events_.push_back(RequestFailed{request.to, request.id});
    return;
  }
  const bool waits = std::holds_alternative<FetchRequest>(request.request) ||
                     std::holds_alternative<SnapshotRequest>(request.request);
  RpcClient& client = links_.to(request.to, *address, waits ? Lane::fetch : Lane::other);
  std::visit(
      [&](auto& each) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(each)>, ChangeVoterRequest>)
          scope_.spawn(send_to(request.to, request.id, client, std::move(each)));
      },
      request.request);
}

void RaftLogImpl::note_answered(FetchSize& size, Instant asked, const Error* error) const {
  if (error == nullptr)
    size.answered(loop_.now() - asked, options_.timers.request_timeout);
  else if (error->code == Errc::timed_out)
    size.timed_out();
}

void RaftLogImpl::request_failed(NodeId to, std::uint64_t id, const Error& error) {
  if (stopping_) return;
  LOG_DEBUG("raft", "no answer topic={} from={} error={}", options_.topic, to, error.message());
  if (is_bootstrap(to)) note_bootstrap(to, error.message());
  if (leader_address_.id == to) leader_address_ = {};
  step(RequestFailed{to, id});
}

io::Task<void> RaftLogImpl::send_to(NodeId to, std::uint64_t id, RpcClient& client,
                                    VoteRequest request) {
  if (request.pre_vote) {
    const Result<std::int16_t> version = co_await client.version_of(protocol::ApiKey::vote);
    if (!version) co_return request_failed(to, id, version.error());
    // Kafka before 4.0 knows no pre-vote, so that it has nothing against one.
    if (*version < kFirstPreVoteVersion)
      co_return step(ReplyReceived{to, id, VoteReply{ErrorCode::none, request.epoch, -1, true}});
  }
  const protocol::VoteRequest message = wire::request_of(group_, request);
  const auto answer = co_await client.call<protocol::VoteResponse>(message);
  std::optional<wire::LeaderAddress> leader;
  Result<VoteReply> reply = answer ? wire::reply_of(group_, answer->message, leader)
                                   : Result<VoteReply>(std::unexpected(answer.error()));
  if (!reply) co_return request_failed(to, id, reply.error());
  note_refusal(to, reply->error);
  note_leader_address(leader);
  step(ReplyReceived{to, id, *reply});
}

io::Task<void> RaftLogImpl::send_to(NodeId to, std::uint64_t id, RpcClient& client,
                                    BeginEpochRequest request) {
  const auto message = wire::request_of(group_, request, options_.endpoint);
  const auto answer = co_await client.call<protocol::BeginQuorumEpochResponse>(message);
  std::optional<wire::LeaderAddress> leader;
  Result<EpochReply> reply = answer ? wire::reply_of(group_, answer->message, leader)
                                    : Result<EpochReply>(std::unexpected(answer.error()));
  if (!reply) co_return request_failed(to, id, reply.error());
  note_refusal(to, reply->error);
  note_leader_address(leader);
  step(ReplyReceived{to, id, *reply});
}

io::Task<void> RaftLogImpl::send_to(NodeId to, std::uint64_t id, RpcClient& client,
                                    EndEpochRequest request) {
  const auto message = wire::request_of(group_, request, options_.endpoint);
  const auto answer = co_await client.call<protocol::EndQuorumEpochResponse>(message);
  if (farewells_ > 0) --farewells_;
  changed_.wake_all();
  std::optional<wire::LeaderAddress> leader;
  Result<EpochReply> reply = answer ? wire::reply_of(group_, answer->message, leader)
                                    : Result<EpochReply>(std::unexpected(answer.error()));
  if (!reply) co_return request_failed(to, id, reply.error());
  farewell_heard_ |= reply->error == ErrorCode::none;
  note_leader_address(leader);
  step(ReplyReceived{to, id, *reply});
}

io::Task<void> RaftLogImpl::send_to(NodeId to, std::uint64_t id, RpcClient& client,
                                    FetchRequest request) {
  const wire::FetchQuestion question{group_, request,
                                     static_cast<std::int32_t>(fetch_size_.bytes())};
  const Instant asked = loop_.now();
  auto answer = co_await client.call<wire::FetchTold>(question);
  note_answered(fetch_size_, asked, answer ? nullptr : &answer.error());
  if (!answer) co_return request_failed(to, id, answer.error());
  std::optional<wire::LeaderAddress> leader;
  Received received;
  Result<FetchReply> reply = wire::reply_of(group_, answer->message, leader, received.records);
  if (!reply) co_return request_failed(to, id, reply.error());
  note_refusal(to, reply->error);
  if (is_bootstrap(to)) note_bootstrap(to, describe(*reply));
  if (is_leaders(reply->error)) heard_leader_ = loop_.now();
  note_leader_address(leader);
  if (reply->error == ErrorCode::kafka_storage_error && may_tell_unreadable()) {
    LOG_WARN("raft", "node={} topic={} leader {} cannot read what goes on from this log's end {}",
             self_.id, options_.topic, to, log_->end());
  }
  std::string why;
  reply->batches = wire::read_batches(received.records, received.controls, why);
  if (reply->batches.empty() && !received.records.empty()) {
    note_misread(to, why);
    reply->error = ErrorCode::corrupt_message;
  }
  step(ReplyReceived{to, id, std::move(*reply)}, &received);
}

io::Task<void> RaftLogImpl::send_to(NodeId to, std::uint64_t id, RpcClient& client,
                                    SnapshotRequest request) {
  const auto message =
      wire::request_of(group_, request, static_cast<std::int32_t>(snapshot_size_.bytes()));
  const Instant asked = loop_.now();
  const auto answer = co_await client.call<protocol::FetchSnapshotResponse>(message);
  note_answered(snapshot_size_, asked, answer ? nullptr : &answer.error());
  if (!answer) co_return request_failed(to, id, answer.error());
  std::optional<wire::LeaderAddress> leader;
  Received received;
  const Result<SnapshotReply> reply =
      wire::reply_of(group_, answer->message, leader, received.chunk);
  if (!reply) co_return request_failed(to, id, reply.error());
  if (is_leaders(reply->error)) heard_leader_ = loop_.now();
  note_leader_address(leader);
  step(ReplyReceived{to, id, *reply}, &received);
}

}  // namespace drave::raft
