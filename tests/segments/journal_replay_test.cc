#include "segments/journal_replay.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "segments/journal_format.h"
#include "tests/segments/journal_support.h"

namespace drave::segments::testing {
namespace {

// Remembers what it was given, as text: "append 1/0 3-4 x100".
struct RecordingTarget final : ReplayTarget {
  io::Task<Result<void>> replay(JournalEntry entry) override {
    static constexpr const char* kNames[] = {"?", "append", "truncate", "start", "remove"};
    note(kNames[static_cast<int>(entry.type)], entry);
    for (const std::uint8_t byte : entry.payload)
      EXPECT_EQ(byte, static_cast<std::uint8_t>(entry.first_offset));
    co_return Result<void>{};
  }
  io::Task<Result<void>> replay_lost(JournalEntry entry) override {
    note("lost", entry);
    co_return Result<void>{};
  }
  void note(const std::string& what, const JournalEntry& entry) {
    seen.push_back(what + " " + std::to_string(entry.partition.topic_id.low) + " " +
                   std::to_string(entry.first_offset) + "-" + std::to_string(entry.end_offset));
  }
  std::vector<std::string> seen;
};

struct ReplayFixture : ::testing::Test {
  std::unique_ptr<Journal> create(std::string name, JournalOptions options) {
    auto made = io.run(Journal::create(io.loop(), directory.path(), std::move(name), options));
    EXPECT_TRUE(made.has_value()) << made.error().message();
    return std::move(*made);
  }
  void append(Journal& journal, RecordingClient& of, std::uint64_t topic, Offset first,
              std::size_t size = 100) {
    const std::vector<std::uint8_t> bytes(size, static_cast<std::uint8_t>(first));
    put(journal, of, append_entry(partition_id(topic), first, first + 1, bytes));
  }
  void put(Journal& journal, RecordingClient& of, const JournalEntry& entry) {
    const JournalSequence sequence = journal.append(of, entry);
    io.run_until([&] { return of.durable >= sequence; });
  }
  ScannedJournals scan() {
    auto scanned = io.run(scan_journals(io.loop(), directory.path()));
    EXPECT_TRUE(scanned.has_value()) << scanned.error().message();
    return std::move(*scanned);
  }
  std::vector<std::string> replay(const ScannedJournals& scanned) {
    RecordingTarget target;
    auto done = io.run(replay_journals(io.loop(), scanned, target));
    EXPECT_TRUE(done.has_value()) << done.error().message();
    return target.seen;
  }
  // Overwrites bytes of the `index`th journal file.
  void damage(std::size_t index, std::uint64_t position, std::size_t size) {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::directory_iterator(directory.path()))
      paths.push_back(entry.path());
    std::sort(paths.begin(), paths.end());
    const int file = ::open(paths.at(index).c_str(), O_WRONLY);
    ASSERT_GE(file, 0);
    const std::vector<std::uint8_t> garbage(size, 0xEE);
    ASSERT_EQ(::pwrite(file, garbage.data(), size, static_cast<off_t>(position)),
              static_cast<ssize_t>(size));
    ::close(file);
  }

