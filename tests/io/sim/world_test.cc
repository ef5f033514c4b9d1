#include "io/sim/world.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <set>
#include <string>

#include "io/descriptors.h"
#include "io/file.h"
#include "io/loop.h"
#include "io/mailbox.h"
#include "io/scope.h"
#include "io/socket.h"

namespace drave::io::sim {
namespace {

std::vector<std::uint8_t> filled(std::size_t size, std::uint8_t value) {
  return std::vector<std::uint8_t>(size, value);
}

// Runs one program on one node until it returns.
void run_to_end(World& world, Node& node, Node::Program program) {
  node.start(std::move(program));
  ASSERT_TRUE(world.run_until([&] { return !node.is_running(); }, seconds(3600)));
}

Task<void> write_numbers(Process& process, int count) {
  auto file = co_await File::open(process.loop(), "/numbers", {.write = true, .create = true});
  if (!file) co_return;
  for (int i = 0; i < count && !process.is_dead(); ++i) {
    const auto bytes = filled(700, static_cast<std::uint8_t>(i));
    const auto written = co_await file->write(static_cast<std::uint64_t>(i) * 700, bytes);
    if (!written) co_return;
    if (i % 3 == 2 && !co_await file->sync_data()) co_return;
  }
  co_await file->close();
}

TEST(SimWorld, a_program_writes_and_reads_files_and_ends) {
  World world(1);
  Node& node = world.add_node();
  bool same = false;
  run_to_end(world, node, [&same](Process& process) {
    return [](Process& at, bool& equal) -> Task<void> {
      co_await write_numbers(at, 20);
      auto file = co_await File::open(at.loop(), "/numbers", {});
      std::vector<std::uint8_t> bytes(20000);
      auto size = co_await file->read(0, bytes);
      equal = size.has_value() && *size == 20 * 700 && bytes[699] == 0 && bytes[700] == 1 &&
              bytes[13999] == 19;
      co_await file->close();
    }(process, same);
  });
  EXPECT_TRUE(same);
  EXPECT_EQ(world.counters().abandoned, 0u);
}

struct Outcome {
  std::uint64_t hash;
  std::uint64_t events;
};

Outcome run_with_crashes(std::uint64_t seed) {
  World world(seed, WorldOptions::harsh(seed));
  Node& node = world.add_node();
  for (int round = 0; round < 5; ++round) {
    node.start([](Process& process) { return write_numbers(process, 200); });
    world.run_for(microseconds(static_cast<std::int64_t>(world.random().below(20000))));
    if (node.is_running()) {
      round % 2 == 0 ? node.power_cut() : node.kill();
    }
  }
  return {world.trace_hash(), world.counters().events};
}

TEST(SimWorld, the_same_seed_gives_the_same_run_and_another_seed_another) {
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    const Outcome first = run_with_crashes(seed);
    const Outcome second = run_with_crashes(seed);
    EXPECT_EQ(first.hash, second.hash);
    EXPECT_EQ(first.events, second.events);
    hashes.insert(first.hash);
  }
  EXPECT_EQ(hashes.size(), 30u);
}

Task<void> append_durably(Process& process, std::uint64_t& acknowledged) {
  auto file = co_await File::open(process.loop(), "/log",
                                  {.write = true, .create = true, .write_through = true});
  if (!file) co_return;
  if (!co_await sync_directory(process.loop(), "/")) co_return;
  for (std::uint64_t i = acknowledged;; ++i) {
    std::vector<std::uint8_t> bytes(512, static_cast<std::uint8_t>(i));
    if (!co_await file->write(i * 512, bytes)) co_return;
    if (process.is_dead()) co_return;
    acknowledged = i + 1;
  }
}

TEST(SimWorld, what_was_acknowledged_after_a_durable_write_survives_power_cuts) {
  WorldCounters total;
  std::uint64_t acknowledged_total = 0;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    World world(seed);
    Node& node = world.add_node();
    std::uint64_t acknowledged = 0;
    for (int round = 0; round < 4; ++round) {
      node.start([&](Process& process) { return append_durably(process, acknowledged); });
      world.run_for(microseconds(500 + static_cast<std::int64_t>(world.random().below(5000))));
      ASSERT_TRUE(node.is_running());
      node.power_cut();
      if (!node.disk().exists("/log")) {
        ASSERT_EQ(acknowledged, 0u);
        continue;
      }
      const auto bytes = node.disk().content("/log");
      ASSERT_GE(bytes.size(), acknowledged * 512);
      for (std::uint64_t i = 0; i < acknowledged * 512; ++i) {
        ASSERT_EQ(bytes[i], static_cast<std::uint8_t>(i / 512));
      }
    }
    acknowledged_total += acknowledged;
    total += world.counters();
  }
  EXPECT_GT(acknowledged_total, 500u);
  EXPECT_EQ(total.power_cuts, 200u);
  EXPECT_EQ(total.abandoned, 0u);
}

