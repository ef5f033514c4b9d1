// What a journal is after crashes of its machine.

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
    int before = -1;
    int after = -1;
    node.start([&](Process& process) { return count_groups(process, before); });
    world.run_until([&] { return before >= 0; }, seconds(1));
    node.power_cut();
    node.start([&](Process& process) { return count_groups(process, after); });
    world.run_until([&] { return after >= 0; }, seconds(1));
    ASSERT_EQ(after, before) << "seed " << seed;
    if (before > 0) ++found_whole;
  }
  EXPECT_GT(found_whole, 50);
}

}  // namespace
}  // namespace drave::segments::testing
