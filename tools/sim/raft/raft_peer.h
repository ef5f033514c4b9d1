#pragma once
// A node of a simulated quorum that runs the real driver: log directory, RaftLog, server. What it
// applies and what it acknowledges goes to a Ledger outside of all nodes, which finds
// contradictions.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
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

// What every node agrees on.
class Ledger {
 public:
  // A node has applied this; the same offset never holds two values.
  void apply(Offset offset, std::string_view value, NodeId by);
  // Somebody was told that it is committed.
  void acknowledge(Offset offset, std::string_view value);

  const std::map<Offset, std::string>& applied() const { return applied_; }
  std::size_t acknowledged() const { return acknowledged_; }
  // Empty: nothing is wrong.
  const std::string& violation() const { return violation_; }

 private:
  std::map<Offset, std::string> applied_;
  std::size_t acknowledged_ = 0;
  std::string violation_;
};

class RaftPeer final : public raft::RaftListener, public raft::RpcHandler {
 public:
  struct Options {
    NodeId id = -1;
    Uuid directory_id;
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
  Result<void> on_batch(const protocol::BatchView& batch) override;
  void on_high_watermark(Offset high_watermark) override;
  void on_leading(LeaderEpoch epoch) override {
    leads_ = true;
    led_epoch_ = epoch;
  }
  void on_resigned(Offset committed) override {
    on_high_watermark(committed);
    leads_ = false;
  }
  void on_leader_changed(NodeId, LeaderEpoch) override {}
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
  static void proposal_done(raft::Proposal& proposal, const Error* error);
  io::Task<void> write_snapshot(OffsetAndEpoch id, std::vector<std::uint8_t> bytes);
  void apply(Offset offset, std::string_view value);
  void forget_life();

  io::sim::Node& node_;
  Options options_;
  Ledger& ledger_;
  io::sim::Process* process_ = nullptr;
  std::unique_ptr<raft::RaftLog> log_;
  std::unique_ptr<io::Scope> scope_;
  io::Gate* stop_ = nullptr;
  std::map<Offset, std::string> state_;
  Offset applied_end_ = 0;
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
  io::sim::World world_;
  Ledger ledger_;
  std::vector<std::unique_ptr<RaftPeer>> peers_;
};

}  // namespace drave::simulation
