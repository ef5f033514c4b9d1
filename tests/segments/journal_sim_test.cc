// What a journal is after crashes of its machine.

#include <algorithm>
#include <optional>
#include <string>

#include "gtest/gtest.h"
#include "io/file.h"
#include "io/sim/world.h"
#include "segments/journal.h"
#include "segments/journal_replay.h"

namespace drave::segments::testing {
namespace {

using io::sim::Process;

constexpr const char* kDirectory = "/data";
constexpr TopicIdPartition kPartition{{7, 1}, 0};

struct Client final : JournalClient {
  void on_journal_durable(JournalSequence) override {}
  void on_journal_failed(const Error&) override {}
};

io::Task<void> append_until_death(Process& process) {
  auto journal = co_await Journal::create(process.loop(), kDirectory, "journal-0",
                                          {.file_bytes = 64 * kKiB,
                                           .first_file_bytes = 64 * kKiB,
                                           .bytes_max = 256 * kKiB,
                                           .group_bytes_max = 16 * kKiB});
  if (!journal) co_return;
  Client client;
  const std::vector<std::uint8_t> bytes(100, 1);
  for (Offset offset = 0; !process.is_dead() && offset < 100; ++offset) {
    (*journal)->append(client, {JournalEntryType::append, kPartition, offset, offset + 1, bytes});
    co_await io::sleep_for(process.loop(), microseconds(200));
  }
  (*journal)->forget(client);
  (void)co_await (*journal)->close();
}

io::Task<void> count_groups(Process& process, int& groups) {
  const auto scanned = co_await scan_journals(process.loop(), kDirectory);
  if (scanned && !process.is_dead()) groups = scanned->groups;
}

// By the next start.
int groups_found(io::sim::World& world, io::sim::Node& node) {
  int groups = -1;
  node.start([&](Process& process) { return count_groups(process, groups); });
  EXPECT_TRUE(world.run_until([&] { return groups >= 0; }, seconds(1)));
  return groups;
}

// A kill during the write of a group leaves it in the page cache, perhaps whole. A start that has
// acted on it and is cut from power must not have acted on something that never was.
TEST(JournalSim, a_group_that_a_start_has_found_is_there_after_a_power_cut) {
  int found_whole = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    io::sim::World world(seed);
    io::sim::Node& node = world.add_node();
    node.disk().make_directory(kDirectory);
    node.disk().sync_all();
    node.start([](Process& process) { return append_until_death(process); });
    world.run_for(microseconds(world.random().between(5'000, 15'000)));
    world.run_until([&] { return node.has_disk_writes_in_flight(); }, milliseconds(10));
    node.kill();
    const int before = groups_found(world, node);
    node.power_cut();
    ASSERT_EQ(groups_found(world, node), before) << "seed " << seed;
    if (before > 0) ++found_whole;
  }
  EXPECT_GT(found_whole, 50);
}

// Where a file system has no O_DIRECT, what a failed sync was to write is in the page cache, and no
// later sync writes it.
TEST(JournalSim, a_group_whose_sync_failed_is_there_when_a_start_has_found_it) {
  int failed = 0;
  int found_more = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    io::sim::World world(seed);
    io::sim::Node& node = world.add_node();
    node.disk().make_directory(kDirectory);
    node.disk().sync_all();
    node.disk().options().direct_supported = false;
    node.start([](Process& process) { return append_until_death(process); });
    world.run_for(microseconds(world.random().between(15'000, 25'000)));
    node.disk().options().sync_error_one_in = 1;
    const std::uint64_t before_failure = world.counters().failed_syncs;
    world.run_until([&] { return world.counters().failed_syncs > before_failure; },
                    milliseconds(50));
    if (world.counters().failed_syncs > before_failure) ++failed;
    node.kill();
    node.disk().options().sync_error_one_in = 0;
    const int before = groups_found(world, node);
    node.power_cut();
    ASSERT_EQ(groups_found(world, node), before) << "seed " << seed;
    if (before > 0) ++found_more;
  }
  EXPECT_GT(failed, 30);
  EXPECT_GT(found_more, 20);
}

