// Changes of the voter set: one at a time, of one replica, behind a committed entry of the own
// epoch. And the one that names the directories of all.
#include <algorithm>

#include "base/assert.h"
#include "base/canary.h"
#include "raftlog/core/core.h"

namespace drave::raft {

void Core::change_voter(std::uint64_t token, const ChangeVoterRequest& request) {
  using Kind = ChangeVoterRequest::Kind;
  const ErrorCode error = may_change(request);
  if (error != ErrorCode::none) {
    reply(token, ChangeVoterReply{error, epoch(), leader()});
    return;
  }
  VoterSet changed = voters();
  if (request.kind == Kind::add) changed.push_back(request.voter);
  if (request.kind == Kind::remove) std::erase(changed, request.voter);
  const bool upgrades = request.kind == Kind::upgrade;
  if (upgrades) changed = request.voters;
  change_ = VoterChange{token, -1, false, request.ack_when_committed, now_ + request.timeout};
  if (request.kind == Kind::update) change_->ack_when_committed = false;
  append_control({epoch(), false, {}, std::move(changed), upgrades});
}

ErrorCode Core::may_change(const ChangeVoterRequest& request) const {
  const ErrorCode error = check_change(request);
  return error == ErrorCode::none ? check_voter(request) : error;
}

// Whether a change may begin at all. What passes with time is REQUEST_TIMED_OUT, as Kafka has it.
ErrorCode Core::check_change(const ChangeVoterRequest& request) const {
  if (!is_leader()) return ErrorCode::not_leader_or_follower;
  if (request.epoch >= 0 && request.epoch != epoch())
    return request.epoch < epoch() ? ErrorCode::fenced_leader_epoch
                                   : ErrorCode::unknown_leader_epoch;
  if (change_.has_value() || appending_.has_value() || !may_append())
    return ErrorCode::request_timed_out;
  const bool is_early = DRAVE_CANARY("early-voter-change");
  if (!is_early && !has_committed()) return ErrorCode::request_timed_out;
  const bool upgrades = request.kind == ChangeVoterRequest::Kind::upgrade;
  if (upgrades != (kraft_version_ < 1)) return ErrorCode::unsupported_version;
  if (!is_early && log_.voters_offset() >= high_watermark_) return ErrorCode::request_timed_out;
  return ErrorCode::none;
}

ErrorCode Core::check_voter(const ChangeVoterRequest& request) const {
  using Kind = ChangeVoterRequest::Kind;
  if (request.kind == Kind::upgrade) {
    const bool are_the_same =
        std::equal(voters().begin(), voters().end(), request.voters.begin(), request.voters.end(),
                   [](const ReplicaKey& before, const ReplicaKey& after) {
                     return before.matches(after) && !after.directory_id.is_zero();
                   });
    if (!are_the_same) return ErrorCode::invalid_request;
    // Who fetches from another disk by now could not be counted; it tells of that one before long.
    for (const ReplicaKey& voter : request.voters) {
      const Progress* newest = find_progress({voter.id, Uuid()});
      if (voter.id != options_.self.id && newest != nullptr && !newest->key.matches(voter))
        return ErrorCode::request_timed_out;
    }
    return ErrorCode::none;
  }
  const bool is_member =
      std::find(voters().begin(), voters().end(), request.voter) != voters().end();
  if (request.kind == Kind::update) return is_member ? ErrorCode::none : ErrorCode::voter_not_found;
  if (request.kind == Kind::remove)
    return is_member && voters().size() > 1 ? ErrorCode::none : ErrorCode::voter_not_found;
  const bool has_id = std::any_of(voters().begin(), voters().end(), [&](const ReplicaKey& each) {
    return each.id == request.voter.id;
  });
  if (has_id) return ErrorCode::duplicate_voter;
  if (request.voter.id < 0 || voters().size() >= kVotersMax) return ErrorCode::invalid_request;
  return has_caught_up(request.voter) ? ErrorCode::none : ErrorCode::request_timed_out;
}

// A replica that lacks what is committed would stand in the way of everything until it has it.
bool Core::has_caught_up(const ReplicaKey& key) const {
  const Progress* progress = find_progress(key);
  return progress != nullptr && progress->caught_up != Instant{} && progress->end >= epoch_start_ &&
         now_ < progress->fetched + options_.fetch_timeout;
}

void Core::advance_change() {
  if (!change_.has_value()) return;
  if (!change_->replied && change_->end >= 0 && !change_->ack_when_committed) {
    change_->replied = true;
    reply(change_->token, ChangeVoterReply{ErrorCode::none, epoch(), leader()});
  }
  if (change_->replied) return;
  if (now_ < change_->until) {
    wake_at(change_->until);
    return;
  }
  // The change goes on, but nobody waits for it any more.
  change_->replied = true;
  reply(change_->token, ChangeVoterReply{ErrorCode::request_timed_out, epoch(), leader()});
}

void Core::end_change(ErrorCode error) {
  if (!change_.has_value()) return;
  if (!change_->replied) reply(change_->token, ChangeVoterReply{error, epoch(), leader()});
  change_.reset();
}

}  // namespace drave::raft
