#pragma once
// A node of a simulated quorum that runs the real driver: log directory, RaftLog, server. What it
// applies and what it acknowledges goes to a Ledger outside of all nodes, which finds
// contradictions.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/scope.h"
#include "io/sim/world.h"
#include "io/sync.h"
#include "raftlog/format.h"
#include "raftlog/net/rpc_server.h"
#include "raftlog/raft_log.h"

namespace drave::simulation {

inline constexpr std::uint16_t kRaftPort = 9093;
inline constexpr const char* kRaftDirectory = "/data";

// What every node agrees on, whatever became of it.
//
// Invariants: states-differ, acknowledged-entry-lost, applied-not-durable, two-leaders,
// vote-changed, vote-not-durable.
class Ledger {
 public:
  // The last acknowledgement, and who was to have the entry on disk by then: the voters at its
  // offset, or those of the end of the leader's log.
  struct Acknowledged {
    Offset end = 0;
    std::vector<raft::ReplicaKey> voters_then;
    std::vector<raft::ReplicaKey> voters_now;
  };

  // A node has applied this; the same offset never holds two values.
  void apply(Offset offset, std::string_view value, NodeId by);
  // A node has applied a control batch, which is no value.
  void apply_control(Offset offset, NodeId by);
  // A node's log ends there when it starts; before, it had applied more as a follower, which was
  // flushed by then.
  void applied_lost(NodeId node, Offset end, Offset applied);
  // Somebody was told that it is committed.
  void acknowledge(std::string_view value, Acknowledged by);
  // A node knows this leader (R1).
  void note_leader(LeaderEpoch epoch, NodeId leader, NodeId by);
  // A voter has promised its vote, or asks for others' as a candidate (R2).
  void note_vote(const raft::ReplicaKey& voter, LeaderEpoch epoch, NodeId candidate);
  // What its disk says when it starts again: never less than it has promised.
  void recovered(const raft::ReplicaKey& voter, const raft::ElectionState& state);
  // Who got this replica's last vote, and in which epoch.
  struct Vote {
    LeaderEpoch epoch = 0;
    NodeId candidate = -1;
  };
  std::optional<Vote> last_vote(const raft::ReplicaKey& voter) const;

  const std::map<Offset, std::string>& applied() const { return applied_; }
  std::size_t acknowledged() const { return acknowledged_.size(); }
  const Acknowledged& last_acknowledged() const { return last_acknowledged_; }
  std::size_t votes() const { return votes_.size(); }
  // "invariant: detail". Empty: nothing is wrong.
  const std::string& violation() const { return violation_; }

 private:
  using Key = std::pair<NodeId, std::string>;  // of a replica: id and directory

  static Key key_of(const raft::ReplicaKey& replica);
  void violate(std::string violation);

  std::map<Offset, std::string> applied_;
  std::set<Offset> acknowledged_;
  Acknowledged last_acknowledged_;
  std::map<LeaderEpoch, NodeId> leaders_;
  std::map<std::pair<Key, LeaderEpoch>, NodeId> votes_;
  std::string violation_;
};

class RaftPeer final : public raft::RaftListener, public raft::RpcHandler {
 public:
  struct Options {
    NodeId id = -1;
    Uuid directory_id;
    std::string cluster_id = "q4x9lwHTRwKFrQ69LT3_Sg";
    std::vector<raft::InitialController> voters;  // as formatted; empty: it joins later
    raft::RaftOptions raft;                       // what else differs from the defaults
    std::int64_t tail_bytes_max = 4 * kMiB;
    std::int16_t vote_version_max = 2;  // 1: an older program, without pre-vote
  };
  RaftPeer(io::sim::Node& node, Options options, Ledger& ledger);

  // Boots the node; formats its disk first, if that was not done.
  void start();
  // The disk is replaced by an empty one.
  void wipe(Uuid directory_id);
  io::sim::Node& node() { return node_; }
  NodeId id() const { return options_.id; }
  const Uuid& directory_id() const { return options_.directory_id; }
  Options& options() { return options_; }

  // --- Of a running node
  bool is_running() const { return log_ != nullptr && node_.is_running(); }
  raft::RaftLog& log() { return *log_; }
  io::Scope& scope() { return *scope_; }  // for tasks of its life
  bool is_leader() const { return is_running() && log_->is_leader(); }
  // Where its log ended when this life opened it; nothing: it did not.
  std::optional<Offset> opened_end() const { return opened_end_; }
  // How far it has applied.
  Offset applied_end() const { return applied_end_; }
  const std::map<Offset, std::string>& state() const { return state_; }
  std::size_t snapshots_loaded() const { return snapshots_loaded_; }
  std::optional<Error> failed() const { return failed_; }
  // Proposes a value; its outcome goes to the ledger.
  void propose(std::string value);
  std::size_t proposals_lost() const { return proposals_lost_; }
  // Where the control batches are that it was given in this life.
  const std::vector<Offset>& controls() const { return controls_; }
  // Writes a snapshot of what it has applied.
  void snapshot();