TEST(SimWorld, a_kill_keeps_the_page_cache) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    World world(seed);
    Node& node = world.add_node();
    bool written = false;
    node.start([&](Process& process) {
      return [](Process& at, bool& done) -> Task<void> {
        auto file = co_await File::open(at.loop(), "/f", {.write = true, .create = true});
        (void)co_await file->write(0, filled(100000, 5));
        done = true;
        co_await sleep_for(at.loop(), seconds(100));
      }(process, written);
    });
    ASSERT_TRUE(world.run_until([&] { return written; }, seconds(10)));
    node.kill();
    EXPECT_EQ(node.disk().content("/f"), filled(100000, 5));
    EXPECT_EQ(world.counters().abandoned, 0u);
  }
}

TEST(SimWorld, a_dead_process_changes_nothing) {
  World world(3);
  Node& node = world.add_node();
  bool came_to_write = false;
  node.start([&](Process& process) {
    return [](Process& at, bool& tried) -> Task<void> {
      co_await sleep_for(at.loop(), seconds(1));
      auto opened = co_await File::open(at.loop(), "/late", {.write = true, .create = true});
      EXPECT_FALSE(opened.has_value());
      tried = true;
    }(process, came_to_write);
  });
  world.run_for(milliseconds(1));
  node.kill();
  EXPECT_TRUE(came_to_write) << "the corpse's timers fire at once";
  EXPECT_FALSE(node.disk().exists("/late"));
  EXPECT_FALSE(node.is_running());
}

// On the other shard a timer, then an operation that fails within the same pass: the answer is sent
// by a pass that was quiet before.
TEST(SimWorld, a_corpse_of_several_shards_comes_to_its_end) {
  World world(3);
  Node& node = world.add_node();
  node.start(
      [](Process& process) {
        return [](Process& at) -> Task<void> {
          Process* process_there = &at;
          co_await call_on(at.loop(0), 1, [process_there] {
            return [](Loop& loop) -> Task<void> {
              co_await sleep_for(loop, seconds(1));
              const auto opened = co_await File::open(loop, "/late", {});
              EXPECT_FALSE(opened.has_value());
            }(process_there->loop(1));
          });
        }(process);
      },
      2);
  world.run_for(milliseconds(1));
  node.kill();
  EXPECT_EQ(world.counters().abandoned, 0u);
}

TEST(SimWorld, a_corpse_that_never_ends_is_abandoned_and_counted) {
  World world(3);
  Node& node = world.add_node();
  node.start([](Process& process) {
    return [](Process& at) -> Task<void> {
      Gate never(at.loop());
      [[maybe_unused]] static Gate* volatile reachable;  // for the leak checker
      reachable = &never;
      co_await never.wait();
    }(process);
  });
  world.run_for(milliseconds(1));
  node.kill();
  EXPECT_EQ(world.counters().abandoned, 1u);
}