  TemporaryDirectory directory;
  UringRun io;
  RecordingClient client;
};

constexpr JournalOptions kSmall{.file_bytes = 32 * kKiB,
                                .first_file_bytes = 32 * kKiB,
                                .bytes_max = 256 * kKiB,
                                .group_bytes_max = 16 * kKiB};
using Texts = std::vector<std::string>;

TEST_F(ReplayFixture, entries_come_back_in_order_from_all_journals_and_then_they_are_gone) {
  RecordingClient other;
  auto one = create("journal-0", kSmall);
  auto two = create("journal-metadata", kSmall);
  for (Offset i = 0; i < 20; ++i) append(*one, client, 1, i, 3000);
  append(*two, other, 2, 7);
  io.run(one->close());
  io.run(two->close());
  const ScannedJournals scanned = scan();
  EXPECT_EQ(scanned.groups, 21);
  EXPECT_EQ(scanned.torn_bytes, 0);
  EXPECT_TRUE(scanned.rotten.empty());
  EXPECT_EQ(scanned.partitions.at(partition_id(1)).append_first, 0);
  EXPECT_EQ(scanned.partitions.at(partition_id(2)).append_first, 7);
  Texts expected;
  for (int i = 0; i < 20; ++i)
    expected.push_back("append 1 " + std::to_string(i) + "-" + std::to_string(i + 1));
  expected.push_back("append 2 7-8");
  EXPECT_EQ(replay(scanned), expected);
  EXPECT_EQ(replay(scanned), expected);
  auto removed = io.run(remove_journals(io.loop(), directory.path(), scanned));
  EXPECT_TRUE(removed.has_value());
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST_F(ReplayFixture, a_torn_last_group_is_cut) {
  auto journal = create("journal-0", kSmall);
  append(*journal, client, 1, 0);
  append(*journal, client, 1, 1, 9000);
  io.run(journal->close());
  damage(0, 8192, 4096);  // the second group's second block
  const ScannedJournals scanned = scan();
  EXPECT_TRUE(scanned.rotten.empty());
  EXPECT_EQ(scanned.torn_bytes, 12288);
  EXPECT_EQ(replay(scanned), Texts{"append 1 0-1"});
}

TEST_F(ReplayFixture, a_damaged_group_before_a_valid_one_is_rot_and_is_told) {
  auto journal = create("journal-0", kSmall);
  append(*journal, client, 1, 0);
  append(*journal, client, 1, 1, 9000);
  append(*journal, client, 1, 2);
  io.run(journal->close());
  damage(0, 8192, 4096);
  const ScannedJournals scanned = scan();
  ASSERT_EQ(scanned.rotten.size(), 1U);
  EXPECT_EQ(scanned.rotten[0].code, Errc::corrupt);
  EXPECT_NE(scanned.rotten[0].context.find("position 4096"), std::string::npos);
  EXPECT_EQ(replay(scanned), (Texts{"append 1 0-1", "lost 1 1-2", "append 1 2-3"}));
  io.run(remove_journals(io.loop(), directory.path(), scanned));
  const auto left = std::filesystem::directory_iterator(directory.path());
  EXPECT_TRUE(left->path().string().ends_with(kRottenSuffix));
  EXPECT_TRUE(scan().files.empty());
}

TEST_F(ReplayFixture, rot_at_the_end_of_a_file_is_known_by_the_next_file) {
  auto journal = create("journal-0", kSmall);
  for (Offset i = 0; i < 9; ++i) append(*journal, client, 1, i);
  io.run(journal->close());
  ASSERT_GE(scan().files.size(), 2U);
  damage(0, 28672, 4096);  // the first file's last group
  const ScannedJournals scanned = scan();
  EXPECT_EQ(scanned.rotten.size(), 1U);
  EXPECT_EQ(replay(scanned).size(), 8U);
}

TEST_F(ReplayFixture, an_oldest_file_of_which_nothing_counts_is_rot) {
  auto journal = create("journal-0", kSmall);
  for (Offset i = 0; i < 9; ++i) append(*journal, client, 1, i);
  io.run(journal->close());
  ASSERT_GE(scan().files.size(), 2U);
  damage(0, 0, 32768);
  const ScannedJournals scanned = scan();
  ASSERT_EQ(scanned.rotten.size(), 1U);
  EXPECT_TRUE(scanned.files[0].is_kept);
  EXPECT_EQ(replay(scanned), Texts{"append 1 8-9"});
}

TEST_F(ReplayFixture, a_first_group_too_large_for_the_first_file_leaves_it_empty) {
  auto journal = create("journal-0", kSmall);
  append(*journal, client, 1, 0, 40000);
  io.run(journal->close());
  ASSERT_GE(scan().files.size(), 2U);
  EXPECT_TRUE(scan().rotten.empty());
}

TEST_F(ReplayFixture, an_entry_in_a_rotten_group_whose_own_checksum_holds_is_replayed) {
  auto journal = create("journal-0", kSmall);
  const std::vector<std::uint8_t> bytes(3000, 0);
  const std::vector<std::uint8_t> more(3000, 1);
  journal->append(client, append_entry(partition_id(1), 0, 1, bytes));
  journal->append(client, append_entry(partition_id(2), 1, 2, more));
  io.run_until([&] { return client.durable == 2; });
  append(*journal, client, 1, 2);
  io.run(journal->close());
  damage(0, 5000, 100);
  const ScannedJournals scanned = scan();
  EXPECT_EQ(scanned.rotten.size(), 1U);
  EXPECT_EQ(replay(scanned), (Texts{"append 1 0-1", "lost 2 1-2", "append 1 2-3"}));
}

TEST_F(ReplayFixture, what_came_before_a_removal_is_void) {
  auto journal = create("journal-0", kSmall);
  append(*journal, client, 1, 0);
  append(*journal, client, 2, 0);
  put(*journal, client, {JournalEntryType::remove, partition_id(1), 0, 0, {}});
  put(*journal, client, {JournalEntryType::remove, partition_id(2), 0, 0, {}});
  append(*journal, client, 2, 5);
  put(*journal, client, {JournalEntryType::truncate, partition_id(2), 0, 5, {}});
  io.run(journal->close());
  const ScannedJournals scanned = scan();
  EXPECT_TRUE(scanned.partitions.at(partition_id(1)).is_removed);
  EXPECT_FALSE(scanned.partitions.at(partition_id(2)).is_removed);
  EXPECT_EQ(scanned.partitions.at(partition_id(2)).append_first, 5);
  EXPECT_EQ(replay(scanned), (Texts{"append 2 5-6", "truncate 2 0-5"}));
}

TEST_F(ReplayFixture, old_content_of_a_recycled_file_means_nothing) {
  auto journal = create("journal-0", kSmall);
  for (Offset i = 0; i < 40; ++i) {
    append(*journal, client, 1, i, 2000);
    if (i < 38) journal->release(client, client.durable);
    io.run_until([&] { return !journal->is_full(); });
  }
  EXPECT_GE(journal->counters().files_recycled, 2U);
  io.run(journal->close());
  const ScannedJournals scanned = scan();
  EXPECT_TRUE(scanned.rotten.empty());
  const Texts seen = replay(scanned);
  ASSERT_GE(seen.size(), 2U);
  EXPECT_EQ(seen.back(), "append 1 39-40");
  EXPECT_LE(seen.size(), 20U);
}

// Every block of a journal overwritten in turn: no entry comes back changed, none out of order, and
// only damage after which nothing valid comes goes unreported.
TEST_F(ReplayFixture, any_block_may_rot) {
  auto journal = create("journal-0", kSmall);
  for (Offset i = 0; i < 12; ++i) append(*journal, client, 1, i, 100 + i % 3 * 4000);
  io.run(journal->close());
  const std::string keep = directory.path() + "-copy";
  std::filesystem::copy(directory.path(), keep);
  const std::size_t files = scan().files.size();
  for (std::size_t file = 0; file < files; ++file) {
    for (std::uint64_t block = 0; block < 8; ++block) {
      std::filesystem::remove_all(directory.path());
      std::filesystem::copy(keep, directory.path());
      damage(file, block * 4096 + (block * 997) % 4000, 64);
      const ScannedJournals scanned = scan();
      Texts seen = replay(scanned);
      std::erase_if(seen, [](const std::string& text) { return text.starts_with("lost"); });
      Offset last = -1;
      for (const std::string& text : seen) {
        const Offset first = std::stoll(text.substr(text.find(' ', 7) + 1));
        EXPECT_GT(first, last);
        last = first;
      }
      EXPECT_GE(seen.size(), 11U);
      if (seen.size() < 12 && last == 11) EXPECT_FALSE(scanned.rotten.empty()) << file << block;
    }
  }
  std::filesystem::remove_all(keep);
}

}  // namespace
}  // namespace drave::segments::testing
