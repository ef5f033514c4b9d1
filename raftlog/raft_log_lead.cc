// Leading: control batches that consensus asks for, decisions of the controller, proposals.
#include <fmt/format.h>

#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "protocol/control_record.h"
#include "protocol/messages/control_records.h"
#include "raftlog/core/features.h"
#include "raftlog/raft_log_impl.h"

namespace drave::raft {

// --- Control batches

namespace {

// Kafka has a version of it that names directories, but writes and reads this one.
constexpr std::int16_t kLeaderChangeVersion = 0;
// That commits are slow is said once in so long.
constexpr Duration kSlowCommitTold = seconds(30);

template <class Message>
Result<void> add_control(protocol::BatchBuilder& batch, protocol::ControlType type, TimestampMs now,
                         const Message& message, std::int16_t version) {
  protocol::Writer out;
  TRY_VOID(protocol::encode(out, message, version));
  protocol::append_control_record(batch, type, now, out.own());
  return {};
}

}  // namespace

// At once, but for what the log has still to do of an earlier epoch, or a full journal.
void RaftLogImpl::append_control() {
  if (!control_.has_value() || control_waits_ || failed_.has_value()) return;
  if (!core_->is_leader() || control_->epoch != core_->epoch()) {
    control_.reset();
    return;
  }
  if (!writer_.is_idle()) return;  // on_writer_idle()
  wire::Control content;
  Result<std::vector<std::uint8_t>> bytes = build_control(*control_, content);
  if (!bytes) return fail(bytes.error());
  if (control_->begins_epoch) log_->begin_epoch(core_->epoch());
  content.offset = log_->end();
  const auto appended = log_->append_as_leader(*bytes, core_->epoch(), loop_.wall_now());
  if (!appended && appended.error().code == Errc::busy) {
    control_waits_ = true;
    scope_.spawn(append_control_when_there_is_room());
    return;
  }
  if (!appended) return fail(appended.error());
  no_room_since_.reset();
  bytes_since_snapshot_ += static_cast<std::int64_t>(bytes->size());
  note_control(content);
  if (!control_->begins_epoch) keep_own_control(content.offset, appended->end_offset, *bytes);
  if (control_->begins_epoch) epoch_begun_end_ = appended->end_offset;
  control_.reset();
  note_appended(appended->end_offset);
  step(Appended{appended->end_offset, true});
}

// Of what is appended while nothing else is timed it is known how long it takes to be committed: a
// flush here or there, and a round to the others. Timeouts have to be long against that.
void RaftLogImpl::note_appended(Offset end) {
  if (!timed_.has_value()) timed_ = Timed{end, loop_.now()};
}

void RaftLogImpl::note_committed() {
  if (!timed_.has_value() || core_->high_watermark() < timed_->end) return;
  const Duration took = loop_.now() - std::exchange(timed_, std::nullopt)->since;
  if (took.ns * 2 <= options_.timers.fetch_timeout.ns) return;
  if (loop_.now() < slow_commit_told_until_) return;
  slow_commit_told_until_ = loop_.now() + kSlowCommitTold;
  LOG_WARN("raft",
           "a commit took more than half a fetch timeout: disks or links are too slow for "
           "controller.quorum.fetch.timeout.ms, or something stood still node={} topic={} ms={} "
           "fetch_timeout_ms={}",
           self_.id, options_.topic, took.ns / 1'000'000,
           options_.timers.fetch_timeout.ns / 1'000'000);
}

// A leader whose log takes nothing in for a fetch timeout, since the disk is full, is of no more
// use than one whose disk hangs: another one is to lead.
io::Task<void> RaftLogImpl::await_room() {
  if (!no_room_since_.has_value()) no_room_since_ = loop_.now();
  const Instant limit = *no_room_since_ + options_.timers.fetch_timeout;
  co_await log_->room().wait_until(limit);
  if (loop_.now() < limit || !no_room_since_.has_value()) co_return;
  no_room_since_.reset();
  if (stopping_ || !core_->is_leader() || core_->is_alone()) co_return;
  LOG_WARN("raft", "the log takes nothing in, and this node leads no more node={} topic={}",
           self_.id, options_.topic);
  step(Resign{});
}

io::Task<void> RaftLogImpl::append_control_when_there_is_room() {
  co_await await_room();
  control_waits_ = false;
  if (!stopping_) append_control();
}

Result<std::vector<std::uint8_t>> RaftLogImpl::build_control(const ControlBatch& control,
                                                             wire::Control& content) {
  protocol::BatchOptions options;
  options.control = true;
  options.leader_epoch = core_->epoch();
  protocol::BatchBuilder batch(options);
  const TimestampMs now = loop_.wall_now();
  if (control.begins_epoch) {
    protocol::LeaderChangeMessage change;
    change.version = kLeaderChangeVersion;
    change.leader_id = self_.id;
    for (const Voter& voter : history_.voters()) change.voters.push_back({voter.id, Uuid()});
    for (const NodeId id : control.granting) change.granting_voters.push_back({id, Uuid()});
    TRY_VOID(add_control(batch, protocol::ControlType::leader_change, now, change,
                         kLeaderChangeVersion));
  }
  if (control.voters.has_value()) {
    content.voters = with_endpoints(*control.voters);
    if (control.upgrades) content.kraft_version = kNewestKraftVersion;
  } else if (control.begins_epoch && must_write_voters()) {
    content.voters = with_endpoints(wire::keys_of(history_.voters()));
    content.kraft_version = kraft_version();
  }
  if (content.kraft_version.has_value()) {
    protocol::KRaftVersionRecord version;
    version.kraft_version = *content.kraft_version;
    TRY_VOID(add_control(batch, protocol::ControlType::kraft_version, now, version, 0));
  }
  if (content.voters.has_value()) {
    TRY_VOID(add_control(batch, protocol::ControlType::kraft_voters, now,
                         voters_record(*content.voters), 0));
  }
  return std::move(batch).finish();
}

// What a new set says of its voters: as before, but for this node and for the one that changes.
std::vector<Voter> RaftLogImpl::with_endpoints(const VoterSet& keys) const {
  std::vector<Voter> voters;
  for (const ReplicaKey& key : keys) {
    Voter voter;
    voter.id = key.id;
    voter.directory_id = key.directory_id;
    for (const Voter& told : static_voters_) {
      if (ReplicaKey{told.id, told.directory_id} == key) voter = told;
    }
    if (const Voter* known = find_voter(key)) voter = *known;
    if (changing_.has_value() && ReplicaKey{changing_->id, changing_->directory_id} == key)
      voter = *changing_;
    if (key == self_ && !options_.endpoint.host.empty()) voter.endpoints = {options_.endpoint};
    voters.push_back(std::move(voter));
  }
  return voters;
}

// The batch as it is in the log.
void RaftLogImpl::keep_own_control(Offset base, Offset end, ByteView bytes) {
  own_controls_.push_back({base, end, {bytes.begin(), bytes.end()}});
}

// In their place among what else was committed. After one that fails none is given: the log ends.
Result<void> RaftLogImpl::deliver_own_controls() {
  while (!own_controls_.empty() && own_controls_.front().end <= delivered_) {
    const OwnControl control = std::move(own_controls_.front());
    own_controls_.pop_front();
    listener_.on_high_watermark(control.base);
    protocol::BatchIterator batches(control.bytes);
    while (const std::optional<protocol::BatchView> batch = batches.next()) {
      const Result<bool> given = listener_.on_batch(*batch);
      if (!given) own_controls_.clear();
      TRY(const bool whole, given);
      ASSERT(whole);
    }
  }
  return {};
}

bool RaftLogImpl::must_write_voters() const {
  if (kraft_version() < 1) return false;
  // What was formatted is not replicated; nor is what was truncated again.
  const bool are_replicated = voters_from_snapshot_ || history_.voters_offset() >= 0;
  const Voter* own = find_voter(self_);
  return !are_replicated || (own != nullptr && is_stale(*own));
}

// --- Decisions, one at a time

// The step may find that this node's time to lead is over. Whoever waits for the batch then would
// wait for ever, or until the node leads again and somebody else's batch is there.
Result<Offset> RaftLogImpl::append_batch(MutableByteView batch) {
  TRY(const segments::AppendResult appended,
      log_->append_as_leader(batch, core_->epoch(), loop_.wall_now()));
  no_room_since_.reset();
  bytes_since_snapshot_ += static_cast<std::int64_t>(batch.size());
  note_appended(appended.end_offset);
  step(Appended{appended.end_offset, false});
  if (!leading_) return std::unexpected(gone());
  return appended.end_offset;
}

io::Task<Result<Offset>> RaftLogImpl::append(std::vector<ByteView> values) {
  const Serving serving(*this);
  ASSERT(!values.empty());
  const LeaderEpoch epoch = core_->epoch();
  protocol::BatchOptions options;
  options.leader_epoch = epoch;
  protocol::BatchBuilder batch(options);
  const TimestampMs now = loop_.wall_now();
  for (const ByteView value : values) batch.append(now, std::nullopt, value);
  if (batch.size_bytes() > kBatchBytesMax)
    co_return failure(Errc::too_large,
                      fmt::format("{} bytes of metadata records", batch.size_bytes()));
  std::vector<std::uint8_t> bytes = std::move(batch).finish();
  while (leading_ && !draining_ && core_->epoch() == epoch && core_->may_append()) {
    Result<Offset> end = append_batch(bytes);
    if (end || end.error().code != Errc::busy) co_return end;
    co_await await_room();
  }
  co_return std::unexpected(gone());
}

io::Task<Result<void>> RaftLogImpl::committed(Offset end) {
  const Serving serving(*this);
  const LeaderEpoch epoch = led_epoch_;
  while (leading_ && led_epoch_ == epoch) {
    if (core_->high_watermark() >= end) co_return Result<void>{};
    co_await changed_.wait();
  }
  // What is committed there since then may be another leader's.
  if (led_epoch_ == epoch && led_end_ >= end) co_return Result<void>{};
  co_return std::unexpected(gone());
}

io::Task<Result<void>> RaftLogImpl::transfer(NodeId voter) {
  const Serving serving(*this);
  if (!leading_) co_return std::unexpected(gone());
  bool is_other_voter = false;
  for (const Voter& each : history_.voters())
    is_other_voter |= each.id == voter && voter != self_.id;
  if (!is_other_voter)
    co_return failure(Errc::invalid, fmt::format("node {} is no other voter", voter));
  const LeaderEpoch epoch = led_epoch_;
  const Instant deadline =
      loop_.now() + options_.timers.election_timeout + options_.timers.request_timeout;
  step(TransferTo{voter});
  while (leading_ && led_epoch_ == epoch) {
    if (stopping_) co_return std::unexpected(gone());
    if (!co_await changed_.wait_until(deadline) && leading_ && led_epoch_ == epoch)
      co_return failure(Errc::timed_out, fmt::format("node {} did not catch up", voter));
  }
  co_return Result<void>{};
}

void RaftLogImpl::step_down() {
  if (!leading_ || draining_ || stopping_) return;
  step(Resign{});
}

// --- Proposals

void RaftLogImpl::propose(Proposal& proposal) {
  if (!flush_.is_linked() && !proposals_wait_) loop_.post(flush_);
  proposed_.push_back(proposal);
}

void RaftLogImpl::append_proposed() {
  if (proposals_wait_ && !draining_) return;
  while (!proposed_.empty()) {
    if (draining_ || !leading_ || !core_->may_append()) {
      const Error error = gone();
      end_proposals(proposed_, INT64_MAX, &error);
      return;
    }
    protocol::BatchOptions options;
    options.leader_epoch = core_->epoch();
    protocol::BatchBuilder batch(options);
    const TimestampMs now = loop_.wall_now();
    Proposals taken;
    while (!proposed_.empty() && batch.size_bytes() < kProposedBatchBytes) {
      Proposal& next = proposed_.pop_front();
      batch.append(now, std::nullopt, next.value);
      next.end = log_->end() + batch.record_count();
      taken.push_back(next);
    }
    const bool is_too_large = batch.size_bytes() > kBatchBytesMax;
    std::vector<std::uint8_t> bytes = std::move(batch).finish();
    const Result<Offset> end =
        is_too_large ? failure(Errc::too_large, "a record is too large") : append_batch(bytes);
    if (end) {
      while (!taken.empty()) uncommitted_.push_back(taken.pop_front());
    } else if (end.error().code == Errc::busy) {
      while (!proposed_.empty()) taken.push_back(proposed_.pop_front());
      while (!taken.empty()) proposed_.push_back(taken.pop_front());
      proposals_wait_ = true;
      scope_.spawn(append_proposed_when_there_is_room());
      return;
    } else {
      end_proposals(taken, INT64_MAX, &end.error());
    }
  }
}

io::Task<void> RaftLogImpl::append_proposed_when_there_is_room() {
  co_await await_room();
  proposals_wait_ = false;
  append_proposed();
}

// What done() proposes comes behind those that end now.
void RaftLogImpl::end_proposals(Proposals& proposals, Offset end, const Error* error) {
  Proposals ended;
  while (!proposals.empty() && (error != nullptr || proposals.front().end <= end))
    ended.push_back(proposals.pop_front());
  while (!ended.empty()) {
    Proposal& proposal = ended.pop_front();
    proposal.done(proposal, error);
  }
}

}  // namespace drave::raft
