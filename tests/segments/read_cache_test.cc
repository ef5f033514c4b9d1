// Memory of readers behind the tails: what it may grow to, whose it is, and what goes first.

#include "segments/read_cache.h"

#include <vector>

#include "gtest/gtest.h"
#include "segments/log_limits.h"
#include "tests/segments/log_support.h"

namespace drave::segments::testing {
namespace {

constexpr std::size_t kPiece = kMiB;

class ReadMemory : public ::testing::Test {
 protected:
  ReadCache::PiecePtr add(std::uint64_t number, bool is_ahead = false) {
    ReadCache::PiecePtr piece = is_ahead ? cache_.begin_ahead(segment_, 0, number * kPiece, kPiece)
                                         : cache_.begin(segment_, 0, number * kPiece, kPiece);
    if (piece != nullptr) cache_.filled(*piece, kPiece);
    return piece;
  }
  bool has(std::uint64_t number) const {
    return cache_.find(segment_, 0, number * kPiece, true) != nullptr;
  }

  LogRun run_;
  TailBudget tails_{run_.loop(), 16 * kMiB};
  std::shared_ptr<Segment> segment_;
  ReadCache cache_{run_.loop(), ChunkPool::make(0, ChunkPool::kReusedSizeMax), 4 * kMiB};
};

TEST_F(ReadMemory, has_its_bound_and_the_least_recently_used_goes_first) {
  for (std::uint64_t i = 0; i < 4; ++i) add(i);
  cache_.use(*cache_.find(segment_, 0, 0, true));
  add(4);
  EXPECT_EQ(cache_.held_bytes(), 4 * kPiece);
  EXPECT_TRUE(has(0));
  EXPECT_FALSE(has(1));
  EXPECT_TRUE(has(4));
}

TEST_F(ReadMemory, grows_by_what_tails_lend_until_they_need_it) {
  cache_.set_lender(tails_);
  for (std::uint64_t i = 0; i < 30; ++i) add(i);
  EXPECT_EQ(tails_.lent_bytes(), static_cast<std::int64_t>(8 * kMiB));
  EXPECT_EQ(cache_.held_bytes(), 12 * kPiece);
  EXPECT_TRUE(tails_.make_room(10 * kMiB));
  EXPECT_EQ(tails_.lent_bytes(), static_cast<std::int64_t>(6 * kMiB));
  EXPECT_EQ(cache_.held_bytes(), 10 * kPiece);
  EXPECT_TRUE(tails_.make_room(16 * kMiB));
  EXPECT_EQ(cache_.held_bytes(), 4 * kPiece);
  EXPECT_TRUE(has(29));
}

TEST_F(ReadMemory, takes_nothing_that_tails_have_not_written_nor_their_half) {
  cache_.set_lender(tails_);
  Tail tail(tails_);
  const std::vector<std::uint8_t> batch = make_batch({.records = 1, .value_bytes = 100'000});
  LogPosition at;
  Offset offset = 0;
  while (tails_.used_bytes() < static_cast<std::int64_t>(13 * kMiB)) {
    tail.append(at, batch, offset, offset + 1);
    ++offset;
    at.position += batch.size();
  }
  for (std::uint64_t i = 0; i < 30; ++i) add(i);
  EXPECT_LE(tails_.used_bytes() + tails_.lent_bytes(), tails_.bytes_max());
  EXPECT_EQ(tail.first_offset(), 0);  // nothing of it went
  tail.set_written(at);
  for (std::uint64_t i = 30; i < 60; ++i) add(i);
  EXPECT_GT(tail.first_offset(), 0);
  EXPECT_GE(tails_.used_bytes(), tails_.bytes_max() / 2 - static_cast<std::int64_t>(kMiB));
  EXPECT_GE(cache_.held_bytes(), 11 * kPiece);
  EXPECT_LE(tails_.used_bytes() + tails_.lent_bytes(), tails_.bytes_max());
}

TEST_F(ReadMemory, does_not_give_up_what_answers_hold) {
  std::vector<std::shared_ptr<std::uint8_t>> answers;
  for (std::uint64_t i = 0; i < 4; ++i) answers.push_back(add(i)->memory);
  EXPECT_FALSE(cache_.is_crowded());
  {
    const ReadCache::PiecePtr piece = add(4);
    EXPECT_TRUE(piece->is_dropped);  // read for the one who asked, kept for nobody
    EXPECT_TRUE(cache_.is_crowded());
    EXPECT_EQ(add(5, true), nullptr);
    EXPECT_EQ(cache_.beyond_count(), 0U);  // it has been read
  }
  EXPECT_FALSE(cache_.is_crowded());
  EXPECT_TRUE(has(0) && has(3) && !has(4));
  answers.erase(answers.begin() + 1);
  add(6);
  EXPECT_TRUE(has(0) && !has(1) && has(6));
}

TEST_F(ReadMemory, is_for_read_ahead_by_half) {
  EXPECT_NE(add(0, true), nullptr);
  EXPECT_NE(add(1, true), nullptr);
  EXPECT_EQ(add(2, true), nullptr);
  cache_.use(*cache_.find(segment_, 0, 0, true));
  EXPECT_NE(add(2, true), nullptr);
  EXPECT_EQ(cache_.ahead_bytes(), 2 * kPiece);
}

TEST(ReadRate, counts_the_time_in_which_something_is_read) {
  ReadRate rate;
  Instant now{0};
  const auto read_two = [&](Duration together) {
    rate.begin(now);
    rate.begin(now + milliseconds(1));
    now = now + together;
    rate.end(now, kReadRateBytes / 2);
    rate.end(now, kReadRateBytes / 2);
    now = now + seconds(100);  // nobody reads
  };
  EXPECT_FALSE(rate.is_slow());  // not known
  read_two(milliseconds(1000 * kReadRateBytes / kSlowReadsPerSecond + 5));
  EXPECT_TRUE(rate.is_slow());
  read_two(milliseconds(1000 * kReadRateBytes / kSlowReadsPerSecond - 5));
  EXPECT_FALSE(rate.is_slow());
}

// A small answer is accounted for by its own size: it must not hold the MiB that was read for it.
TEST(ReadAnswers, hold_what_they_are_charged_for_when_memory_is_short) {
  LogTestDirectory directory;
  LogRun run;
  LogHarness harness(run.loop(), directory.path(), 2 * kMiB, 64, 2 * kMiB);
  auto log = run.run(harness.open({}, {.clean = true}));
  ASSERT_TRUE(log.has_value());
  std::vector<std::vector<std::uint8_t>> batches;
  for (int i = 0; i < 240; ++i) {
    batches.push_back(make_batch({.records = 1, .value_bytes = 60'000, .fill = std::uint8_t(i)}));
    std::vector<std::uint8_t> batch = batches.back();
    ASSERT_TRUE((*log)->append_as_leader(batch, 0, 5000).has_value());
    batches.back() = batch;  // with its offset
    if (i % 10 == 9) ASSERT_TRUE(run.run((*log)->flush()).has_value());
  }
  harness.tails.make_room(INT64_MAX / 2);
  std::vector<ReadResult> answers;
  for (Offset offset = 0; offset < 240; offset += 20) {
    ReadRequest request{.offset = offset, .bytes_max = 1000, .at_least_one_batch = true};
    auto answer = run.run((*log)->read(request));
    ASSERT_TRUE(answer.has_value()) << answer.error().message();
    EXPECT_TRUE(flatten(*answer) == batches[static_cast<std::size_t>(offset)]) << offset;
    answers.push_back(std::move(*answer));
  }
  const ReadCache& cache = harness.files.read_cache();
  // Two MiB, one that is lent, one that is being read; and the answers.
  EXPECT_LE(cache.held_bytes(), 4 * kMiB + 12 * 64 * kKiB);
  EXPECT_GT(cache.counters().copies, 0u);
  for (std::size_t i = 0; i < answers.size(); ++i)
    EXPECT_TRUE(flatten(answers[i]) == batches[i * 20]) << i;
  answers.clear();
  EXPECT_FALSE(cache.is_crowded());
  ASSERT_TRUE(run.run((*log)->close()).has_value());
}

// Where the disk is slow, what is read for the third time comes from the page cache.
TEST(ReadAnswers, of_a_slow_disk_come_from_the_page_cache_in_the_end) {
  LogTestDirectory directory;
  LogRun run;
  LogHarness harness(run.loop(), directory.path(), 2 * kMiB, 64, 2 * kMiB);
  auto log = run.run(harness.open({}, {.clean = true}));
  ASSERT_TRUE(log.has_value());
  for (int i = 0; i < 100; ++i) {
    std::vector<std::uint8_t> batch = make_batch({.records = 1, .value_bytes = 60'000});
    ASSERT_TRUE((*log)->append_as_leader(batch, 0, 5000).has_value());
    if (i % 10 == 9) ASSERT_TRUE(run.run((*log)->flush()).has_value());
  }
  harness.tails.make_room(INT64_MAX / 2);
  ReadRate& rate = harness.files.read_rate();
  rate.begin(Instant{0});
  rate.end(Instant{0} + seconds(10), kReadRateBytes);
  const ReadCache::Counters& counters = harness.files.read_cache().counters();
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(run.run(read_all(**log, 0, 1 << 20)).has_value());
  const std::uint64_t before = counters.ahead;  // past the page cache only
  EXPECT_GT(before, 5u);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(run.run(read_all(**log, 0, 1 << 20)).has_value());
  EXPECT_LE(counters.ahead, before + 6);
  ASSERT_TRUE(run.run((*log)->close()).has_value());
}

}  // namespace
}  // namespace drave::segments::testing
