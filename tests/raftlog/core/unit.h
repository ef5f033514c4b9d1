#pragma once
// One core, stepped by hand: what a driver would do is done by the test, or left undone.

#include <optional>
#include <utility>
#include <vector>

#include "raftlog/core/core.h"

namespace drave::raft::testing {

inline const ReplicaKey kSelf{1, {1, 1}};
inline const ReplicaKey kSecond{2, {2, 2}};
inline const ReplicaKey kThird{3, {3, 3}};
inline const ReplicaKey kFourth{4, {4, 4}};
inline const ReplicaKey kFifth{5, {5, 5}};
inline const VoterSet kThree{kSelf, kSecond, kThird};
inline const VoterSet kThreeStatic{{1, {}}, {2, {}}, {3, {}}};  // before kraft.version 1

class Unit {
 public:
  // `epochs` are those of the records that the log holds, up to `end`.
  explicit Unit(VoterSet voters = kThree, ElectionState election = {}, Offset end = 0,
                std::vector<EpochStart> epochs = {}, OffsetAndEpoch snapshot = {-1, -1},
                std::int16_t kraft_version = 1)
      : Unit(options(), std::move(voters), std::move(election), end, std::move(epochs), snapshot,
             kraft_version) {}
  Unit(CoreOptions options, VoterSet voters, ElectionState election = {}, Offset end = 0,
       std::vector<EpochStart> epochs = {}, OffsetAndEpoch snapshot = {-1, -1},
       std::int16_t kraft_version = 1)
      : core_(std::move(options)) {
    Recovered recovered;
    recovered.election = election;
    const OffsetAndEpoch start = snapshot.offset > 0 ? snapshot : OffsetAndEpoch{0, 0};
    recovered.log = LogView(start, end, std::move(epochs), {{-1, std::move(voters)}});
    recovered.snapshot = snapshot;
    recovered.kraft_version = kraft_version;
    core_.start(now_, std::move(recovered), effects_);
    keep();
  }

  static CoreOptions options(std::uint64_t seed = 7) {
    CoreOptions options;
    options.self = kSelf;
    options.seed = seed;
    return options;
  }

  void step(const Event& event) {
    core_.step(now_, event, effects_);
    core_.check_invariants();
    keep();
  }
  void wait(Duration span) {
    now_ = now_ + span;
    step(Tick{});
  }
  // Time passes, and nobody tells the core.
  void pass(Duration span) { now_ = now_ + span; }
  // To the next deadline.
  void wait() {
    now_ = std::max(now_, core_.deadline());
    step(Tick{});
  }
  // From deadline to deadline while it has this role; not for ever.
  void wait_while(Role role) {
    for (int i = 0; i < 10'000 && core_.role() == role; ++i) wait();
  }
  // Does what a working disk does: state saved, control records appended, log flushed.
  void settle() {
    while (save_ || append_) {
      if (save_) step(StateSaved{std::exchange(save_, std::nullopt)->version});
      if (append_) {
        append_.reset();
        append();
      }
    }
  }
  void append(Offset count = 1) {
    const bool control = core_.epoch_start() < 0 || control_wanted_;
    control_wanted_ = false;
    step(Appended{core_.log().end() + count, control});
  }
  void flush() { step(Flushed{core_.log().generation(), core_.log().end()}); }

  // The only reply to the request; nothing if it waits.
  template <class Expected, class Asked>
  std::optional<Expected> ask(Asked request) {
    step(RequestReceived{++token_, std::move(request)});
    return reply<Expected>(token_);
  }
  template <class Expected>
  std::optional<Expected> reply(std::uint64_t token) {
    for (const OutgoingReply& each : effects_.replies) {
      if (each.token == token) return std::get<Expected>(each.reply);
    }
    return std::nullopt;
  }
  std::uint64_t last_token() const { return token_; }
  // Requests of this kind that the last step sent.
  template <class Wanted>
  std::vector<OutgoingRequest> sent() const {
    std::vector<OutgoingRequest> found;
    for (const OutgoingRequest& each : effects_.requests) {
      if (std::holds_alternative<Wanted>(each.request)) found.push_back(each);
    }
    return found;
  }
  VoteReply vote(LeaderEpoch epoch, const ReplicaKey& candidate, OffsetAndEpoch last,
                 bool pre_vote = false) {
    ask<VoteReply>(VoteRequest{epoch, candidate, kSelf, last, pre_vote});
    if (auto now = reply<VoteReply>(token_)) return *now;
    step(StateSaved{std::exchange(save_, std::nullopt)->version});
    return *reply<VoteReply>(token_);
  }
  // A fetch of a replica that waits for nothing.
  std::optional<FetchReply> fetch(const ReplicaKey& replica, Offset offset, LeaderEpoch last_epoch,
                                  LeaderEpoch epoch = -1) {
    return ask<FetchReply>(FetchRequest{epoch < 0 ? core_.epoch() : epoch, replica, offset,
                                        last_epoch, INT64_MAX, Duration{}});
  }
  // Makes this node the leader, with the votes of kSecond, its first record appended.
  void lead() {
    step(CampaignNow{});
    step(StateSaved{std::exchange(save_, std::nullopt)->version});
    grant(kSecond);
    settle();
  }
  // The answer of a voter to the vote request of the last step.
  void grant(const ReplicaKey& voter, bool granted = true) {
    for (const OutgoingRequest& each : asked_) {
      if (each.to != voter.id) continue;
      step(
          ReplyReceived{voter.id, each.id, VoteReply{ErrorCode::none, core_.epoch(), -1, granted}});
      return;
    }
  }
  // Learns of a leader, as BeginQuorumEpoch tells it, and of its being alive by one fetch.
  void follow(const ReplicaKey& leader, LeaderEpoch epoch) {
    ask<EpochReply>(BeginEpochRequest{epoch, leader.id, kSelf});
    settle();
    answer_fetch({});
  }
  // The leader answers the last fetch; epoch and leader are filled in.
  void answer_fetch(FetchReply reply) {
    reply.epoch = core_.epoch();
    reply.leader = core_.leader();
    step(ReplyReceived{core_.leader(), fetched_.id, reply});
  }

  Core& core() { return core_; }
  const Effects& effects() const { return effects_; }
  Instant now() const { return now_; }
  const std::optional<SaveState>& to_save() const { return save_; }
  const OutgoingRequest& last_fetch() const { return fetched_; }
  // The last request that was sent, of any kind.
  const OutgoingRequest& last_request() const { return requested_; }

 private:
  void keep() {
    if (effects_.save) save_ = effects_.save;
    if (effects_.append) {
      append_ = true;
      control_wanted_ = true;
    }
    for (const OutgoingRequest& each : effects_.requests) {
      if (std::holds_alternative<VoteRequest>(each.request)) {
        std::erase_if(asked_, [&](const OutgoingRequest& old) { return old.to == each.to; });
        asked_.push_back(each);
      }
      if (std::holds_alternative<FetchRequest>(each.request)) fetched_ = each;
      requested_ = each;
    }
  }

  Core core_;
  Effects effects_;
  Instant now_{1'000'000'000};
  std::optional<SaveState> save_;
  std::optional<bool> append_;
  bool control_wanted_ = false;
  std::vector<OutgoingRequest> asked_;
  OutgoingRequest fetched_;
  OutgoingRequest requested_;
  std::uint64_t token_ = 0;
};

}  // namespace drave::raft::testing
