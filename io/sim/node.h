#pragma once
// A simulated machine: a disk, clocks, an address, and at most one process.
//
// A process is N shards (backend and loop each), their mailboxes, and a program: a coroutine that
// begins on shard 0. The process ends when the program returns, or when the node crashes.
//
// Crash. kill(): the process is gone, what the kernel held (page cache, bytes in sockets) stays.
// power_cut(): the disk decides about everything that was not durable (sim/disk.h), peers hear
// nothing. Writes in flight have had any part of their effect. The coroutines of the dead process
// cannot be destroyed where they stand, so the corpse is led to its end within the call: its
// operations complete with -ECANCELED, all that it submits from then on fails with -EIO (network:
// -ECONNRESET) and changes nothing, its timers fire at once, the functions that it gave to
// Process::on_stop are called first. Nothing that it does reaches disk, network or another node;
// code that reports to a checker outside must ask Process::is_dead(). A corpse that does not come
// to its end (an endless loop, a coroutine that waits for ever) is abandoned: its memory is never
// freed, and WorldCounters::abandoned counts it.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "io/loop.h"
#include "io/mailbox.h"
#include "io/sim/backend.h"
#include "io/sim/disk.h"
#include "io/sim/event_queue.h"
#include "io/sim/network.h"
#include "io/sim/options.h"
#include "io/task.h"

namespace drave::io::sim {

class World;

// What a handle of a process names.
struct Descriptor {
  InodePointer inode;
  OpenOptions options;
  std::uint64_t failed_syncs_seen = 0;  // of its inode: told to this descriptor, or before its time
  std::shared_ptr<Connection> connection;
  int side = 0;
  std::shared_ptr<ListeningSocket> listening;
  bool is_used() const { return inode || connection || listening; }
};

class Process {
 public:
  Process(Node& node, std::uint32_t shards, std::uint64_t incarnation);
  ~Process();

  Node& node() { return node_; }
  std::uint32_t shard_count() const { return static_cast<std::uint32_t>(shards_.size()); }
  Loop& loop(std::uint32_t shard = 0) { return shards_[shard]->loop; }
  MailboxHub* hub() { return hub_.get(); }
  // The node has crashed (or the program has returned): what the program believes does not count.
  bool is_dead() const { return dead_; }
  // `function` is called when the node crashes or Node::stop() is called: it tells the program to
  // end. It may only set things in motion; it must not assume that I/O works.
  void on_stop(std::function<void()> function) { on_stop_.push_back(std::move(function)); }

  // --- For the simulator.
  std::int32_t add_descriptor(Descriptor descriptor);  // the handle or -EMFILE
  bool has_free_descriptor();                          // counts a refusal
  Descriptor* find_descriptor(Handle handle);
  void free_descriptor(Handle handle);
  // A number for the lock of a file: of this process and handle, never 0.
  std::uint64_t lock_number(Handle handle) const;

 private:
  friend class Node;
  friend class SimBackend;
  struct Shard {
    Shard(Process& process, std::uint32_t number)
        : backend(process, number), loop(backend, number) {}
    SimBackend backend;
    Loop loop;
    Instant pass_at = Instant::never();  // of the world's clock; the event that counts
    std::uint64_t pass_number = 0;
    Instant busy_until;
  };

  Node& node_;
  std::uint64_t incarnation_;
  std::vector<Descriptor> descriptors_;
  std::int32_t descriptor_count_ = 0;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::unique_ptr<MailboxHub> hub_;
  std::vector<std::function<void()>> on_stop_;
  bool program_ended_ = false;
  bool dead_ = false;
  Instant dead_now_;  // the clock of a corpse
};

class Node final : public EventTarget {
 public:
  using Program = std::function<Task<void>(Process&)>;

  Node(World& world, std::uint32_t number, NodeOptions options);
  ~Node();

  // --- For scenarios; never from within a program.
  std::uint32_t number() const { return number_; }
  const std::string& host() const { return host_; }  // "10.0.0.1" for number 0, ...
  Disk& disk() { return disk_; }
  World& world() { return world_; }
  Random& random() { return random_; }

  // Starts a process; the last one has ended. `shards` 0: as the options say.
  void start(Program program, std::uint32_t shards = 0);
  bool is_running() const { return process_ != nullptr; }
  Process& process() { return *process_; }
  void stop();  // calls the on_stop functions; the program ends by itself
  void kill();
  void power_cut();
  // As SIGSTOP and SIGCONT: loops do not pass, clocks run, the kernel goes on.
  void pause();
  void resume();
  bool is_paused() const { return paused_; }
  // As prlimit: what is open stays open. -EMFILE for more.
  void set_descriptors_max(std::int32_t most) { options_.descriptors_max = most; }
  void jump_wall_clock(std::int64_t milliseconds);
  // The moment to crash a node is when it writes.
  bool has_disk_writes_in_flight() const;
  bool has_power() const { return has_power_; }

  // --- For the simulator.
  Instant now() const;
  TimestampMs wall_now() const;
  const NodeOptions& options() const { return options_; }
  Flight& take_flight(SimBackend& backend, Operation& operation);
  void recycle(Flight& flight);
  Flight* find_flight(std::uint64_t index, std::uint64_t generation);
  void schedule_flight(Flight& flight, Instant at);
  // Something has come for a shard: its loop passes soon.
  void touch(std::uint32_t shard);
  bool resolves_to(const SocketAddress& address, const Node& from) const;

  void on_event(EventKind kind, std::uint64_t a, std::uint64_t b) override;

 private:
  void pass(std::uint32_t shard);
  static std::uint64_t work_done(const Process::Shard& shard);
  void schedule_pass(std::uint32_t shard, Instant at);
  void schedule_next(std::uint32_t shard);
  void crash(bool power);
  void bury(std::unique_ptr<Process> corpse);
  Instant world_time_of(Instant node_time) const;

  World& world_;
  std::uint32_t number_;
  NodeOptions options_;
  std::string host_;
  Random random_;
  Disk disk_;
  std::unique_ptr<Process> process_;
  std::uint64_t incarnations_ = 0;
  bool paused_ = false;
  bool has_power_ = true;
  std::int64_t wall_offset_ms_ = 0;
  std::vector<std::unique_ptr<Flight>> flights_;
  std::vector<Flight*> free_flights_;
};

}  // namespace drave::io::sim
