#pragma once
// Consensus as one step function: what happened goes in, what must be done comes out. No I/O, no
// clock, no randomness of its own: an event comes with the time, and timeouts are drawn from a
// seed. Nothing grows without a bound (limits.h). Kafka's KRaft protocol, for any number of voters.
//
// The driver (raftlog/raft_log.h) owns log, quorum-state, snapshots and connections. It does what
// Effects say, in their order, and reports back by events; and it steps a Tick at deadline().
//
//   core.step(now, event, effects);   // effects are cleared first
//
// What the core guarantees, whatever is lost, doubled, delayed or crashes (tests/raftlog/core,
// drave-sim's scenario `quorum`):
// - The epoch never falls, and a vote is cast once in an epoch. Both are one record (save), durable
//   before any reply leaves that promises them, before the node asks for votes, and before anything
//   of the epoch is appended.
// - Votes go only to candidates whose log is at least as long, epoch before offset. A candidate
//   that was restarted does not ask again in its epoch: its log may be shorter than it said.
// - A leader that was restarted neither leads nor votes in the epoch it led.
// - The leader never truncates. A replica truncates only what contradicts the leader, and never
//   below the high watermark (fatal, then).
// - The high watermark moves over entries of the leader's own epoch only, never back, and counts a
//   replica by what it has flushed, the leader included: a Fetch says "durable up to here".
// - One change of voters at a time, of one replica, and only behind a committed entry of the own
//   epoch. A voter set counts from the moment it is appended, and goes with a truncation. The step
//   from kraft.version 0 to 1 is such a change: of the same voters, with their directories.
//
// How it stays available:
// - Before it takes a new epoch a node asks whether it would be elected (pre-vote). Who has heard
// of
//   a leader within a fetch timeout refuses, and refuses real votes of newer epochs alike, without
//   taking their epoch (stickiness).
// - A leader that a majority did not fetch from for 1.5 fetch timeouts, or whose disk does not
//   finish a write for a fetch timeout, resigns and names successors. A voter that asks again for
//   what it was sent does not hear this leader, and does not count.
// - A node that is no voter stands all the same while voters whose logs are shorter ask for its
//   vote. Elected, it leads until a majority has all of its log.
// - An epoch that is far ahead is taken from nobody who was not asked (kEpochLeapMax).
// - All timeouts are drawn from [t, 2t), so that nodes that stopped together do not wake together.
//   A connection that ended shortens the wait; a pre-vote then asks the others.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/random.h"
#include "base/units.h"
#include "raftlog/core/events.h"
#include "raftlog/core/limits.h"
#include "raftlog/core/log_view.h"
#include "raftlog/core/messages.h"
#include "raftlog/core/peers.h"
#include "raftlog/core/state.h"

namespace drave::raft {

// Names and values are those of Kafka's controller.quorum.*.
struct CoreOptions {
  ReplicaKey self;
  bool voter_role = true;  // false: it stands for leadership never, whatever a voter set says
  std::uint64_t seed = 0;
  Duration election_timeout = seconds(1);
  Duration fetch_timeout = seconds(2);
  Duration election_backoff_max = seconds(1);
  Duration request_timeout = seconds(2);
  Duration retry_backoff = milliseconds(20);
  Duration fetch_wait = milliseconds(500);
  std::vector<NodeId> bootstrap;  // how the driver names servers that may know the leader
};

// What the disk says when a node starts.
struct Recovered {
  ElectionState election;
  LogView log;
  OffsetAndEpoch snapshot{-1, -1};  // the newest; {-1, -1}: none. A bootstrap one (0) is none
  std::int16_t kraft_version = 0;   // of all of the log; 0: voters cannot be changed
};

struct ReplicaView {
  ReplicaKey key;
  Offset log_end = -1;
  Instant last_fetch;      // {0}: never
  Instant last_caught_up;  // {0}: never
};

// What DescribeQuorum tells; of a leader. Observers that have been silent for kObserverKept are
// left out, as in Kafka.
struct QuorumView {
  NodeId leader = -1;
  LeaderEpoch epoch = 0;
  Offset high_watermark = -1;
  std::vector<ReplicaView> voters;
  std::vector<ReplicaView> observers;
};

class Core {
 public:
  // Nothing happens before start().
  explicit Core(CoreOptions options);
  // Once.
  void start(Instant now, Recovered recovered, Effects& effects);
  // `now` never falls; an event that is late counts as of the latest time seen.
  void step(Instant now, const Event& event, Effects& effects);
  // When a Tick is due; never(): not at all.
  Instant deadline() const { return deadline_; }