TEST(SimWorld, every_disk_fault_occurs_and_reaches_the_program) {
  World world(5, [] {
    WorldOptions options;
    options.node.disk.read_error_one_in = 20;
    options.node.disk.write_error_one_in = 20;
    options.node.disk.sync_error_one_in = 20;
    options.node.disk.no_space_one_in = 20;
    options.node.disk.name_error_one_in = 4;
    options.node.disk.name_no_space_one_in = 4;
    options.node.disk.short_read_one_in = 5;
    options.node.disk.short_write_one_in = 5;
    options.node.disk.stall_one_in = 20;
    options.node.disk.lying_sync_one_in = 20;
    return options;
  }());
  Node& node = world.add_node();
  node.disk().put("/f", {});
  std::set<int> errors;
  std::set<int> name_errors;
  run_to_end(world, node, [&](Process& process) {
    return [](Process& at, std::set<int>& seen) -> Task<void> {
      auto file = co_await File::open(at.loop(), "/f", {.write = true});
      std::vector<std::uint8_t> bytes(5000);
      for (int i = 0; i < 300; ++i) {
        if (auto r = co_await file->write(0, bytes); !r) seen.insert(r.error().system);
        if (auto r = co_await file->read(0, bytes); !r) seen.insert(r.error().system);
        if (auto r = co_await file->sync_data(); !r) seen.insert(r.error().system);
      }
      co_await file->close();
    }(process, errors);
  });
  const auto change_names = [&](Process& process) {
    return [](Process& at, std::set<int>& seen) -> Task<void> {
      const auto note = [&seen](const auto& done) {
        if (!done) seen.insert(done.error().system);
      };
      for (int i = 0; i < 20; ++i) {
        auto file = co_await File::open(at.loop(), "/new", {.write = true, .create = true});
        note(file);
        if (file) {
          note(co_await file->truncate(100));
          co_await file->close();
        }
        note(co_await rename(at.loop(), "/f", "/g"));
        note(co_await rename(at.loop(), "/g", "/f"));
        note(co_await sync_directory(at.loop(), "/"));
      }
    }(process, name_errors);
  };
  run_to_end(world, node, change_names);
  const WorldCounters& counters = world.counters();
  EXPECT_GT(counters.read_errors, 0u);
  EXPECT_GT(counters.write_errors, 0u);
  EXPECT_GT(counters.failed_syncs, 0u);
  EXPECT_GT(counters.no_space, 0u);
  EXPECT_GT(counters.short_transfers, 0u);
  EXPECT_GT(counters.stalls, 0u);
  EXPECT_GT(counters.lying_syncs, 0u);
  EXPECT_EQ(errors, (std::set<int>{EIO, ENOSPC}));
  EXPECT_GT(counters.name_errors, 0u);
  EXPECT_TRUE(name_errors.contains(EIO) && name_errors.contains(ENOSPC));
}

TEST(SimWorld, direct_files_want_alignment_and_can_be_unsupported) {
  World world(5);
  NodeOptions without = {};
  without.disk.direct_supported = false;
  Node& old_node = world.add_node(without);
  Node& node = world.add_node();
  int error = 0;
  run_to_end(world, old_node, [&](Process& process) {
    return [](Process& at, int& seen) -> Task<void> {
      auto file =
          co_await File::open(at.loop(), "/f", {.write = true, .create = true, .direct = true});
      seen = file ? 0 : file.error().system;
    }(process, error);
  });
  EXPECT_EQ(error, EINVAL);
  run_to_end(world, node, [&](Process& process) {
    return [](Process& at, int& seen) -> Task<void> {
      auto file =
          co_await File::open(at.loop(), "/f", {.write = true, .create = true, .direct = true});
      auto written = co_await file->write(0, filled(100, 1));
      seen = written ? 0 : written.error().system;
      co_await file->close();
    }(process, error);
  });
  EXPECT_EQ(error, EINVAL);
}

TEST(SimWorld, descriptors_run_out) {
  World world(5);
  Node& node = world.add_node({.descriptors_max = 3});
  int error = 0;
  run_to_end(world, node, [&](Process& process) {
    return [](Process& at, int& seen) -> Task<void> {
      std::vector<File> files;
      for (int i = 0; i < 4; ++i) {
        auto file = co_await File::open(at.loop(), "/f" + std::to_string(i),
                                        {.write = true, .create = true});
        if (!file) {
          seen = file.error().system;
          break;
        }
        files.push_back(std::move(*file));
      }
      for (File& file : files) co_await file.close();
    }(process, error);
  });
  EXPECT_EQ(error, EMFILE);
  EXPECT_FALSE(node.disk().exists("/f3"));
}

// What somebody sees who opens a file where none can be opened.
struct Lack {
  std::optional<Errc> outcome;
  std::string message;
  Instant done_at;
  int asked_to_give_up = 0;
  bool was_lacking = false;
  bool is_lacking = false;
};

Task<void> open_one(Process& process, Lack& seen) {
  auto file = co_await File::open(process.loop(), "/f", {.write = true, .create = true});
  seen.outcome = file ? std::optional<Errc>() : file.error().code;
  if (!file) seen.message = file.error().message();
  seen.done_at = process.loop().now();
}

