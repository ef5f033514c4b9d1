#include "raftlog/core/core.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/assert.h"
#include "base/canary.h"

namespace drave::raft {

namespace {

// More roles than one step can pass through.
constexpr int kAdvancesMax = 8;

template <class... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};

}  // namespace

Core::Core(CoreOptions options)
    : options_(std::move(options)), random_(options_.seed), peers_(random_.next() >> 16) {}

void Core::start(Instant now, Recovered recovered, Effects& effects) {
  effects.clear();
  effects_ = &effects;
  now_ = now;
  log_ = std::move(recovered.log);
  snapshot_ = recovered.snapshot;
  kraft_version_ = recovered.kraft_version;
  if (snapshot_.offset > 0) high_watermark_ = snapshot_.offset;
  state_ = recovered.election;
  if (DRAVE_CANARY("vote-forgotten")) state_.voted.reset();
  timer_ = draw(options_.election_timeout);
  const LeaderEpoch last = log_.last().epoch;
  if (last > state_.epoch) {
    // The file was lost: whatever was voted in older epochs does not matter any more.
    become(Role::unattached, {last, -1, std::nullopt});
  } else if (state_.leader == options_.self.id) {
    become(Role::resigned, state_);
  } else if (state_.leader >= 0) {
    become_follower(state_.epoch, state_.leader);
  } else {
    // Also who had voted for itself: what it told of its log may be gone.
    become(state_.voted.has_value() ? Role::voted : Role::unattached, state_);
  }
  advance();
  effects_ = nullptr;
}

void Core::step(Instant now, const Event& event, Effects& effects) {
  effects.clear();
  if (failed_) return;
  effects_ = &effects;
  now_ = std::max(now_, now);
  peers_.expire(now_, options_.retry_backoff);
  handle(event);
  if (!failed_) advance();
  effects_ = nullptr;
}

void Core::handle(const Event& event) {
  std::visit(Overloaded{
                 [](const Tick&) {},
                 [this](const RequestReceived& e) { handle_request(e.token, e.request); },
                 [this](const ReplyReceived& e) { handle_reply(e.from, e.id, e.reply); },
                 [this](const RequestFailed& e) { handle_failure(e.to, e.id); },
                 [this](const StateSaved& e) { saved_ = std::max(saved_, e.version); },
                 [this](const Appended& e) { appended(e); },
                 [this](const Flushed& e) {
                   if (!log_.flush(e.generation, e.end)) return;
                   unflushed_since_ = now_;
                   is_leader() ? move_high_watermark() : follow_high_watermark();
                 },
                 [this](const SnapshotWritten& e) { snapshot_ = std::max(snapshot_, e.id); },
                 [this](const ChunkStored& e) {
                   if (download_ && download_->id == e.id && download_->position == e.position)
                     download_->storing = false;
                 },
                 [this](const SnapshotLoaded& e) { snapshot_loaded(e); },
                 [this](const SnapshotRefused&) {
                   loading_ = false;
                   // All of it will come again: not at full speed.
                   if (role_ == Role::follower)
                     peers_.at(state_.leader).until =
                         now_ + Duration{options_.fetch_timeout.ns / 4};
                 },
                 [this](const LogStartMoved& e) { log_.move_start(e.start); },
                 [this](const KRaftVersionChanged& e) { kraft_version_ = e.level; },
                 [this](const CampaignNow&) {
                   if (!is_leader() && may_stand() && !loading_ && epoch() < kEpochMax)
                     become_candidate();
                 },
                 [this](const Resign&) {
                   if (is_leader()) resign(-1);
                 },
                 [this](const TransferTo& e) {
                   if (is_leader() && e.voter != options_.self.id)
                     transfer_ = Transfer{e.voter, now_ + options_.election_timeout};
                 },
                 [this](const Leave&) { leave(); },
                 [this](const DiskFailed&) {
                   if (is_leader()) become(Role::resigned, state_);
                   failed_ = true;
                   deadline_ = Instant::never();
                   effects_->replies.clear();
                 },
             },
             event);
}

void Core::handle_request(std::uint64_t token, const Request& request) {
  if (held_.size() >= kHeldRepliesMax && !is_durable()) {
    // Nothing that this node says now could leave.
    effects_->replies.push_back({token, epoch_reply(ErrorCode::broker_not_available)});
    return;
  }
  std::visit(Overloaded{
                 [&](const VoteRequest& each) { reply(token, vote(each)); },
                 [&](const BeginEpochRequest& each) { reply(token, begin_epoch(each)); },
                 [&](const EndEpochRequest& each) { reply(token, end_epoch(each)); },
                 [&](const FetchRequest& each) { handle_fetch(token, each); },
                 [&](const SnapshotRequest& each) { handle_snapshot_fetch(token, each); },
                 [&](const ChangeVoterRequest& each) { change_voter(token, each); },
             },
             request);
}

