#pragma once
// A simulated quorum: replicas with disks, clocks and links in one thread and one order of events,
// all drawn from a seed. Faults come from outside (faults.h); what must hold is checked by Checker.

#include <cstdint>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "tools/sim/quorum/checker.h"
#include "tools/sim/quorum/network.h"
#include "tools/sim/quorum/replica.h"

namespace drave::simulation::quorum {

struct DiskOptions {
  std::uint64_t write_us = 150;  // of one flush, about
  std::uint64_t slow_one_in = 0;
  std::uint64_t slow_ms = 100;
};

// So many nodes, of which the first are the quorum; the others can join.
struct Shape {
  int nodes = 3;
  int voters = 3;
  // kraft.version 0: the voters are named in every node's configuration, and cannot be changed
  // before they are upgraded.
  bool is_static = false;
};

class Cluster {
 public:
  Cluster(std::uint64_t seed, const Shape& shape, Tally& tally);

  // --- Time
  Instant now() const { return now_; }
  std::uint64_t events() const { return events_; }
  std::uint64_t trace() const { return trace_; }
  // The next event; nothing happens after a violation.
  void step();
  void run_for(Duration span);
  // Runs until `done`, at most `span`. Returns whether it was.
  template <class Done>
  bool run_until(Done done, Duration span) {
    const Instant limit = now_ + span;
    while (!violation() && !done()) {
      if (next_at() > limit) {
        now_ = limit;
        return false;
      }
      step();
    }
    return !violation();
  }
  const std::optional<Violation>& violation() const { return checker_.violation(); }

  // --- Nodes
  int size() const { return static_cast<int>(nodes_.size()); }
  Replica& replica(int node) { return nodes_[static_cast<std::size_t>(node)]->replica; }
  bool is_up(int node) { return replica(node).is_running() && !replica(node).has_failed(); }
  bool is_paused(int node) const { return at(node).paused_until > now_; }
  bool writes(int node) { return replica(node).disk().has_log_writes(); }
  void boot(int node);
  void crash(int node);
  void pause(int node, Duration span);
  void resume(int node);
  void hang_disk(int node, Duration span);
  // It takes nothing more for so long: writes of the log wait, and a quorum-state that cannot be
  // replaced ends the node.
  void fill_disk(int node, Duration span);
  void fail_next_flush(int node) { at(node).fails = true; }
  void wipe(int node);  // of a node that is down
  DiskOptions& disk_options(int node) { return at(node).disk; }
  // A clock that runs that much too fast (or slow): parts per thousand.
  void drift(int node, int per_thousand);
  // Its clock jumps, as over a suspended machine. Backwards it only seems to: the node's clock then
  // stands still for so long.
  void jump(int node, Duration by);
  // The leader of the newest epoch among those that run, or -1.
  int leader();

  // --- Requests
  // At whoever leads, or believes so. Returns whether somebody took it.
  bool propose();
  bool propose_at(int node);
  bool change_voter(raft::ChangeVoterRequest::Kind kind, const raft::ReplicaKey& voter);
  // To kraft.version 1. The leader is told the voters' directories, as they tell it themselves.
  bool upgrade();
  // Returns whether the node took another role or said something at once.
  bool command(int node, const raft::Event& event);
  bool snapshot(int node, bool keep_one);  // returns whether there was something for one

  Network& network() { return network_; }
  Checker& checker() { return checker_; }
  Random& random() { return random_; }
  Tally& tally() { return tally_; }
  // What every node is, for the detail of a violation.
  std::string text();

 private:
  enum class Kind : std::uint8_t { message, lost, tick, log_written, saved, resume };
  struct Event {
    Instant at;
    std::uint64_t order = 0;
    Kind kind = Kind::tick;
    int node = 0;
    std::uint64_t life = 0;
    std::uint64_t argument = 0;
    bool operator>(const Event& other) const {
      return std::pair(at, order) > std::pair(other.at, other.order);
    }
  };
  struct Node {
    explicit Node(Replica made) : replica(std::move(made)) {}
    Replica replica;
    DiskOptions disk;
    int drift = 0;       // per thousand
    Instant drift_from;  // of real time
    Instant local_from;  // of its clock, then
    Instant paused_until;
    Instant hung_until;
    Instant full_until;
    Instant tick_at = Instant::never();
    std::size_t writing = 0;  // of its disk's pending writes
    bool saving = false;
    bool fails = false;
    std::vector<Event> deferred;  // while it is paused
  };

  Node& at(int node) { return *nodes_[static_cast<std::size_t>(node)]; }
  const Node& at(int node) const { return *nodes_[static_cast<std::size_t>(node)]; }
  Instant next_at() const { return queue_.empty() ? Instant::never() : queue_.top().at; }
  Instant local(int node) const;
  Instant real(int node, Instant local) const;
  void schedule(Instant when, Kind kind, int node, std::uint64_t argument = 0);
  void run(const Event& event);
  void log_written(int node);
  void settle(int node);
  void start_writes(int node);
  void send(Message message);
  Duration disk_time(int node, bool is_save);
  void note(std::uint64_t value);
  raft::CoreOptions core_options(int node);

  Random random_;
  Tally& tally_;
  Checker checker_;
  Network network_;
  std::vector<std::unique_ptr<Node>> nodes_;
  Instant now_{1'000'000'000};
  std::uint64_t order_ = 0;
  std::uint64_t events_ = 0;
  std::uint64_t trace_ = 0;
  std::uint64_t next_value_ = 1;
  std::uint64_t next_directory_ = 100;
  std::uint64_t next_message_ = 1;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> queue_;
  std::unordered_map<std::uint64_t, Message> messages_;  // under way
};

}  // namespace drave::simulation::quorum
