#include "segments/journal.h"

#include <filesystem>
#include <fstream>

#include "segments/journal_format.h"
#include "tests/segments/journal_support.h"

namespace drave::segments::testing {
namespace {

struct JournalFixture : ::testing::Test {
  std::unique_ptr<Journal> create(JournalOptions options) {
    auto made = io.run(Journal::create(io.loop(), directory.path(), "journal-0", options));
    EXPECT_TRUE(made.has_value()) << made.error().message();
    return std::move(*made);
  }
  void close(Journal& journal) {
    auto closed = io.run(journal.close());
    EXPECT_TRUE(closed.has_value()) << closed.error().message();
  }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory.path()))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }
  std::vector<std::uint8_t> content(const std::string& name) const {
    std::ifstream file(directory.path() + "/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void append_and_wait(Journal& journal, RecordingClient& client, Offset first,
                       std::size_t size = 100) {
    const std::vector<std::uint8_t> bytes(size, static_cast<std::uint8_t>(first));
    const JournalSequence sequence =
        journal.append(client, append_entry(partition_id(1), first, first + 1, bytes));
    io.run_until([&] { return client.durable >= sequence; });
  }

  TemporaryDirectory directory;
  UringRun io;
};

constexpr JournalOptions kSmall{.file_bytes = 64 * kKiB,
                                .first_file_bytes = 64 * kKiB,
                                .bytes_max = 256 * kKiB,
                                .group_bytes_max = 16 * kKiB};

TEST_F(JournalFixture, an_entry_is_reported_once_and_found_in_the_file) {
  auto journal = create(kSmall);
  RecordingClient client;
  append_and_wait(*journal, client, 0);
  EXPECT_EQ(client.told, 1);
  EXPECT_EQ(journal->durable_sequence(), 1U);
  const auto bytes = content(files().front());
  EXPECT_EQ(parse_journal_file_name(files().front())->journal, "journal-0");
  ASSERT_GE(bytes.size(), kJournalBlock);
  auto header = decode_group_header(bytes);
  ASSERT_TRUE(header.has_value()) << header.error().message();
  EXPECT_EQ(header->generation, 1U);
  EXPECT_EQ(header->number, 1U);
  EXPECT_EQ(header->entry_count, 1U);
  EXPECT_TRUE(check_group_body(*header, bytes).has_value());
  journal->forget(client);
  close(*journal);
  EXPECT_TRUE(files().empty());
}

TEST_F(JournalFixture, appends_of_one_pass_share_a_group_and_each_lone_append_has_its_own) {
  auto journal = create(kSmall);
  RecordingClient one, two;
  std::vector<std::uint8_t> bytes(50, 1);
  for (Offset i = 0; i < 10; ++i)
    journal->append(i % 2 == 0 ? one : two, append_entry(partition_id(1), i, i + 1, bytes));
  io.run_until([&] { return journal->durable_sequence() == 10; });
  EXPECT_EQ(journal->counters().groups, 1U);
  EXPECT_EQ(one.durable, 9U);
  EXPECT_EQ(two.durable, 10U);
  for (Offset i = 10; i < 20; ++i) append_and_wait(*journal, one, i);
  EXPECT_EQ(journal->counters().groups, 11U);
  journal->forget(one);
  journal->forget(two);
  close(*journal);
}

TEST_F(JournalFixture, released_files_are_recycled_and_others_fill_the_journal) {
  auto journal = create(kSmall);
  RecordingClient client;
  JournalSequence sequence = 0;
  const std::vector<std::uint8_t> bytes(3000, 5);
  // Four times the journal's bound, released as it goes.
  for (Offset i = 0; i < 256; ++i) {
    append_and_wait(*journal, client, i, 3000);
    sequence = client.durable;
    journal->release(client, sequence);
    io.run_until([&] { return !journal->is_full(); });
    EXPECT_LE(journal->used_bytes(), kSmall.bytes_max);
  }
  EXPECT_GE(journal->counters().files_recycled, 10U);
  EXPECT_LE(journal->counters().files_created, 4U);
  // Nothing is released any more: the journal fills, and then waits.
  // It may be full for a moment before that, while a file is being prepared.
  int appended = 0;
  int turns = 0;
  for (; turns < 5000; ++turns) {
    if (journal->is_full() && journal->used_bytes() >= 192 * kKiB) break;
    if (!journal->is_full()) {
      journal->append(client, append_entry(partition_id(1), 256 + appended, 257 + appended, bytes));
      ++appended;
    }
    for (int pass = 0; pass < 20; ++pass) io.loop().pass(io.loop().now() + microseconds(200));
  }
  EXPECT_LT(turns, 5000);
  EXPECT_EQ(journal->oldest_clients().size(), 1U);
  const JournalSequence stuck = journal->last_sequence();
  EXPECT_LT(journal->durable_sequence(), stuck);
  journal->release(client, journal->durable_sequence());
  io.run_until([&] { return journal->durable_sequence() == stuck; });
  EXPECT_FALSE(journal->is_full());
  journal->forget(client);
  close(*journal);
  EXPECT_TRUE(files().empty());
}

TEST_F(JournalFixture, entries_larger_than_a_group_or_a_file_are_written_alone) {
  JournalOptions options = kSmall;
  options.bytes_max = kMiB;
  auto journal = create(options);
  RecordingClient client;
  append_and_wait(*journal, client, 0, 40'000);
  append_and_wait(*journal, client, 1, 300'000);
  append_and_wait(*journal, client, 2, 10);
  EXPECT_EQ(journal->counters().groups, 3U);
  journal->release(client, client.durable);
  append_and_wait(*journal, client, 3, 5'000'000);
  journal->forget(client);
  close(*journal);
  EXPECT_TRUE(files().empty());
}

TEST_F(JournalFixture, what_was_not_released_is_left_for_replay) {
  auto journal = create(kSmall);
  RecordingClient client;
  append_and_wait(*journal, client, 0);
  close(*journal);
  EXPECT_FALSE(files().empty());
}

TEST_F(JournalFixture, nothing_is_allocated_per_append_after_warm_up) {
  auto journal = create({});
  RecordingClient client;
  for (Offset i = 0; i < 20; ++i) append_and_wait(*journal, client, i);
  // The first of them has the next file prepared.
  io.run_until([&] { return journal->counters().files_created == 2; });
  for (int pass = 0; pass < 20; ++pass) io.loop().pass(io.loop().now() + microseconds(200));
  const std::int64_t live = io::FramePool::live_count();
  const std::uint64_t heap = io::FramePool::heap_count();
  for (Offset i = 20; i < 60; ++i) append_and_wait(*journal, client, i);
  EXPECT_EQ(io::FramePool::live_count(), live);
  EXPECT_EQ(io::FramePool::heap_count(), heap);
  journal->forget(client);
  close(*journal);
}

}  // namespace
}  // namespace drave::segments::testing
