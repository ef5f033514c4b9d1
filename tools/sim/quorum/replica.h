#pragma once
// One node of a simulated quorum: a consensus core, its log, its disk, and what it wants to say. It
// does at once what the core's effects ask in memory; whoever owns it delivers its messages and
// finishes its disk's writes, when and whether that happens.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "raftlog/core/core.h"
#include "tools/sim/quorum/disk.h"

namespace drave::simulation::quorum {

struct Message {
  NodeId from = -1;
  NodeId to = -1;
  std::uint64_t from_life = 0;  // of the sender; what a life sent, another one may still get
  std::uint64_t id = 0;         // of the request, also in its reply
  bool is_request = false;
  raft::Request request;
  raft::Reply reply;
  std::vector<Entry> entries;        // of a reply to a fetch
  std::optional<Snapshot> snapshot;  // of the last chunk of a snapshot
};

// Watches what replicas do (checker.h).
class Watcher {
 public:
  virtual void on_step(class Replica& replica, const raft::Effects& effects) = 0;
  virtual void on_request(class Replica& replica, const raft::Request& request) = 0;
  virtual void on_reply(class Replica& replica, const raft::Request& request,
                        const raft::Reply& reply) = 0;

 protected:
  ~Watcher() = default;
};

class Replica {
 public:
  Replica(raft::ReplicaKey key, raft::VoterSet formatted, Watcher& watcher);

  // Starts from what the disk holds. `options` lacks `self` only.
  void boot(Instant now, raft::CoreOptions options);
  // The process is gone, and with it what its disk had not finished.
  Disk::Fate crash(Random& random);
  // The disk is replaced by an empty one of another identity, formatted to join; not running. Where
  // the configuration names the voters it still does.
  void wipe(Uuid directory_id);
  // What the disk holds before the first boot: records of these epochs, the same on every node that
  // has the same ones.
  void preload(LeaderEpoch epoch, const std::vector<LeaderEpoch>& records);
  // The next crash() loses all that is not durable.
  void lose_unflushed() {
    disk_.lose_writes();
    disk_.lose_saves();
  }
  bool is_running() const { return core_ != nullptr; }

  void step(Instant now, const raft::Event& event);
  void deliver(Instant now, const Message& message);
  // Returns the offset; nothing if this node does not take appends now.
  std::optional<Offset> propose(Instant now, std::uint64_t value);
  // As long as the log takes nothing in, a control batch waits, as in the driver: the epoch of a
  // leader is not begun, a change of voters is not there. Returns whether one was appended now.
  bool take_controls(Instant now, bool takes);
  // As an administrator. Outcome by reply to id kAdministrator.
  void change_voter(Instant now, raft::ChangeVoterRequest request);
  void finish_writes(Instant now, std::size_t count);
  void finish_save(Instant now);
  // A flush fails: the node must end. Returns false if it (wrongly) tried again and went on.
  bool fail_flush(Instant now);
  // Writes a snapshot of what is committed and flushed. The log then begins at it, or, with
  // `keep_one`, at the snapshot before it. Returns whether there was anything for one.
  bool snapshot(bool keep_one);

  const raft::ReplicaKey& key() const { return key_; }
  NodeId id() const { return key_.id; }
  const raft::Core& core() const { return *core_; }
  const Log& log() const { return log_; }
  const Disk& disk() const { return disk_; }
  std::uint64_t life() const { return life_; }
  std::vector<Message>& outbox() { return outbox_; }
  // Outcomes of change_voter since they were last taken.
  std::vector<raft::ChangeVoterReply>& outcomes() { return outcomes_; }
  bool has_failed() const { return !fatal_.empty(); }
  const std::string& fatal() const { return fatal_; }
  std::uint64_t fetch_batches_max = 16;
  std::int64_t snapshot_chunks = 3;

 private:
  struct Pending {  // a request that is being answered
    NodeId from = -1;
    std::uint64_t id = 0;
    raft::Request request;
  };

  void perform(const Message* received);
  void save(const raft::SaveState& save);
  void append(Entry entry);
  void append_control(const raft::ControlBatch& batch);
  void note_kraft_version();
  void send_replies();
  void fill(Message& message, const raft::Request& request);
  void finished(const Disk::Write& write);
  void take(const Message& request);

  raft::ReplicaKey key_;
  Watcher& watcher_;
  Disk disk_;
  Log log_;  // as in memory
  std::unique_ptr<raft::Core> core_;
  raft::Effects effects_;
  Instant now_;
  std::uint64_t life_ = 0;
  std::uint64_t next_token_ = 1;
  std::map<std::uint64_t, Pending> pending_;
  std::deque<raft::Event> follow_ups_;  // of effects that are done at once
  std::vector<Message> outbox_;
  std::vector<raft::ChangeVoterReply> outcomes_;
  std::optional<Snapshot> arriving_;
  bool takes_controls_ = true;
  std::optional<raft::ControlBatch> waiting_;  // until the log takes it
  std::int16_t told_kraft_version_ = 1;        // to the core
  std::string fatal_;
};

}  // namespace drave::simulation::quorum
