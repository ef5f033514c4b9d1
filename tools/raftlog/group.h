#pragma once
// One replicated log of a node, with a state machine that does nothing, and those that propose to
// it.
//
// A proposer has one proposal under way at a time; when it is committed it proposes again. They sit
// in the process of whoever leads: on another node they wait.

#include <cstdint>
#include <memory>
#include <vector>

#include "base/histogram.h"
#include "io/loop.h"
#include "raftlog/raft_log.h"

namespace drave::raft {

// What proposers saw, of all groups of a node.
struct Measured {
  bool is_on = false;
  Instant begun;
  Duration cpu_begun;
  std::uint64_t commits = 0;
  std::uint64_t errors = 0;
  Histogram latency_ns;  // from the call until it is committed
};

struct Load {
  std::size_t size = 16;             // bytes of a value, at least 8
  std::uint32_t in_flight = 0;       // proposers
  std::uint64_t count = UINT64_MAX;  // proposals to begin
};

class Group final : public RaftListener {
 public:
  Group(io::Loop& loop, Measured& measured) : loop_(loop), measured_(measured) {}
  ~Group();
  Group(const Group&) = delete;

  // The log that this listens to; null before open() and after stop().
  void set_log(RaftLog* log) { log_ = log; }
  RaftLog* log() const { return log_; }

  // Proposers begin as soon as this node leads.
  void begin(const Load& load);
  // They end with what they have under way.
  void end() { load_.count = 0; }
  bool is_idle() const { return active_count_ == 0; }

  bool is_leading() const { return is_leading_; }
  Instant led_since() const { return led_since_; }
  // Records that were delivered, and bytes of their values.
  std::uint64_t delivered_count() const { return delivered_count_; }
  std::uint64_t delivered_bytes() const { return delivered_bytes_; }
  bool has_failed() const { return has_failed_; }

  Result<void> on_snapshot(ByteView batches, OffsetAndEpoch id) override;
  Result<bool> on_batch(const protocol::BatchView& batch) override;
  void on_high_watermark(Offset) override {}
  void on_leading(LeaderEpoch epoch) override;
  void on_resigned(Offset committed) override;
  void on_leader_changed(NodeId, LeaderEpoch) override {}
  void on_failed(const Error& error) override;

 private:
  struct Proposer : Proposal {
    Group* group = nullptr;
    Instant begun;
    bool is_active = false;
    std::vector<std::uint8_t> bytes;
  };
  static void on_done(Proposal& proposal, const Error* error);
  void resume();
  void propose(Proposer& proposer, Instant now);

  io::Loop& loop_;
  Measured& measured_;
  RaftLog* log_ = nullptr;
  Load load_;
  std::uint64_t begun_count_ = 0;
  std::vector<std::unique_ptr<Proposer>> proposers_;
  std::size_t active_count_ = 0;
  bool is_leading_ = false;
  bool has_failed_ = false;
  Instant led_since_;
  std::uint64_t delivered_count_ = 0;
  std::uint64_t delivered_bytes_ = 0;
};

}  // namespace drave::raft
