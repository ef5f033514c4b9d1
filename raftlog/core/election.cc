// Who leads: votes, pre-votes, timeouts.
#include <algorithm>

#include "base/assert.h"
#include "base/canary.h"
#include "raftlog/core/core.h"

namespace drave::raft {

namespace {

void note(std::vector<NodeId>& ids, NodeId id) {
  if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
}

}  // namespace

// --- Voting

VoteReply Core::vote(const VoteRequest& request) {
  VoteReply reply{ErrorCode::none, epoch(), leader(), false};
  const bool behind =
      request.last.epoch > request.epoch ||
      (!request.pre_vote && request.last.epoch == request.epoch && request.epoch > 0);
  if (request.last.offset < 0 || request.last.epoch < 0 || !is_plausible(request.epoch) || behind) {
    reply.error = ErrorCode::invalid_request;
    return reply;
  }
  if (request.epoch < state_.epoch) {
    reply.error = ErrorCode::fenced_leader_epoch;
    return reply;
  }
  // Who hears its leader lets nobody take a new epoch, but that leader itself.
  const bool is_protected = hears_leader() && request.candidate.id != state_.leader;
  if (request.epoch > state_.epoch && is_protected) return reply;
  if (request.epoch > state_.epoch) become_unattached(request.epoch);
  if (!request.voter.matches(options_.self) && request.voter.id >= 0)
    reply.error = ErrorCode::invalid_voter_key;
  else
    reply.granted = grant(request);
  reply.epoch = epoch();
  reply.leader = leader();
  return reply;
}

bool Core::grant(const VoteRequest& request) {
  if (request.voter.id >= 0 && !is_up_to_date(request.last)) courted_ = now_;
  if (request.pre_vote) return !hears_leader() && !is_leader() && is_up_to_date(request.last);
  const bool may_vote =
      role_ == Role::unattached || role_ == Role::voted || role_ == Role::prospective;
  if (!may_vote || state_.leader >= 0) return false;
  if (state_.voted.has_value()) return *state_.voted == request.candidate;
  if (!is_up_to_date(request.last)) return false;
  become(Role::voted, {state_.epoch, -1, request.candidate});
  timer_ = draw(options_.election_timeout);
  return true;
}

bool Core::is_up_to_date(OffsetAndEpoch last) const {
  const OffsetAndEpoch own = log_.last();
  return last.epoch != own.epoch ? last.epoch > own.epoch : last.offset >= own.offset;
}

bool Core::hears_leader() const {
  if (is_leader()) return true;
  // With this bug a node that itself looks for a new leader goes on defending the old one.
  if (DRAVE_CANARY("prospective-keeps-leader") && role_ != Role::resigned && state_.leader >= 0)
    return true;
  if (role_ != Role::follower || leader_left_ || contact_ == Instant{}) return false;
  return now_ < contact_ + options_.fetch_timeout;
}

void Core::handle_vote_reply(NodeId from, const VoteReply& reply) {
  if (role_ != Role::prospective && role_ != Role::candidate) return;
  peers_.at(from).done = reply.error != ErrorCode::broker_not_available;
  if (!peers_.at(from).done) return;
  const bool is_voter_of_ours =
      std::any_of(voters().begin(), voters().end(),
                  [from](const ReplicaKey& voter) { return voter.id == from; });
  if (!is_voter_of_ours) return;
  const bool granted =
      reply.granted && reply.error == ErrorCode::none && reply.epoch == state_.epoch;
  note(granted ? ballot_.granted : ballot_.refused, from);
}

// --- Waiting for a leader

bool Core::advance_waiting() {
  if (may_stand() && now_ >= timer_) {
    if (may_campaign()) {
      become_prospective();
      return true;
    }
    timer_ = draw(options_.election_timeout);
  }
  if (may_stand()) wake_at(timer_);
  look_for_leader();
  return false;
}

bool Core::may_stand() const {
  if (leaving_ || !options_.voter_role) return false;
  if (is_voter()) return true;
  const bool is_leaving =
      log_.voters_offset() >= high_watermark_ && contains(log_.voters_before(), options_.self);
  const bool is_needed = courted_ != Instant{} && !voters().empty() &&
                         now_ < courted_ + Duration{options_.election_timeout.ns * 5};
  return is_leaving || is_needed;
}

bool Core::may_campaign() const {
  // A node whose disk lags would promise what it cannot keep; one with too long a history would
  // make it longer.
  return may_stand() && !loading_ && log_.is_flushed() && log_.epoch_count() < kLogEpochsMax &&
         state_.epoch < kEpochMax;
}

// Any server that answers names the leader, if it knows one.
void Core::look_for_leader() {
  if (now_ < look_again_) {
    wake_at(look_again_);
    return;
  }
  std::vector<NodeId> ready;
  for (const Peer& peer : peers_.all()) {
    if (peer.request != 0) return;
  }
  for (const ReplicaKey& voter : voters()) {
    if (voter.id != options_.self.id && may_send(voter.id)) ready.push_back(voter.id);
  }
  for (const NodeId server : options_.bootstrap) {
    if (may_send(server)) ready.push_back(server);
  }
  if (ready.empty()) return;
  look_again_ = now_ + Duration{options_.retry_backoff.ns * 5};
  fetch_from(ready[random_.below(ready.size())]);
}

void Core::leave() {
  leaving_ = true;
  if (role_ == Role::prospective) give_up_prospect();
  if (role_ == Role::candidate) become(Role::voted, state_);
}

// --- Asking for votes

void Core::become_prospective() {
  become(Role::prospective, state_);
  timer_ = draw(options_.election_timeout);
  ballot_ = {};
  if (is_voter()) ballot_.granted.push_back(options_.self.id);
}

bool Core::advance_prospective() {
  if (ballot_.granted.size() >= majority()) {
    become_candidate();
    return true;
  }
  if (now_ >= timer_ || ballot_.refused.size() > voters().size() - majority()) {
    give_up_prospect();
    return true;
  }
  wake_at(timer_);
  ask_for_votes(true);
  return false;
}

// Back to where it came from, to ask again before long.
void Core::give_up_prospect() {
  const bool led = state_.leader == options_.self.id;
  if (state_.leader >= 0 && !led)
    become(Role::follower, state_);
  else if (led)
    become(Role::resigned, state_);
  else
    become(state_.voted.has_value() ? Role::voted : Role::unattached, state_);
  timer_ = draw(Duration{options_.election_timeout.ns / 2});
}

void Core::become_candidate() {
  become(Role::candidate, {state_.epoch + 1, -1, options_.self});
  timer_ = draw(options_.election_timeout);
  ballot_ = {};
}

bool Core::advance_candidate() {
  // The own vote counts once it is durable.
  if (is_durable() && is_voter()) note(ballot_.granted, options_.self.id);
  if (ballot_.granted.size() >= majority()) {
    become_leader();
    return true;
  }
  if (now_ >= timer_ || ballot_.refused.size() > voters().size() - majority()) {
    // Lost: again after a while, longer each time, so that of several one comes first.
    const std::int64_t step = options_.election_timeout.ns / 10;
    const std::int64_t most =
        std::min(options_.election_backoff_max.ns, step << std::min(++retries_, 10));
    become(Role::voted, state_);
    timer_ = now_ + Duration{random_.between(0, std::max<std::int64_t>(most, 1))};
    return true;
  }
  wake_at(timer_);
  ask_for_votes(false);
  return false;
}

void Core::ask_for_votes(bool pre_vote) {
  for (const ReplicaKey& voter : voters()) {
    if (voter.id == options_.self.id || peers_.at(voter.id).done || !may_send(voter.id)) continue;
    send(voter.id, VoteRequest{epoch(), options_.self, voter, log_.last(), pre_vote});
  }
}

void Core::become_leader() {
  ASSERT(role_ == Role::candidate);
  become(Role::leader, {state_.epoch, options_.self.id, std::nullopt});
  retries_ = 0;
  timer_ = Instant::never();
  elected_ = unflushed_since_ = now_;
  // What replicas had in an older epoch they may have truncated since.
  if (!DRAVE_CANARY("stale-acks-counted")) progress_.clear();
}

// --- Beginning and end of an epoch, as told by its leader

// One stranger's word would otherwise use up all epochs that there are.
bool Core::is_plausible(LeaderEpoch epoch) const {
  return 0 <= epoch && epoch <= kEpochMax && epoch - state_.epoch <= kEpochLeapMax;
}

bool Core::would_follow(LeaderEpoch epoch, NodeId leader) const {
  const bool is_epoch = state_.epoch <= epoch && is_plausible(epoch);
  if (!is_epoch || leader < 0 || leader == options_.self.id) return false;
  return epoch > state_.epoch || state_.leader < 0 || state_.leader == leader;
}

EpochReply Core::begin_epoch(const BeginEpochRequest& request) {
  if (request.epoch < state_.epoch) return epoch_reply(ErrorCode::fenced_leader_epoch);
  if (!would_follow(request.epoch, request.leader)) return epoch_reply(ErrorCode::invalid_request);
  const bool is_known = request.epoch == state_.epoch && state_.leader >= 0;
  if (!is_known || role_ != Role::follower) become_follower(request.epoch, request.leader);
  const bool is_meant = request.voter.id < 0 || request.voter.matches(options_.self);
  return epoch_reply(is_meant ? ErrorCode::none : ErrorCode::invalid_voter_key);
}

EpochReply Core::end_epoch(const EndEpochRequest& request) {
  if (request.epoch < state_.epoch) return epoch_reply(ErrorCode::fenced_leader_epoch);
  if (!would_follow(request.epoch, request.leader)) return epoch_reply(ErrorCode::invalid_request);
  const bool is_known = request.epoch == state_.epoch && state_.leader >= 0;
  if (!is_known) become_follower(request.epoch, request.leader);
  if (role_ != Role::follower) return epoch_reply(ErrorCode::none);
  leader_left_ = true;
  if (leaving_) return epoch_reply(ErrorCode::broker_not_available);  // let it choose another
  const auto& list = request.successors;
  const auto found = std::find_if(list.begin(), list.end(), [this](const ReplicaKey& each) {
    return each.matches(options_.self);
  });
  const std::int64_t most = options_.election_backoff_max.ns;
  if (found == list.begin() && !list.empty() && may_campaign()) {
    become_candidate();  // the leader has chosen: nobody need be asked first
  } else if (found != list.end()) {
    // Twice as long for each place; the last one waits longest.
    const auto behind = std::min<std::ptrdiff_t>(list.end() - found - 1, 62);
    timer_ = std::min(timer_, now_ + Duration{most >> behind});
  } else {
    timer_ = std::min(timer_, draw(Duration{most}));
  }
  return epoch_reply(ErrorCode::none);
}

// Somebody, perhaps a voter that was removed, is in an epoch that was never begun here, and could
// not follow this leader: it leads on in a newer one. Its followers know that it does not leave.
void Core::outbid(LeaderEpoch epoch) {
  ASSERT(is_leader());
  become_unattached(epoch);
  if (may_campaign()) become_candidate();
}

// --- Having led

bool Core::advance_resigned() {
  if (may_stand() && now_ >= timer_) {
    if (may_campaign()) {
      become_prospective();
      return true;
    }
    timer_ = draw(options_.election_timeout);
  }
  if (may_stand()) wake_at(timer_);
  for (const ReplicaKey& voter : voters()) {
    if (voter.id == options_.self.id || peers_.at(voter.id).done || !may_send(voter.id)) continue;
    send(voter.id, EndEpochRequest{epoch(), options_.self.id, successors_});
  }
  if (!may_stand()) look_for_leader();
  return false;
}

}  // namespace drave::raft