constexpr JournalOptions kSmallFiles{.file_bytes = 64 * kKiB,
                                     .first_file_bytes = 64 * kKiB,
                                     .bytes_max = 256 * kKiB,
                                     .group_bytes_max = 16 * kKiB};

struct Outcome {
  bool went_on = false;
  bool ended = false;
  std::size_t files_most = 0;
  std::uint64_t recycled = 0;
  std::string failed;
};

// Writes one entry after the other and releases what is durable.
struct Writer final : JournalClient {
  Writer(io::Loop& its_loop, Journal& its_journal, io::sim::Disk& its_disk, Outcome& its_outcome)
      : loop(its_loop), journal(its_journal), disk(its_disk), outcome(its_outcome) {}

  void on_journal_durable(JournalSequence sequence) override { durable = sequence; }
  void on_journal_failed(const Error& error) override { outcome.failed = error.message(); }

  // False: an entry is not durable in 10 s.
  io::Task<bool> write(int count) {
    for (; count > 0; --count, ++offset) {
      const JournalSequence sequence =
          journal.append(*this, {JournalEntryType::append, kPartition, offset, offset + 1, bytes});
      const Instant end = loop.now() + seconds(10);
      while (durable < sequence && outcome.failed.empty() && loop.now() < end)
        co_await io::sleep_for(loop, microseconds(200));
      outcome.files_most = std::max(outcome.files_most, disk.files_below(kDirectory).size());
      if (durable < sequence) co_return false;
      journal.release(*this, sequence);
    }
    co_return true;
  }

  io::Loop& loop;
  Journal& journal;
  io::sim::Disk& disk;
  Outcome& outcome;
  std::vector<std::uint8_t> bytes = std::vector<std::uint8_t>(3000, 1);
  Offset offset = 0;
  JournalSequence durable = 0;
};

// Names find no space for a while, several times.
io::Task<void> write_without_names(Process& process, io::sim::Disk& disk, Outcome& outcome) {
  io::Loop& loop = process.loop();
  auto journal = co_await Journal::create(loop, kDirectory, "journal-0", kSmallFiles);
  EXPECT_TRUE(journal.has_value());
  if (!journal) co_return;
  Writer writer(loop, **journal, disk, outcome);
  EXPECT_TRUE(co_await writer.write(100));
  outcome.went_on = true;
  for (int i = 0; i < 8 && outcome.went_on; ++i) {
    disk.options().name_no_space_one_in = 1;
    EXPECT_FALSE(co_await writer.write(100));
    disk.options().name_no_space_one_in = 0;
    outcome.went_on = co_await writer.write(60);
  }
  outcome.recycled = (*journal)->counters().files_recycled;
  (*journal)->forget(writer);
  EXPECT_TRUE((co_await (*journal)->close()).has_value());
  outcome.ended = true;
}

// Fills two files, loses the last group to the disk, and forgets the client, as a log does whose
// removal failed.
io::Task<void> forget_after_failure(Process& process, io::sim::Disk& disk, int& durable) {
  io::Loop& loop = process.loop();
  auto journal = co_await Journal::create(loop, kDirectory, "journal-0", kSmallFiles);
  EXPECT_TRUE(journal.has_value());
  if (!journal) co_return;
  Outcome outcome;
  Writer writer(loop, **journal, disk, outcome);
  for (Offset offset = 0; outcome.failed.empty() && offset < 200; ++offset) {
    if (offset == 30) disk.options().write_error_one_in = 1;
    (*journal)->append(writer,
                       {JournalEntryType::append, kPartition, offset, offset + 1, writer.bytes});
    co_await io::sleep_for(loop, milliseconds(2));
  }
  disk.options().write_error_one_in = 0;
  EXPECT_NE(outcome.failed, "");
  (*journal)->forget(writer);
  co_await io::sleep_for(loop, milliseconds(50));
  (void)co_await (*journal)->close();
  durable = 30;
}