  Role role() const { return role_; }
  bool is_leader() const { return role_ == Role::leader; }
  LeaderEpoch epoch() const { return state_.epoch; }
  // -1: nobody is known; who led this epoch itself and does so no more knows of nobody.
  NodeId leader() const {
    return state_.leader == options_.self.id && !is_leader() ? -1 : state_.leader;
  }
  const ElectionState& state() const { return state_; }
  // Committed up to here, exclusive; -1: unknown. Never falls.
  Offset high_watermark() const { return high_watermark_; }
  // Of the first record of the epoch that this node leads; -1 before it was appended.
  Offset epoch_start() const { return epoch_start_; }
  // A leader that has begun its epoch and is not handing it over: the driver may append batches.
  bool may_append() const { return is_leader() && epoch_start_ >= 0 && !transfer_.has_value(); }
  // The own epoch has committed something: what is read now is everything that was acknowledged.
  bool has_committed() const { return epoch_start_ >= 0 && high_watermark_ > epoch_start_; }
  const LogView& log() const { return log_; }
  const VoterSet& voters() const { return log_.voters(); }
  bool is_voter() const { return contains(voters(), options_.self); }
  // A voter; or one that an uncommitted change removes, for it may be the only one that has the
  // change; or one whose vote was asked for in vain, so that it is a voter to somebody, and has
  // more than they. Who is not in its own set does not count itself.
  bool may_stand() const;
  bool is_alone() const { return voters().size() == 1 && is_voter(); }
  const ReplicaKey& self() const { return options_.self; }
  // What is known to be on that replica's disk; -1: nothing.
  Offset replicated(const ReplicaKey& key) const;
  QuorumView describe() const;
  // Whether a BeginQuorumEpoch of this leader would be believed now: it is not refused, and what
  // comes with it, the leader's address, is the leader's.
  bool would_follow(LeaderEpoch epoch, NodeId leader) const;
  // What a change of voters would be refused with now; none: it would be begun.
  ErrorCode may_change(const ChangeVoterRequest& request) const;
  // Whether it follows this leader and has what was committed before, so that it may be a voter.
  bool has_caught_up(const ReplicaKey& key) const;
  // Asserts what must hold between steps.
  void check_invariants() const;

 private:
  // What a leader knows of a replica, in its epoch.
  struct Progress {
    ReplicaKey key;
    Offset end = -1;  // durable there
    Instant fetched;
    Instant caught_up;
    Offset leader_end = 0;  // the leader's, when it fetched
  };
  struct Parked {
    std::uint64_t token = 0;
    FetchRequest request;
    Instant until;
  };
  struct Held {
    std::uint64_t version = 0;  // of the state that must be durable first
    OutgoingReply reply;
  };
  struct Ballot {
    std::vector<NodeId> granted;
    std::vector<NodeId> refused;
  };
  struct VoterChange {
    std::uint64_t token = 0;
    Offset end = -1;  // of the Voters record; -1: not appended yet
    bool replied = false;
    bool ack_when_committed = true;
    Instant until;
  };
  struct Transfer {
    NodeId to = -1;
    Instant until;
  };
  struct Download {
    OffsetAndEpoch id;
    std::int64_t position = 0;
    std::int64_t size = -1;  // -1: not known yet
    bool storing = false;    // a chunk is on its way to the disk
  };

  // core.cc: events, roles, what all roles share
  void handle(const Event& event);
  void handle_request(std::uint64_t token, const Request& request);
  void handle_reply(NodeId from, std::uint64_t id, const Reply& reply);
  void handle_failure(NodeId to, std::uint64_t id);
  Duration backoff(ErrorCode error) const;
  void advance();
  bool advance_once();
  void become(Role role, ElectionState state);
  void become_unattached(LeaderEpoch epoch);
  void become_follower(LeaderEpoch epoch, NodeId leader);
  void leave_role();
  void save();
  bool note_epoch(LeaderEpoch epoch, NodeId leader);
  bool is_durable() const { return saved_ >= promised_; }
  void reply(std::uint64_t token, Reply reply);
  void release_replies();
  void send(NodeId to, Request request);
  bool may_send(NodeId to);
  Instant draw(Duration least);
  void wake_at(Instant when);
  void fail(std::string_view reason);
  std::size_t majority() const { return voters().size() / 2 + 1; }
  EpochReply epoch_reply(ErrorCode error) const { return {error, epoch(), leader()}; }

  // election.cc: who leads
  VoteReply vote(const VoteRequest& request);
  bool grant(const VoteRequest& request);
  bool is_up_to_date(OffsetAndEpoch last) const;
  bool hears_leader() const;
  void handle_vote_reply(NodeId from, const VoteReply& reply);
  bool advance_waiting();
  bool advance_prospective();
  bool advance_candidate();
  bool advance_resigned();
  bool may_campaign() const;
  void leave();
  void become_prospective();
  void become_candidate();
  void become_leader();
  void give_up_prospect();
  void ask_for_votes(bool pre_vote);
  void look_for_leader();
  void outbid(LeaderEpoch epoch);
  bool is_plausible(LeaderEpoch epoch) const;
  EpochReply begin_epoch(const BeginEpochRequest& request);
  EpochReply end_epoch(const EndEpochRequest& request);

