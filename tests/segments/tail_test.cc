#include "segments/tail.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "tests/segments/log_support.h"

namespace drave::segments::testing {
namespace {

// A log's tail, and how much of it is in its file.
struct GrowingTail {
  explicit GrowingTail(TailBudget& budget) : tail(budget) {}
  Tail tail;
  std::uint64_t end = 0;
  std::uint64_t written = 0;
  Offset next = 0;
};

// Appends to all tails in turn; where memory is scarce, as the flusher sees it, the one that was
// not written for longest is.
struct SharedMemory {
  void append_to_all(const std::vector<std::uint8_t>& batch) {
    for (const auto& log : logs) {
      budget.make_room(static_cast<std::int64_t>(batch.size()));
      log->tail.append({0, log->end}, batch, log->next, log->next + 1);
      log->end += batch.size();
      ++log->next;
      while ((budget.used_bytes() - budget.evictable_bytes()) * 4 >= budget.bytes_max() * 3)
        write_next();
    }
  }
  void write_next() {
    GrowingTail& log = *logs[next_written++ % logs.size()];
    ++writes;
    bytes_written += log.end - log.written;
    log.written = log.end;
    log.tail.set_written({0, log.written});
  }

  LogRun run;
  TailBudget budget{run.loop(), 32 * kMiB};
  std::vector<std::unique_ptr<GrowingTail>> logs;
  std::size_t next_written = 0;
  std::uint64_t writes = 0;
  std::uint64_t bytes_written = 0;
};

TEST(Tail, memory_that_many_share_holds_bytes_not_room_for_them) {
  constexpr std::size_t kLogs = 500;
  SharedMemory memory;
  for (std::size_t i = 0; i < kLogs; ++i)
    memory.logs.push_back(std::make_unique<GrowingTail>(memory.budget));
  BatchShape shape;
  shape.value_bytes = 1000;
  const std::vector<std::uint8_t> batch = make_batch(shape);
  for (int round = 0; round < 150; ++round) memory.append_to_all(batch);
  ASSERT_GT(memory.writes, kLogs);
  // Three quarters of the memory are 49 KiB for each; the next one to be written has most.
  EXPECT_GE(memory.bytes_written / memory.writes, 48 * kKiB);
  EXPECT_LE(memory.budget.used_bytes(), memory.budget.bytes_max());
  for (const auto& log : memory.logs) log->tail.clear();
  EXPECT_EQ(memory.budget.evictable_bytes(), 0);
}

TEST(Tail, that_grows_alone_has_large_chunks) {
  SharedMemory memory;
  for (int i = 0; i < 100; ++i) memory.logs.push_back(std::make_unique<GrowingTail>(memory.budget));
  BatchShape shape;
  shape.value_bytes = 1000;
  const std::vector<std::uint8_t> batch = make_batch(shape);
  memory.append_to_all(batch);
  while (memory.writes < 100) memory.write_next();
  memory.logs.resize(1);  // what others hold in files is no reason for small chunks
  for (int round = 0; round < 6000; ++round) memory.append_to_all(batch);
  TailPiece piece =
      memory.logs.front()->tail.next_piece({0, memory.logs.front()->end - 600 * 1000},
                                           {0, memory.logs.front()->end}, 512 * kKiB, false, false);
  EXPECT_LE(piece.vectors.size(), 2u);
}

}  // namespace
}  // namespace drave::segments::testing
