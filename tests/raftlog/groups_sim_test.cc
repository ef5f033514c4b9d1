// Many replicated logs in one journal and on shared connections, on simulated machines: one that
// has nothing to say, or nothing to read from memory, holds up no other.

#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "gtest/gtest.h"
#include "io/sim/world.h"
#include "io/sync.h"
#include "tools/raftlog/node.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define DRAVE_SANITIZED
#endif
#endif

namespace {
std::uint64_t allocations_made = 0;
}  // namespace

#ifndef DRAVE_SANITIZED
void* operator new(std::size_t size) {
  ++allocations_made;
  void* memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  return memory;
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
#endif

namespace drave::raft {
namespace {

#ifdef DRAVE_SANITIZED
constexpr bool kCountsAllocations = false;
#else
constexpr bool kCountsAllocations = true;
#endif

constexpr std::uint16_t kPort = 9093;
constexpr const char* kDirectory = "/data";

class Machine {
 public:
  Machine(io::sim::Node& node, NodeOptions options) : node_(node), options_(std::move(options)) {
    node_.disk().make_directory(kDirectory);
    node_.disk().sync_all();
  }

  void start() {
    node_.start([this](io::sim::Process& process) { return run(process); });
  }
  io::sim::Node& node() { return node_; }
  bool is_up() const { return raft_ != nullptr && node_.is_running(); }
  Node& raft() { return *raft_; }
  // Entries that all of its proposers saw committed, of this and former lives.
  std::uint64_t commits() const { return past_ + (is_up() ? raft_->measured().commits : 0); }
  const std::string& failed() const { return failed_; }

 private:
  io::Task<void> run(io::sim::Process& process) {
    io::Gate stop(process.loop());
    process.on_stop([&stop] { stop.open(); });
    auto raft = std::make_unique<Node>(process.loop(), options_);
    const Result<void> started = co_await raft->start();
    if (started) {
      raft_ = raft.get();
      raft_->begin_measuring();
      co_await stop.wait();
      for (const auto& group : raft_->groups()) group->end();
    } else if (!process.is_dead()) {
      failed_ = started.error().message();
    }
    past_ = commits();
    raft_ = nullptr;
    const Result<void> stopped = co_await raft->stop();
    if (!stopped && !process.is_dead()) failed_ = stopped.error().message();
  }

  io::sim::Node& node_;
  NodeOptions options_;
  Node* raft_ = nullptr;
  std::uint64_t past_ = 0;
  std::string failed_;
};

class Groups {
 public:
  Groups(std::uint64_t seed, int groups) : world_(seed) {
    for (int i = 0; i < 3; ++i) world_.add_node();
    NodeOptions options;
    options.directory = kDirectory;
    options.groups = groups;
    options.timers.election_timeout = options.timers.election_backoff_max = milliseconds(200);
    options.timers.fetch_timeout = options.timers.request_timeout = milliseconds(400);
    for (std::size_t i = 0; i < 3; ++i) {
      Voter voter;
      voter.id = static_cast<NodeId>(i + 1);
      voter.endpoints = {{"CONTROLLER", world_.node(i).host(), kPort}};
      options.voters.push_back(voter);
    }
    for (std::size_t i = 0; i < 3; ++i) {
      options.id = static_cast<NodeId>(i + 1);
      machines_.push_back(std::make_unique<Machine>(world_.node(i), options));
      machines_.back()->start();
    }
  }
  ~Groups() {
    for (const auto& machine : machines_) {
      if (machine->node().is_running()) machine->node().kill();
    }
  }

  io::sim::World& world() { return world_; }
  Machine& machine(std::size_t index) { return *machines_[index]; }
  std::uint64_t commits() const {
    std::uint64_t sum = 0;
    for (const auto& machine : machines_) sum += machine->commits();
    return sum;
  }
  // Each group has a leader among those that are up and not paused.
  bool have_leaders() const { return led_groups() == machines_.front()->raft().groups().size(); }
  bool await_leaders(Duration most) {
    return world_.run_until([this] { return are_up() && have_leaders(); }, most);
  }
  bool are_up() const {
    return std::ranges::all_of(machines_, [](const auto& machine) { return machine->is_up(); });
  }
  // Every group has the same end everywhere, all of it committed and known to be.
  bool await_agreement(Duration most) {
    return world_.run_until([this] { return are_up() && do_agree(); }, most);
  }
  void load(std::uint32_t in_flight, std::uint64_t count) {
    for (const auto& machine : machines_) {
      if (!machine->is_up()) continue;
      for (const auto& group : machine->raft().groups()) {
        if (group->is_idle()) group->begin({.size = 16, .in_flight = in_flight, .count = count});
      }
    }
  }
  void expect_no_failure() const {
    for (const auto& machine : machines_) {
      EXPECT_EQ(machine->failed(), "");
      if (!machine->is_up()) continue;
      for (const auto& group : machine->raft().groups()) EXPECT_FALSE(group->has_failed());
    }
  }

 private:
  std::size_t led_groups() const {
    std::size_t led = 0;
    for (const auto& machine : machines_) {
      if (!machine->is_up() || machine->node().is_paused()) continue;
      for (const auto& group : machine->raft().groups()) led += group->is_leading() ? 1 : 0;
    }
    return led;
  }
  bool do_agree() const {
    const auto& reference = machines_.front()->raft().groups();
    for (const auto& machine : machines_) {
      for (std::size_t i = 0; i < reference.size(); ++i) {
        const RaftLog& log = *machine->raft().groups()[i]->log();
        if (log.high_watermark() != reference[i]->log()->high_watermark()) return false;
        if (log.high_watermark() != log.end()) return false;
      }
    }
    return true;
  }

  io::sim::World world_;
  std::vector<std::unique_ptr<Machine>> machines_;
};

TEST(RaftGroups, that_are_idle_keep_their_leaders) {
  Groups groups(2, 8);
  ASSERT_TRUE(groups.await_leaders(seconds(20)));
  std::vector<LeaderEpoch> epochs;
  for (const auto& group : groups.machine(0).raft().groups())
    epochs.push_back(group->log()->epoch());
  groups.world().run_for(seconds(20));
  ASSERT_TRUE(groups.have_leaders());
  for (std::size_t i = 0; i < epochs.size(); ++i)
    EXPECT_EQ(groups.machine(0).raft().groups()[i]->log()->epoch(), epochs[i]);
  groups.expect_no_failure();
}

// One group's proposals wait for no other group.
TEST(RaftGroups, one_that_is_busy_waits_for_no_idle_one) {
  Groups groups(3, 8);
  ASSERT_TRUE(groups.await_leaders(seconds(20)));
  groups.world().run_for(seconds(2));
  for (std::size_t i = 0; i < 3; ++i)
    groups.machine(i).raft().groups()[0]->begin({.size = 16, .in_flight = 1, .count = 200});
  const Instant begun = groups.world().now();
  ASSERT_TRUE(groups.world().run_until([&] { return groups.commits() >= 200; }, seconds(20)));
  EXPECT_LT((groups.world().now() - begun).ns, milliseconds(1000).ns);
  groups.expect_no_failure();
}

// The leader's memory has nothing of it any more.
TEST(RaftGroups, what_is_only_on_the_disk_is_sent) {
  Groups groups(4, 4);
  ASSERT_TRUE(groups.await_leaders(seconds(20)));
  groups.machine(2).node().kill();
  groups.world().run_for(seconds(3));
  for (std::size_t i = 0; i < 2; ++i) {
    for (const auto& group : groups.machine(i).raft().groups())
      group->begin({.size = 16, .in_flight = 4, .count = 50});
  }
  ASSERT_TRUE(groups.world().run_until([&] { return groups.commits() >= 4 * 50; }, seconds(20)));
  for (std::size_t i = 0; i < 2; ++i) {
    groups.machine(i).node().stop();
    ASSERT_TRUE(groups.world().run_until([&] { return !groups.machine(i).node().is_running(); },
                                         seconds(20)));
  }
  for (std::size_t i = 0; i < 3; ++i) groups.machine(i).start();
  EXPECT_TRUE(groups.await_agreement(seconds(20)));
  for (const auto& group : groups.machine(2).raft().groups())
    EXPECT_EQ(group->delivered_count(), 50u);
  groups.expect_no_failure();
}

TEST(RaftGroups, go_on_when_a_node_dies_hangs_and_returns) {
  Groups groups(10, 4);
  ASSERT_TRUE(groups.await_leaders(seconds(20)));
  groups.load(1, UINT64_MAX);
  for (std::size_t round = 0; round < 3; ++round) {
    Machine& victim = groups.machine(round);
    groups.world().run_for(milliseconds(100));
    if (round == 0) victim.node().kill();
    if (round == 1) victim.node().power_cut();
    if (round == 2) victim.node().pause();
    groups.world().run_for(seconds(2));
    const std::uint64_t before = groups.commits();
    groups.world().run_for(milliseconds(500));
    EXPECT_GT(groups.commits(), before + 100);
    if (round == 2)
      victim.node().resume();
    else
      victim.start();
    ASSERT_TRUE(groups.await_leaders(seconds(20)));
    groups.load(1, UINT64_MAX);
  }
  for (std::size_t i = 0; i < 3; ++i) {
    for (const auto& group : groups.machine(i).raft().groups()) group->end();
  }
  EXPECT_TRUE(groups.await_agreement(seconds(20)));
  groups.expect_no_failure();
  for (std::size_t i = 0; i < 3; ++i) {
    groups.machine(i).node().stop();
    EXPECT_TRUE(groups.world().run_until([&] { return !groups.machine(i).node().is_running(); },
                                         seconds(10)));
  }
  groups.expect_no_failure();
}

// What a wave of a group costs in calls of operator new, in three processes and their simulator: a
// batch of four that is proposed, sent to two nodes, flushed on all and delivered.
TEST(RaftGroups, a_wave_allocates_little) {
  if (!kCountsAllocations) GTEST_SKIP() << "a sanitizer has its own";
  Groups groups(5, 64);
  ASSERT_TRUE(groups.await_leaders(seconds(20)));
  groups.load(4, UINT64_MAX);
  groups.world().run_for(milliseconds(50));
  const std::uint64_t commits = groups.commits();
  const std::uint64_t allocations = allocations_made;
  groups.world().run_for(milliseconds(100));
  const double waves = static_cast<double>(groups.commits() - commits) / 4;
  ASSERT_GT(waves, 1000);
  const double each = static_cast<double>(allocations_made - allocations) / waves;
  RecordProperty("allocations", std::to_string(each));
  EXPECT_LT(each, 30.0);
  for (std::size_t i = 0; i < 3; ++i) {
    for (const auto& group : groups.machine(i).raft().groups()) group->end();
  }
  groups.expect_no_failure();
}

}  // namespace
}  // namespace drave::raft
