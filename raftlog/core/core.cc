#include "raftlog/core/core.h"

#include <algorithm>

#include "base/assert.h"

namespace drave::raft {

Core::Core(ReplicaKey self, std::vector<ReplicaKey> voters)
    : self_(self), voters_(std::move(voters)) {}

bool Core::is_voter() const {
  return std::any_of(voters_.begin(), voters_.end(),
                     [this](const ReplicaKey& voter) { return voter.matches(self_); });
}

void Core::start(const ElectionState& durable, OffsetAndEpoch log_end) {
  durable_ = durable;
  log_end_ = log_end;
  flushed_ = log_end.offset;
  if (log_end.epoch > durable.epoch) {
    // The file was lost: whatever was voted in older epochs does not matter any more.
    state_ = {log_end.epoch, -1, std::nullopt};
    role_ = Role::unattached;
    return;
  }
  state_ = durable;
  if (durable.leader == self_.id)
    role_ = Role::resigned;
  else if (durable.leader >= 0)
    role_ = Role::follower;
  else
    role_ = Role::unattached;
}

void Core::campaign() {
  if (role_ == Role::leader || !is_voter()) return;
  state_ = {state_.epoch + 1, -1, self_};
  role_ = Role::candidate;
  high_watermark_ = -1;
  epoch_start_ = -1;
  votes_.clear();
  replicated_.clear();
  effects_.persist = state_;
}

void Core::persisted(const ElectionState& state) {
  durable_ = state;
  if (effects_.persist == state) effects_.persist.reset();
  if (state.epoch != state_.epoch) return;
  // The own vote counts once it is durable.
  if (role_ == Role::candidate && state.voted.has_value() && state.voted->matches(self_)) {
    if (std::find(votes_.begin(), votes_.end(), self_.id) == votes_.end())
      votes_.push_back(self_.id);
    win_if_elected();
  } else if (role_ == Role::leader && state.leader == self_.id && epoch_start_ < 0) {
    effects_.begin_epoch = true;
  }
}

void Core::vote_granted(const ReplicaKey& voter, LeaderEpoch epoch) {
  if (role_ != Role::candidate || epoch != state_.epoch) return;
  const bool known = std::any_of(voters_.begin(), voters_.end(),
                                 [&voter](const ReplicaKey& each) { return each.matches(voter); });
  if (!known || std::find(votes_.begin(), votes_.end(), voter.id) != votes_.end()) return;
  votes_.push_back(voter.id);
  win_if_elected();
}

void Core::win_if_elected() {
  if (votes_.size() < majority()) return;
  role_ = Role::leader;
  state_ = {state_.epoch, self_.id, std::nullopt};
  effects_.persist = state_;
}

void Core::appended(Offset end) {
  ASSERT(role_ == Role::leader);
  ASSERT(end > log_end_.offset);
  ASSERT(durable_.epoch == state_.epoch);
  if (epoch_start_ < 0) {
    epoch_start_ = log_end_.offset;
    effects_.begin_epoch = false;
  }
  log_end_ = {end, state_.epoch};
}

void Core::flushed(Offset end) {
  if (end <= flushed_) return;
  flushed_ = end;
  move_high_watermark();
}

void Core::fetched(const ReplicaKey& voter, Offset offset) {
  if (role_ != Role::leader || voter.id == self_.id) return;
  Offset& known = replicated_[voter.id];
  if (offset <= known || offset > log_end_.offset) return;
  known = offset;
  move_high_watermark();
}

Offset Core::replicated(const ReplicaKey& voter) const {
  if (voter.matches(self_)) return flushed_;
  const auto found = replicated_.find(voter.id);
  return found == replicated_.end() ? -1 : found->second;
}

void Core::move_high_watermark() {
  if (role_ != Role::leader || epoch_start_ < 0) return;
  std::vector<Offset> offsets;
  for (const ReplicaKey& voter : voters_) offsets.push_back(replicated(voter));
  std::sort(offsets.begin(), offsets.end(), std::greater<>());
  const Offset majority_has = offsets[majority() - 1];
  // Entries of older epochs are committed by one of this epoch above them, never by counting.
  if (majority_has <= epoch_start_ || majority_has <= high_watermark_) return;
  high_watermark_ = majority_has;
  effects_.high_watermark_moved = true;
}

void Core::adopt(LeaderEpoch epoch) {
  state_ = {epoch, -1, std::nullopt};
  role_ = Role::unattached;
  high_watermark_ = -1;
  epoch_start_ = -1;
  votes_.clear();
  replicated_.clear();
  effects_ = Effects{};
  effects_.persist = state_;
}

VoteReply Core::vote_requested(const VoteRequest& request) {
  if (request.epoch < state_.epoch) return {state_.epoch, state_.leader, false};
  if (request.epoch > state_.epoch) adopt(request.epoch);
  bool grant = false;
  if (role_ == Role::unattached) {
    const auto mine = std::pair(log_end_.epoch, log_end_.offset);
    const auto theirs = std::pair(request.last.epoch, request.last.offset);
    grant = state_.voted.has_value() ? *state_.voted == request.candidate : theirs >= mine;
    if (grant && !state_.voted.has_value()) {
      state_.voted = request.candidate;
      effects_.persist = state_;
    }
  }
  return {state_.epoch, state_.leader, grant};
}

void Core::resign() {
  if (role_ == Role::leader || role_ == Role::candidate) role_ = Role::resigned;
  effects_ = Effects{};
}

Effects Core::effects() {
  Effects taken = effects_;
  effects_.high_watermark_moved = false;
  effects_.begin_epoch = false;
  return taken;
}

}  // namespace drave::raft