Task<void> open_without_descriptors(Process& process, Lack& seen, bool is_patient, bool ends,
                                    Instant& began) {
  Loop& loop = process.loop();
  std::optional<DescriptorPatience> patience;
  if (is_patient) patience.emplace(loop, [&seen] { ++seen.asked_to_give_up; });
  began = loop.now();
  Scope scope(loop);
  scope.spawn(open_one(process, seen));
  co_await sleep_for(loop, seconds(3));
  seen.was_lacking = lacks_descriptors(loop);
  if (ends) end_descriptor_waits(loop);
  co_await scope.join();
  seen.is_lacking = lacks_descriptors(loop);
}

Lack open_while_starved(bool is_patient, bool ends, Duration& waited) {
  World world(5);
  Node& node = world.add_node({.descriptors_max = 0});
  Lack seen;
  Instant began;
  node.start([&](Process& process) {
    return open_without_descriptors(process, seen, is_patient, ends, began);
  });
  world.run_for(seconds(20));
  node.set_descriptors_max(10);
  world.run_until([&] { return !node.is_running(); }, seconds(60));
  EXPECT_FALSE(node.is_running());
  waited = seen.done_at - began;
  return seen;
}

TEST(SimWorld, without_patience_an_open_without_a_descriptor_fails_and_says_what_helps) {
  Duration waited;
  const Lack seen = open_while_starved(false, false, waited);
  EXPECT_EQ(seen.outcome, Errc::busy);
  EXPECT_NE(seen.message.find("LimitNOFILE="), std::string::npos) << seen.message;
  EXPECT_LT(waited, milliseconds(1));
  EXPECT_FALSE(seen.was_lacking);
}

TEST(SimWorld, with_patience_an_open_waits_for_a_descriptor) {
  Duration waited;
  const Lack seen = open_while_starved(true, false, waited);
  EXPECT_EQ(seen.outcome, std::nullopt) << seen.message;
  EXPECT_GE(waited, seconds(20));
  EXPECT_LT(waited, seconds(21));
  EXPECT_GT(seen.asked_to_give_up, 10);
  EXPECT_LT(seen.asked_to_give_up, 200) << "it spins";
  EXPECT_TRUE(seen.was_lacking);
  EXPECT_FALSE(seen.is_lacking);
}

TEST(SimWorld, whoever_waits_for_a_descriptor_hears_that_nobody_is_to_wait) {
  Duration waited;
  const Lack seen = open_while_starved(true, true, waited);
  EXPECT_EQ(seen.outcome, Errc::busy);
  EXPECT_GE(waited, seconds(3));
  EXPECT_LT(waited, seconds(4));
}

TEST(SimWorld, a_lock_is_free_after_a_crash) {
  World world(5);
  Node& node = world.add_node();
  int taken = 0, refused = 0;
  const auto program = [&](Process& process) {
    return [](Process& at, int& got, int& failed) -> Task<void> {
      auto first = co_await File::open(at.loop(), "/lock", {.write = true, .create = true});
      auto second = co_await File::open(at.loop(), "/lock", {.write = true});
      if (!first || !second) co_return;
      if (co_await first->lock()) ++got;
      auto again = co_await second->lock();
      if (!again && again.error().code == Errc::locked) ++failed;
      co_await sleep_for(at.loop(), seconds(5));
    }(process, taken, refused);
  };
  node.start(program);
  world.run_for(seconds(1));
  node.kill();
  node.start(program);
  world.run_for(seconds(1));
  node.power_cut();
  node.start(program);
  world.run_for(seconds(1));
  EXPECT_EQ(taken, 3);
  EXPECT_EQ(refused, 3);
}

TEST(SimWorld, pauses_and_wall_clock_jumps_do_not_disturb_timers) {
  World world(5);
  Node& node = world.add_node({.clock_drift_ppm = 200});
  Instant slept;
  TimestampMs wall_before = 0, wall_after = 0;
  node.start([&](Process& process) {
    return [](Process& at, Instant& woke, TimestampMs& before, TimestampMs& after) -> Task<void> {
      before = at.loop().wall_now();
      const Instant began = at.loop().now();
      co_await sleep_for(at.loop(), seconds(10));
      woke = Instant{(at.loop().now() - began).ns};
      after = at.loop().wall_now();
    }(process, slept, wall_before, wall_after);
  });
  world.run_for(seconds(1));
  node.jump_wall_clock(-3'600'000);
  EXPECT_TRUE(world.run_until([&] { return !node.is_running(); }, seconds(20)));
  EXPECT_GE(slept.ns, seconds(10).ns);
  EXPECT_LT(slept.ns, seconds(10).ns + milliseconds(3).ns);
  EXPECT_LT(wall_after, wall_before);

  bool ended = false;
  node.start([&](Process& process) {
    return [](Process& at, bool& done) -> Task<void> {
      co_await sleep_for(at.loop(), seconds(1));
      done = true;
    }(process, ended);
  });
  world.run_for(milliseconds(100));
  node.pause();
  world.run_for(seconds(30));
  EXPECT_FALSE(ended);
  node.resume();
  world.run_for(milliseconds(1));
  EXPECT_TRUE(ended);
}

