// Leading: serving fetches, moving the high watermark, knowing when to stop.
#include <algorithm>
#include <tuple>
#include <utility>

#include "base/assert.h"
#include "base/canary.h"
#include "raftlog/core/core.h"

namespace drave::raft {

namespace {

bool has(const std::vector<NodeId>& ids, NodeId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

bool Core::advance_leader() {
  if (!is_alone()) {
    const Instant limit = quorum_contact() + Duration{options_.fetch_timeout.ns * 3 / 2};
    const bool is_cut_off = now_ >= limit;
    if (is_cut_off || disk_hangs()) {
      resign(-1, is_cut_off ? "a majority of the voters has not fetched for 1.5 fetch timeouts"
                            : "its disk has not finished a write for a fetch timeout");
      return true;
    }
    wake_at(limit);
  }
  // What it knows to be committed it may be the only one to have: it was elected for that. It
  // leaves when a voter has all of it.
  const bool is_established = epoch_start_ >= 0 && high_watermark_ > epoch_start_;
  if (!is_voter() && is_established && log_.voters_offset() < high_watermark_ &&
      !change_.has_value()) {
    resign(-1);
    return true;
  }
  if (!is_durable()) return false;  // nothing of the epoch before the epoch is durable
  if (!epoch_begun_) {
    epoch_begun_ = true;
    append_control({epoch(), true, ballot_.granted, std::nullopt});
  }
  if (transfer_.has_value()) hand_over();
  if (!is_leader()) return true;
  advance_change();
  expire_parked();
  make_known();
  return false;
}

// --- The log

void Core::append_control(ControlBatch batch) {
  ASSERT(is_leader() && !appending_.has_value());
  appending_ = batch;
  effects_->append = std::move(batch);
}

void Core::appended(const Appended& event) {
  ASSERT(is_leader() && is_durable());
  ASSERT(event.control ? appending_.has_value() : epoch_start_ >= 0);
  const Offset base = log_.end();
  if (log_.is_flushed()) unflushed_since_ = now_;
  log_.append(event.end, epoch());
  if (event.control) {
    const ControlBatch batch = *std::exchange(appending_, std::nullopt);
    if (batch.begins_epoch) epoch_start_ = base;
    if (batch.voters.has_value()) {
      log_.add_voters(base, *batch.voters);
      effects_->voters_changed = true;
      if (change_.has_value()) change_->end = event.end;
      move_high_watermark();  // of a smaller set more may be committed
    }
  }
  answer_parked();
}

// A disk that does not finish a write holds up nobody but its own node, unless that leads.
bool Core::disk_hangs() {
  if (log_.is_flushed()) return false;
  const Instant limit = unflushed_since_ + options_.fetch_timeout;
  wake_at(limit);
  return now_ >= limit;
}

// --- Replicas

ErrorCode Core::check_fetcher(LeaderEpoch epoch) const {
  if (epoch < state_.epoch) return ErrorCode::fenced_leader_epoch;
  if (epoch > state_.epoch) return ErrorCode::unknown_leader_epoch;
  return is_leader() ? ErrorCode::none : ErrorCode::not_leader_or_follower;
}

// Of another node, not of a consumer.
bool Core::is_replica(const ReplicaKey& key) const {
  return key.id >= 0 && key.id != options_.self.id;
}

void Core::handle_fetch(std::uint64_t token, const FetchRequest& request) {
  FetchReply refused;
  const bool makes_sense = is_replica(request.replica) && request.offset >= 0 &&
                           request.last_epoch <= request.epoch && request.epoch <= kEpochMax;
  refused.error = makes_sense ? check_fetcher(request.epoch) : ErrorCode::invalid_request;
  const bool is_ahead = refused.error == ErrorCode::unknown_leader_epoch && is_leader();
  if (is_ahead && is_plausible(request.epoch)) outbid(request.epoch);
  if (refused.error != ErrorCode::none) {
    refused.epoch = epoch();
    refused.leader = leader();
    reply(token, std::move(refused));
    return;
  }
  std::optional<FetchReply> found = note_fetch(request);
  if (!found.has_value()) found = news(request);
  if (!found.has_value() && request.wait.ns > 0 && make_room_for(request.replica)) {
    // Who waited for longer would take the leader for gone.
    const Instant until = now_ + std::min(request.wait, options_.fetch_timeout);
    parked_.push_back({token, request, until});
    wake_at(until);
    return;
  }
  reply(token, found.has_value() ? std::move(*found) : nothing_new());
}

// What must be done before anything can be sent; nothing: the sender's log is this one's beginning.
std::optional<FetchReply> Core::mismatch(const FetchRequest& request) const {
  if (request.offset == 0 && snapshot_.offset <= 0 && log_.start() == 0) return std::nullopt;
  const OffsetAndEpoch start = log_.start_id();
  const bool is_below = request.offset < start.offset || request.last_epoch < start.epoch ||
                        (request.offset == start.offset && request.last_epoch != start.epoch);
  // From nothing a snapshot is the shorter way.
  if (is_below || (request.offset == 0 && snapshot_.offset > 0)) {
    FetchReply reply = nothing_new();
    reply.snapshot = snapshot_;
    return reply;
  }
  const OffsetAndEpoch common = log_.end_of(request.last_epoch);
  if (common.epoch == request.last_epoch && common.offset >= request.offset) return std::nullopt;
  FetchReply reply = nothing_new();
  reply.diverging = common;
  return reply;
}

// To one that matches. Nothing: there is nothing to say yet.
std::optional<FetchReply> Core::news(const FetchRequest& request) const {
  const bool has_more = request.offset < log_.end();
  if (!has_more && high_watermark_ <= request.high_watermark) return std::nullopt;
  FetchReply reply = nothing_new();
  if (has_more) reply.from = request.offset;
  return reply;
}

// A replica that asks again does not wait for what it asked before: its connection ended, perhaps.
bool Core::make_room_for(const ReplicaKey& replica) {
  const auto answer_first = [this](const auto& which) {
    const auto found = std::find_if(parked_.begin(), parked_.end(), which);
    if (found == parked_.end()) return;
    reply(found->token, nothing_new());
    parked_.erase(found);
  };
  answer_first([&](const Parked& each) { return each.request.replica == replica; });
  if (parked_.size() >= kParkedFetchesMax && contains(voters(), replica))
    answer_first([&](const Parked& each) { return !contains(voters(), each.request.replica); });
  return parked_.size() < kParkedFetchesMax;
}

// A voter goes back to the beginning only if its disk does not have any more what it acknowledged.
void Core::note_lost(const FetchRequest& request) {
  if (request.offset > 0) return;
  for (const ReplicaKey& voter : voters()) {
    const Progress* before = voter.matches(request.replica) ? find_progress(voter) : nullptr;
    if (before != nullptr && before->end > 0) effects_->lost = LostLog{before->key, before->end};
  }
}

// Returns what does not match.
std::optional<FetchReply> Core::note_fetch(const FetchRequest& request) {
  note_lost(request);
  Progress& progress = progress_of(request.replica);
  std::optional<FetchReply> refused = mismatch(request);
  // It asks again for what it was sent: it is heard, and does not hear this leader. Who is heard by
  // no majority commits nothing, and is not to keep those that hear it from another leader.
  const bool hears_nothing = !refused.has_value() && request.offset == progress.end &&
                             request.offset < progress.leader_end;
  if (!refused.has_value()) {
    if (request.offset >= log_.end())
      progress.caught_up = now_;
    else if (request.offset >= progress.leader_end && progress.fetched != Instant{})
      progress.caught_up = std::max(progress.caught_up, progress.fetched);
    progress.leader_end = log_.end();
    progress.end = request.offset;
  } else if (request.offset == 0) {
    progress.end = std::min<Offset>(progress.end, 0);
  }
  if (!hears_nothing) progress.fetched = now_;
  if (!refused.has_value()) move_high_watermark();
  return refused;
}

Core::Progress& Core::progress_of(const ReplicaKey& key) {
  for (Progress& each : progress_) {
    if (each.key == key) return each;
  }
  if (progress_.size() >= kReplicasMax) {
    const auto silent =
        std::min_element(progress_.begin(), progress_.end(), [this](const auto& a, const auto& b) {
          return std::pair(contains(voters(), a.key), a.fetched) <
                 std::pair(contains(voters(), b.key), b.fetched);
        });
    *silent = Progress{key, -1, {}, {}, 0};
    return *silent;
  }
  return progress_.emplace_back(Progress{key, -1, {}, {}, 0});
}

const Core::Progress* Core::find_progress(const ReplicaKey& key) const {
  const Progress* newest = nullptr;
  for (const Progress& each : progress_) {
    // A voter with a directory is not who does not name one.
    const bool is_it = each.key.id == key.id &&
                       (key.directory_id.is_zero() || each.key.directory_id == key.directory_id);
    if (is_it && (newest == nullptr || newest->fetched < each.fetched)) newest = &each;
  }
  return newest;
}

FetchReply Core::nothing_new() const {
  FetchReply reply;
  reply.epoch = epoch();
  reply.leader = options_.self.id;
  reply.high_watermark = high_watermark_;
  reply.log_start = log_.start();
  return reply;
}

void Core::expire_parked() {
  std::erase_if(parked_, [this](const Parked& parked) {
    if (parked.until > now_) {
      wake_at(parked.until);
      return false;
    }
    reply(parked.token, nothing_new());
    return true;
  });
}

void Core::answer_parked() {
  std::erase_if(parked_, [this](const Parked& parked) {
    std::optional<FetchReply> found = mismatch(parked.request);
    if (!found.has_value()) found = news(parked.request);
    if (found.has_value()) reply(parked.token, std::move(*found));
    return found.has_value();
  });
}

void Core::handle_snapshot_fetch(std::uint64_t token, const SnapshotRequest& request) {
  SnapshotReply answer;
  answer.error = check_fetcher(request.epoch);
  answer.epoch = epoch();
  answer.leader = leader();
  answer.id = request.id;
  answer.position = request.position;
  if (!is_replica(request.replica)) answer.error = ErrorCode::invalid_request;
  if (answer.error == ErrorCode::none) {
    if (request.id.offset <= 0) answer.error = ErrorCode::snapshot_not_found;
    if (request.position < 0) answer.error = ErrorCode::position_out_of_range;
  }
  if (answer.error == ErrorCode::none) progress_of(request.replica).fetched = now_;
  reply(token, answer);
}

// --- The high watermark

Offset Core::replicated(const ReplicaKey& key) const {
  if (key.matches(options_.self))
    return DRAVE_CANARY("leader-counts-unflushed") ? log_.end() : log_.flushed();
  const Progress* progress = find_progress(key);
  return progress == nullptr ? -1 : progress->end;
}

void Core::move_high_watermark() {
  if (!is_leader() || epoch_start_ < 0) return;
  ranked_.clear();
  for (const ReplicaKey& voter : voters()) ranked_.push_back(replicated(voter));
  const Offset majority_has = majority_reaches();
  // Entries of older epochs are committed by one of this epoch above them, never by counting.
  if (majority_has <= epoch_start_ && !DRAVE_CANARY("older-epoch-committed")) return;
  raise_high_watermark(std::min(majority_has, log_.end()));
}

void Core::raise_high_watermark(Offset to) {
  if (to <= high_watermark_) return;
  high_watermark_ = to;
  courted_ = {};  // the quorum goes on
  effects_->high_watermark_moved = true;
  log_.forget_voters_before(to);
  if (!is_leader()) return;
  answer_parked();
  if (change_.has_value() && change_->end >= 0 && change_->end <= to) end_change(ErrorCode::none);
}

// --- Staying leader, and leaving

// When a majority of the voters was last heard of.
Instant Core::quorum_contact() const {
  ranked_.clear();
  for (const ReplicaKey& voter : voters()) {
    const Progress* progress = find_progress(voter);
    const Instant fetched = progress == nullptr ? elected_ : std::max(elected_, progress->fetched);
    ranked_.push_back((voter.matches(options_.self) ? now_ : fetched).ns);
  }
  return Instant{majority_reaches()};
}

// The greatest value that a majority of ranked_, one of each voter, is not below.
std::int64_t Core::majority_reaches() const {
  std::sort(ranked_.begin(), ranked_.end(), std::greater<>());
  return ranked_[majority() - 1];
}

// Voters that do not fetch may not know of this leader.
void Core::make_known() {
  const Duration period = silence();
  for (const ReplicaKey& voter : voters()) {
    if (voter.id == options_.self.id) continue;
    const Progress* progress = find_progress(voter);
    if (progress != nullptr && progress->fetched != Instant{} &&
        now_ < progress->fetched + period) {
      wake_at(progress->fetched + period);
      continue;
    }
    if (may_send(voter.id)) send(voter.id, BeginEpochRequest{epoch(), options_.self.id, voter});
  }
}

void Core::hand_over() {
  for (const ReplicaKey& voter : voters()) {
    if (voter.id != transfer_->to || replicated(voter) < log_.end()) continue;
    const Progress* progress = find_progress(voter);
    // Who has everything may be gone since.
    if (progress == nullptr || now_ >= progress->fetched + silence()) continue;
    resign(voter.id);
    return;
  }
  if (now_ >= transfer_->until)
    transfer_.reset();
  else
    wake_at(transfer_->until);
}

void Core::resign(NodeId first_successor, std::string_view because) {
  ASSERT(is_leader());
  effects_->resigned_because = because;
  successors_ = successors(first_successor);
  passed_over_.clear();
  become(Role::resigned, state_);
  timer_ = draw(options_.election_timeout);
}

// Who has most comes first.
std::vector<ReplicaKey> Core::successors(NodeId first) const {
  std::vector<ReplicaKey> others;
  for (const ReplicaKey& voter : voters()) {
    if (voter.id != options_.self.id) others.push_back(voter);
  }
  std::sort(others.begin(), others.end(), [&](const ReplicaKey& a, const ReplicaKey& b) {
    return std::tuple(b.id == first, replicated(b), a.id) <
           std::tuple(a.id == first, replicated(a), b.id);
  });
  return others;
}

// It cannot take over. Where it was the first, the others hear at once who is the first now.
void Core::pass_over(NodeId successor) {
  if (role_ != Role::resigned || has(passed_over_, successor)) return;
  const auto at = std::find_if(successors_.begin(), successors_.end(),
                               [successor](const ReplicaKey& key) { return key.id == successor; });
  if (at == successors_.end()) return;
  passed_over_.push_back(successor);
  const bool was_first = at == successors_.begin();
  std::rotate(at, at + 1, successors_.end());
  if (!was_first) return;
  for (const ReplicaKey& key : successors_) {
    if (has(passed_over_, key.id)) continue;
    Peer& peer = peers_.at(key.id);
    peer.done = false;
    peer.again = peer.request != 0;
    if (!peer.again) peer.until = now_;
  }
}

QuorumView Core::describe() const {
  QuorumView view{leader(), epoch(), high_watermark_, {}, {}};
  for (const ReplicaKey& voter : voters()) {
    const Progress* progress = find_progress(voter);
    if (is_leader() && voter.matches(options_.self))
      view.voters.push_back({voter, log_.end(), now_, now_});
    else if (progress == nullptr)
      view.voters.push_back({voter, -1, {}, {}});
    else
      view.voters.push_back({voter, progress->end, progress->fetched, progress->caught_up});
  }
  for (const Progress& each : progress_) {
    const bool is_gone = now_ >= each.fetched + kObserverKept;
    if (!contains(voters(), each.key) && !is_gone)
      view.observers.push_back({each.key, each.end, each.fetched, each.caught_up});
  }
  return view;
}

}  // namespace drave::raft