  // leader.cc: leading
  bool advance_leader();
  void append_control(ControlBatch batch);
  void appended(const Appended& event);
  void handle_fetch(std::uint64_t token, const FetchRequest& request);
  void handle_snapshot_fetch(std::uint64_t token, const SnapshotRequest& request);
  bool is_replica(const ReplicaKey& key) const;
  ErrorCode check_fetcher(LeaderEpoch epoch) const;
  std::optional<FetchReply> mismatch(const FetchRequest& request) const;
  std::optional<FetchReply> news(const FetchRequest& request) const;
  FetchReply nothing_new() const;
  Progress& progress_of(const ReplicaKey& key);
  const Progress* find_progress(const ReplicaKey& key) const;
  std::optional<FetchReply> note_fetch(const FetchRequest& request);
  void note_lost(const FetchRequest& request);
  bool make_room_for(const ReplicaKey& replica);
  void answer_parked();
  void expire_parked();
  void move_high_watermark();
  void raise_high_watermark(Offset to);
  Instant quorum_contact() const;
  // A voter that did not fetch for so long may not know of this leader.
  Duration silence() const { return Duration{options_.fetch_timeout.ns / 2}; }
  std::int64_t majority_reaches() const;
  bool disk_hangs();
  void make_known();
  void hand_over();
  void resign(NodeId first_successor, std::string_view because = {});
  std::vector<ReplicaKey> successors(NodeId first) const;
  void pass_over(NodeId successor);

  // follower.cc: following
  bool advance_follower();
  void fetch_from(NodeId target);
  void handle_fetch_reply(const FetchReply& reply);
  void handle_snapshot_reply(const SnapshotReply& reply);
  void truncate_to_common(OffsetAndEpoch diverging);
  bool append_received(const FetchReply& reply);
  void follow_high_watermark();
  void heard_leader();
  void snapshot_loaded(const SnapshotLoaded& event);

  // membership.cc: changes of voters
  void change_voter(std::uint64_t token, const ChangeVoterRequest& request);
  ErrorCode check_change(const ChangeVoterRequest& request) const;
  ErrorCode check_voter(const ChangeVoterRequest& request) const;
  void advance_change();
  void end_change(ErrorCode error);

  CoreOptions options_;
  Random random_;
  Effects* effects_ = nullptr;  // of the present step
  Instant now_;
  Instant deadline_ = Instant::never();
  bool failed_ = false;
  bool leaving_ = false;

  // What is durable, or will be when it is saved.
  ElectionState state_;
  std::uint64_t asked_ = 0;     // last version handed out to be saved
  std::uint64_t saved_ = 0;     // last version known to be durable
  std::uint64_t promised_ = 0;  // the version that holds the present epoch and vote
  std::vector<Held> held_;
  LogView log_;
  OffsetAndEpoch snapshot_{-1, -1};
  std::int16_t kraft_version_ = 0;
  Offset high_watermark_ = -1;

  Role role_ = Role::unattached;
  Peers peers_;
  Instant timer_ = Instant::never();  // election or fetch timeout of the role
  Instant courted_;                   // when a vote was refused for the log's sake; {0}: never
  Instant look_again_;                // unattached: when the next server is asked for the leader
  int retries_ = 0;                   // elections lost in a row
  Ballot ballot_;                     // prospective, candidate

  // Follower
  Instant contact_;               // last answer of the leader; {0}: none in this epoch
  bool leader_left_ = false;      // it said so, or its connection ended
  Offset leader_watermark_ = -1;  // as the leader last said
  std::optional<Download> download_;
  bool loading_ = false;  // a snapshot is taking the log's place

  // Leader
  Offset epoch_start_ = -1;
  bool epoch_begun_ = false;  // the first batch was asked for
  Instant elected_;
  std::vector<Progress> progress_;
  mutable std::vector<std::int64_t> ranked_;  // for majority_reaches(), which keeps its memory
  std::vector<Parked> parked_;
  std::optional<ControlBatch> appending_;  // asked for, Appended not seen
  std::optional<VoterChange> change_;
  std::optional<Transfer> transfer_;
  Instant unflushed_since_;  // nothing was flushed since, though there is something
  // Resigned
  std::vector<ReplicaKey> successors_;  // as told to the others
  std::vector<NodeId> passed_over_;     // of them: they leave themselves, or are gone
};

}  // namespace drave::raft