void Core::handle_reply(NodeId from, std::uint64_t id, const Reply& reply) {
  const auto [error, epoch, leader] = std::visit(
      [](const auto& each) { return std::tuple(each.error, each.epoch, each.leader); }, reply);
  if (!peers_.ended(from, id, now_ + backoff(error))) return;
  if (!note_epoch(epoch, leader)) return;
  if (const auto* vote = std::get_if<VoteReply>(&reply)) {
    handle_vote_reply(from, *vote);
    return;
  }
  if (epoch != state_.epoch) return;
  if (std::holds_alternative<EpochReply>(reply)) {
    Peer& peer = peers_.at(from);
    peer.done = !peer.again;
    peer.until = peer.again ? now_ : now_ + Duration{options_.fetch_timeout.ns / 2};
    if (error == ErrorCode::broker_not_available) pass_over(from);
  } else if (role_ == Role::follower && from == state_.leader) {
    if (const auto* fetch = std::get_if<FetchReply>(&reply)) handle_fetch_reply(*fetch);
    if (const auto* chunk = std::get_if<SnapshotReply>(&reply)) handle_snapshot_reply(*chunk);
  }
}

// How long a peer that answered with this is left alone.
Duration Core::backoff(ErrorCode error) const {
  if (error == ErrorCode::none) return Duration{};
  // That does not pass by itself: somebody has to configure something.
  const bool stays = error == ErrorCode::cluster_authorization_failed ||
                     error == ErrorCode::inconsistent_cluster_id;
  return stays ? options_.election_timeout : options_.retry_backoff;
}

void Core::handle_failure(NodeId to, std::uint64_t id) {
  if (!peers_.ended(to, id, now_ + options_.retry_backoff)) return;
  pass_over(to);
  if (role_ != Role::follower || to != state_.leader) return;
  // The others may have lost it, too: ask them soon, and do not refuse if they ask.
  contact_ = {};
  const Duration soon{options_.election_timeout.ns / 10};
  timer_ = std::min(timer_, draw(soon));
}

void Core::advance() {
  for (int i = 0; i < kAdvancesMax; ++i) {
    deadline_ = Instant::never();
    if (!advance_once() || failed_) break;
  }
  wake_at(peers_.next_deadline(now_));
  release_replies();
}

bool Core::advance_once() {
  switch (role_) {
    case Role::unattached:
    case Role::voted: return advance_waiting();
    case Role::prospective: return advance_prospective();
    case Role::candidate: return advance_candidate();
    case Role::leader: return advance_leader();
    case Role::follower: return advance_follower();
    case Role::resigned: return advance_resigned();
  }
  return false;
}

void Core::become(Role role, ElectionState state) {
  ASSERT_AT_MOST(state_.epoch, state.epoch);
  // A leader's vote for itself is durable since it was a candidate, and keeps it from voting for
  // others in its epoch after a restart as well as that it led: nothing waits for the latter.
  const bool votes = state.voted.has_value() && state.voted != state_.voted;
  const bool promises = state.epoch != state_.epoch || votes;
  const bool changed = promises || state.leader != state_.leader;
  const bool led = is_leader() && role != Role::leader;
  role_ = role;
  state_ = state;
  effects_->role_changed = true;
  if (changed) save();
  if (promises) promised_ = asked_;
  peers_.forget_all();
  download_.reset();
  contact_ = {};
  leader_left_ = false;
  leader_watermark_ = -1;
  if (led) leave_role();
}

// What waited for the leader that this node was.
void Core::leave_role() {
  epoch_start_ = -1;
  epoch_begun_ = false;
  appending_.reset();
  effects_->append.reset();  // asked for in this very step
  transfer_.reset();
  end_change(ErrorCode::not_leader_or_follower);
  for (const Parked& parked : std::exchange(parked_, {})) {
    FetchReply refused;
    refused.error = ErrorCode::not_leader_or_follower;
    refused.epoch = epoch();
    refused.leader = leader();
    reply(parked.token, std::move(refused));
  }
}