TEST(SimWorld, shards_call_each_other_in_orders_that_differ_by_seed) {
  std::set<std::string> orders;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    World world(seed);
    Node& node = world.add_node({.shards = 3});
    std::string order;
    run_to_end(world, node, [&](Process& process) {
      return [](Process& at, std::string& log) -> Task<void> {
        Scope scope(at.loop());
        for (std::uint32_t shard = 0; shard < at.shard_count(); ++shard) {
          scope.spawn([](Process& p, std::uint32_t there, std::string& out) -> Task<void> {
            const std::uint32_t ran_on =
                co_await call_on(p.loop(), there, [&p, there] { return p.loop(there).shard(); });
            EXPECT_EQ(ran_on, there);
            out += static_cast<char>('0' + there);
          }(at, shard, log));
        }
        co_await scope.join();
      }(process, order);
    });
    ASSERT_EQ(order.size(), 3u);
    orders.insert(order);
  }
  EXPECT_GT(orders.size(), 1u);
}

// Nothing is known of what it was to write: nobody is to wait for space.
TEST(SimWorld, a_sync_that_finds_no_space_has_failed) {
  World world(1);
  Node& node = world.add_node();
  node.disk().options().name_no_space_one_in = 1;
  Result<void> synced;
  run_to_end(world, node, [&](Process& process) {
    return [](Process& at, Result<void>& outcome) -> Task<void> {
      outcome = co_await sync_directory(at.loop(), "/");
    }(process, synced);
  });
  ASSERT_FALSE(synced.has_value());
  EXPECT_EQ(synced.error().code, Errc::io);
  EXPECT_EQ(synced.error().system, ENOSPC);
}

Task<void> sync_through_two(Process& process, DiskOptions& disk, std::vector<bool>& outcomes) {
  auto first = co_await File::open(process.loop(), "/", {.directory = true});
  auto second = co_await File::open(process.loop(), "/", {.directory = true});
  disk.sync_error_one_in = 1;
  outcomes.push_back((co_await first->sync()).has_value());
  disk.sync_error_one_in = 0;
  for (File* each : {&*second, &*second, &*first})
    outcomes.push_back((co_await each->sync()).has_value());
  auto late = co_await File::open(process.loop(), "/", {.directory = true});
  outcomes.push_back((co_await late->sync()).has_value());
}

// As Linux does: once each.
TEST(SimWorld, whoever_has_a_directory_open_hears_of_a_failed_sync) {
  World world(1);
  Node& node = world.add_node();
  std::vector<bool> outcomes;
  run_to_end(world, node, [&](Process& process) {
    return sync_through_two(process, node.disk().options(), outcomes);
  });
  EXPECT_EQ(outcomes, (std::vector<bool>{false, false, true, true, true}));
}

TEST(SimWorld, buffers_that_change_in_flight_corrupt_the_file_in_some_worlds) {
  std::set<int> seen;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    World world(seed);
    NodeOptions slow;
    slow.disk.cached_delay = {milliseconds(50), milliseconds(50)};
    Node& node = world.add_node(slow);
    run_to_end(world, node, [](Process& process) {
      return [](Process& at) -> Task<void> {
        auto file = co_await File::open(at.loop(), "/f", {.write = true, .create = true});
        auto bytes = filled(100, 1);
        Operation operation;
        iovec vector{bytes.data(), bytes.size()};
        operation.code = OperationCode::write;
        operation.handle = file->handle();
        operation.vectors = &vector;
        operation.vector_count = 1;
        operation.complete = [](Operation&) {};
        at.loop().submit(operation);
        co_await sleep_for(at.loop(), milliseconds(5));
        bytes.assign(100, 2);
        co_await sleep_for(at.loop(), seconds(1));
        co_await file->close();
      }(process);
    });
    seen.insert(node.disk().content("/f")[0]);
  }
  EXPECT_EQ(seen, (std::set<int>{1, 2}));
}

}  // namespace
}  // namespace drave::io::sim