TEST(JournalSim, what_is_forgotten_when_the_journal_has_failed_is_there_at_the_next_start) {
  io::sim::World world(1);
  io::sim::Node& node = world.add_node();
  node.disk().make_directory(kDirectory);
  node.disk().sync_all();
  int durable = -1;
  node.start([&](Process& process) { return forget_after_failure(process, node.disk(), durable); });
  ASSERT_TRUE(world.run_until([&] { return durable >= 0 && !node.is_running(); }, seconds(5)));
  int found = -1;
  node.start([&](Process& process) { return count_groups(process, found); });
  world.run_until([&] { return found >= 0; }, seconds(1));
  EXPECT_GE(found, durable);
}

// A file that cannot be renamed keeps its place: the journal goes on when there is space again, and
// what could not be made leaves nothing behind.
TEST(JournalSim, files_whose_names_find_no_space_are_used_later) {
  io::sim::World world(1);
  io::sim::Node& node = world.add_node();
  node.disk().make_directory(kDirectory);
  node.disk().sync_all();
  Outcome outcome;
  node.start([&](Process& process) { return write_without_names(process, node.disk(), outcome); });
  world.run_until([&] { return outcome.ended; }, seconds(120));
  EXPECT_TRUE(outcome.ended);
  EXPECT_TRUE(outcome.went_on);
  EXPECT_EQ(outcome.failed, "");
  EXPECT_GT(outcome.recycled, 6u);
  EXPECT_LE(outcome.files_most, 5u);  // four and one that is being made
  if (node.is_running()) node.kill();
}

// Entries that fit into files, and ones that need a file of their own, so that the file which stood
// ready is of no use; names find no space now and then.
io::Task<void> write_large_ones_until_death(Process& process, io::sim::Disk& disk,
                                            Outcome& outcome) {
  JournalOptions options = kSmallFiles;
  options.group_bytes_max = 128 * kKiB;
  auto journal = co_await Journal::create(process.loop(), kDirectory, "journal-0", options);
  if (!journal) co_return;
  Writer writer(process.loop(), **journal, disk, outcome);
  disk.options().name_no_space_one_in = 6;
  while (!process.is_dead() && outcome.failed.empty()) {
    writer.bytes.resize(3000);
    if (!co_await writer.write(14)) break;
    writer.bytes.resize(100'000);
    if (!co_await writer.write(1)) break;
  }
  (*journal)->forget(writer);
  (void)co_await (*journal)->close();
}

io::Task<void> scan_for_rot(Process& process, std::optional<std::string>& rot) {
  const auto scanned = co_await scan_journals(process.loop(), kDirectory);
  if (process.is_dead()) co_return;
  EXPECT_TRUE(scanned.has_value()) << scanned.error().message();
  rot = !scanned || scanned->rotten.empty() ? "" : scanned->rotten[0].message();
}

// A file that is of no use and finds no space to be removed must not become the oldest: it would
// look like the place of groups that are lost.
TEST(JournalSim, a_file_of_no_use_that_cannot_be_removed_is_not_taken_for_rot) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    io::sim::World world(seed);
    io::sim::Node& node = world.add_node();
    node.disk().make_directory(kDirectory);
    node.disk().sync_all();
    Outcome outcome;
    node.start([&](Process& process) {
      return write_large_ones_until_death(process, node.disk(), outcome);
    });
    world.run_for(milliseconds(world.random().between(20, 5'000)));
    node.power_cut();
    node.disk().options().name_no_space_one_in = 0;
    std::optional<std::string> rot;
    node.start([&](Process& process) { return scan_for_rot(process, rot); });
    world.run_until([&] { return rot.has_value(); }, seconds(1));
    ASSERT_EQ(rot.value_or("no scan"), "") << "seed " << seed;
  }
}

}  // namespace
}  // namespace drave::segments::testing