// Time that has been waited already counts: a peer that keeps taking new epochs does not keep the
// others from theirs.
void Core::become_unattached(LeaderEpoch epoch) {
  const bool had_timer = role_ != Role::leader && timer_ != Instant::never();
  const Instant drawn = draw(options_.election_timeout);
  const Instant timer = had_timer ? std::min(timer_, drawn) : drawn;
  become(Role::unattached, {epoch, -1, std::nullopt});
  timer_ = timer;
}

void Core::become_follower(LeaderEpoch epoch, NodeId leader) {
  ASSERT(leader >= 0 && leader != options_.self.id);
  ElectionState state{epoch, leader, std::nullopt};
  if (epoch == state_.epoch) state.voted = state_.voted;
  become(Role::follower, state);
  retries_ = 0;
  timer_ = draw(options_.fetch_timeout);
}

void Core::save() {
  effects_->save = SaveState{++asked_, state_};
}

// Takes a newer epoch, and learns the leader of the own one. Returns whether what came with it is
// still of interest.
bool Core::note_epoch(LeaderEpoch epoch, NodeId leader) {
  if (epoch > kEpochMax) return false;
  const bool names_other = leader >= 0 && leader != options_.self.id;
  if (epoch > state_.epoch) {
    names_other ? become_follower(epoch, leader) : become_unattached(epoch);
    return false;
  }
  if (epoch < state_.epoch || !names_other) return true;
  const bool waits = role_ == Role::unattached || role_ == Role::voted;
  if (state_.leader >= 0 && !(waits && state_.leader == leader)) return true;
  become_follower(epoch, leader);
  return false;
}

void Core::reply(std::uint64_t token, Reply reply) {
  if (held_.empty() && is_durable())
    effects_->replies.push_back({token, std::move(reply)});
  else
    held_.push_back({promised_, {token, std::move(reply)}});
}

void Core::release_replies() {
  if (held_.empty()) return;
  std::size_t kept = 0;
  for (Held& held : held_) {
    if (held.version <= saved_)
      effects_->replies.push_back(std::move(held.reply));
    else
      std::swap(held_[kept++], held);
  }
  held_.resize(kept);
}

// Whether something may be asked of a peer now. What is said must be durable first.
bool Core::may_send(NodeId to) {
  return is_durable() && peers_.is_ready(to, now_);
}

void Core::send(NodeId to, Request request) {
  const std::uint64_t id = peers_.sent(to, now_ + options_.request_timeout);
  effects_->requests.push_back({to, id, std::move(request)});
}

Instant Core::draw(Duration least) {
  return now_ + least + Duration{random_.between(0, std::max<std::int64_t>(least.ns, 1))};
}

void Core::wake_at(Instant when) {
  deadline_ = std::min(deadline_, when);
}

void Core::fail(std::string_view reason) {
  failed_ = true;
  deadline_ = Instant::never();
  effects_->fatal = reason;
}

void Core::check_invariants() const {
  ASSERT(saved_ <= asked_ && promised_ <= asked_);
  ASSERT(log_.start() <= log_.flushed() && log_.flushed() <= log_.end());
  ASSERT_AT_MOST(log_.last().epoch, state_.epoch);
  ASSERT_AT_MOST(high_watermark_, log_.end());
  // The log begins at a snapshot or below it, and a snapshot is of what is committed (S10).
  const Offset covered = std::max<Offset>(snapshot_.offset, 0);
  ASSERT_AT_MOST(log_.start(), covered);
  ASSERT(high_watermark_ < 0 || covered <= high_watermark_);
  const bool asks = role_ == Role::prospective || role_ == Role::candidate;
  ASSERT(!asks || (!loading_ && !leaving_ && contact_ == Instant{}));
  for (const NodeId id : ballot_.granted) {
    ASSERT(!asks || std::count(ballot_.refused.begin(), ballot_.refused.end(), id) == 0);
  }
  ASSERT(role_ == Role::follower || (!download_.has_value() && leader_watermark_ < 0));
  const bool knows_other = state_.leader >= 0 && state_.leader != options_.self.id;
  switch (role_) {
    case Role::unattached: ASSERT(!state_.voted.has_value() || state_.leader >= 0); break;
    case Role::voted: ASSERT(state_.voted.has_value()); break;
    case Role::prospective: break;  // in whatever state it came from: a question changes none
    case Role::candidate: ASSERT(state_.leader < 0 && state_.voted == options_.self); break;
    case Role::follower: ASSERT(knows_other); break;
    case Role::leader:
    case Role::resigned: ASSERT(state_.leader == options_.self.id); break;
  }
  ASSERT(is_leader() || (parked_.empty() && !change_.has_value() && epoch_start_ < 0));
}

}  // namespace drave::raft