  // raft::RaftListener
  Result<void> on_snapshot(ByteView batches, OffsetAndEpoch id) override;
  Result<bool> on_batch(const protocol::BatchView& batch) override;
  void on_high_watermark(Offset high_watermark) override;
  void on_leading(LeaderEpoch epoch) override;
  void on_resigned(Offset committed) override {
    on_high_watermark(committed);
    leads_ = false;
  }
  void on_leader_changed(NodeId leader, LeaderEpoch epoch) override;
  void on_failed(const Error& error) override;
  // raft::RpcHandler
  io::Task<void> serve(raft::RpcExchange& exchange) override;

 private:
  struct Pending : raft::Proposal {
    RaftPeer* peer = nullptr;
    std::string text;
  };

  io::Task<void> run(io::sim::Process& process);
  io::Task<Result<void>> run_log(io::sim::Process& process);
  io::Task<void> serve_vote(raft::RaftLog& log, raft::RpcExchange& exchange);
  io::Task<void> ask_for_promised(raft::RaftLog& log, Ledger::Vote promised);
  raft::ReplicaKey key() const { return {options_.id, options_.directory_id}; }
  void note_opened();
  static void proposal_done(raft::Proposal& proposal, const Error* error);
  io::Task<void> write_snapshot(OffsetAndEpoch id, std::vector<std::uint8_t> bytes);
  void apply(Offset offset, std::string_view value);
  void forget_life();
  void note_applied(Offset end, LeaderEpoch epoch);

  io::sim::Node& node_;
  Options options_;
  Ledger& ledger_;
  io::sim::Process* process_ = nullptr;
  std::unique_ptr<raft::RaftLog> log_;
  std::unique_ptr<io::Scope> scope_;
  io::Gate* stop_ = nullptr;
  std::map<Offset, std::string> state_;
  std::optional<Offset> opened_end_;
  Offset applied_end_ = 0;
  bool has_led_ = false;    // in this life: a leader's own disk may be the last one
  Offset durable_end_ = 0;  // what it applied in lives in which it did not lead
  Offset begun_ = -1;       // the base of the last batch of which a piece was taken
  LeaderEpoch applied_epoch_ = 0;
  bool leads_ = false;
  LeaderEpoch led_epoch_ = 0;
  std::vector<Offset> controls_;
  std::size_t snapshots_loaded_ = 0;
  std::size_t proposals_lost_ = 0;
  std::optional<Error> failed_;
};

// `options` with the nodes 1 to `voters` as a static quorum (kraft.version 0).
raft::RaftOptions with_static_voters(raft::RaftOptions options, std::size_t voters);

// Nodes numbered from 1, all of them voters but for those that are said to join later.
class RaftCluster {
 public:
  RaftCluster(std::uint64_t seed, std::size_t voters, std::size_t others,
              const raft::RaftOptions& options, io::sim::WorldOptions world = {});
  ~RaftCluster();  // kills what runs

  io::sim::World& world() { return world_; }
  Ledger& ledger() { return ledger_; }
  std::size_t size() const { return peers_.size(); }
  RaftPeer& peer(std::size_t index) { return *peers_[index]; }
  void start_all();
  // All lose their power at this moment, those that are down as well.
  void cut_power();
  // After that: all are started, and a majority of the voters must find what was acknowledged last
  // (D1). Who does not open its log in time is taken to have it. Returns how many have it, and of
  // how many; nothing: that is a majority.
  std::optional<std::string> find_lost_acknowledged(Duration most);
  // The one that leads in the newest epoch; null: nobody.
  RaftPeer* leader();
  bool run_until(const std::function<bool()>& done, Duration most) {
    return world_.run_until(done, most);
  }
  // Waits for a leader; null: there was none in time.
  RaftPeer* await_leader(Duration most);
  // Proposes a value at the leader and waits until it is acknowledged.
  bool commit(std::string value, Duration most);
  // Until all that run have applied the same.
  bool await_agreement(Duration most);

 private:
  bool has_durable(const raft::ReplicaKey& voter, Offset end) const;
  std::size_t count_durable(const std::vector<raft::ReplicaKey>& voters, Offset end) const;

  io::sim::World world_;
  Ledger ledger_;
  std::vector<std::unique_ptr<RaftPeer>> peers_;
};

}  // namespace drave::simulation
