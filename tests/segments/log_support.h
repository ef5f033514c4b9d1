#pragma once
// What the tests of partition logs share: a log over any loop with its shard's services, batches to
// put into it, and a plain list of what it must hold.

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "io/loop.h"
#include "io/uring/uring_backend.h"
#include "protocol/batch_builder.h"
#include "protocol/control_record.h"
#include "segments/file_cache.h"
#include "segments/partition_log_impl.h"
#include "segments/tail.h"

namespace drave::segments::testing {

// A directory in memory where there is one: tests of logs sync much.
class LogTestDirectory {
 public:
  LogTestDirectory() {
    for (std::string base : {"/dev/shm", "/var/tmp"}) {
      std::string path = base + "/drave-log-test-XXXXXX";
      if (::mkdtemp(path.data()) == nullptr) continue;
      path_ = path;
      return;
    }
    ADD_FAILURE() << "no directory for tests";
  }
  ~LogTestDirectory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Runs tasks to their end on a loop over io_uring.
class LogRun {
 public:
  LogRun() : backend_(make_backend()), loop_(*backend_, 0) {}
  io::Loop& loop() { return loop_; }

  template <class T>
  T run(io::Task<T> task) {
    std::optional<T> value;
    bool ended = false;
    loop_.start(keep(std::move(task), value, ended));
    // A task that never suspends ends before the loop sleeps: it shall not sleep long.
    while (!ended) loop_.pass(loop_.now() + microseconds(200));
    return std::move(*value);
  }

 private:
  static std::unique_ptr<io::Backend> make_backend() {
    auto made = io::make_uring_backend({.receive_buffers = 4});
    EXPECT_TRUE(made.has_value()) << made.error().message();
    return std::move(*made);
  }
  template <class T>
  static io::Task<void> keep(io::Task<T> task, std::optional<T>& value, bool& ended) {
    value.emplace(co_await std::move(task));
    ended = true;
  }

  std::unique_ptr<io::Backend> backend_;
  io::Loop loop_;
};

inline const TopicIdPartition kTestPartition{{7, 1}, 0};

struct BatchShape {
  int records = 1;
  std::size_t value_bytes = 10;
  TimestampMs timestamp = 1000;
  ProducerId producer_id = -1;
  ProducerEpoch producer_epoch = -1;
  Sequence base_sequence = -1;
  bool transactional = false;
  std::uint8_t fill = 'v';
};

inline std::vector<std::uint8_t> make_batch(const BatchShape& shape = {}) {
  protocol::BatchOptions options;
  options.producer_id = shape.producer_id;
  options.producer_epoch = shape.producer_epoch;
  options.base_sequence = shape.base_sequence;
  options.transactional = shape.transactional;
  protocol::BatchBuilder builder(options);
  const std::vector<std::uint8_t> value(shape.value_bytes, shape.fill);
  for (int i = 0; i < shape.records; ++i) {
    builder.append(shape.timestamp + i, std::nullopt, ByteView(value));
  }
  return std::move(builder).finish();
}

// The services of one shard and one log at a time.
class LogHarness {
 public:
  LogHarness(io::Loop& loop, std::string path, std::int64_t tail_bytes = 16 * kMiB,
             std::int64_t files_max = 64, std::size_t read_bytes_max = kReadCacheBytes)
      : loop_(&loop),
        path_(std::move(path)),
        tails(loop, tail_bytes),
        files(loop, files_max, kIndexBytesMax, read_bytes_max) {
    files.read_cache().set_lender(tails);
  }

  LogServices services(Journal* journal = nullptr) {
    LogServices services;
    services.loop = loop_;
    services.journal = journal;
    services.tails = &tails;
    services.files = &files;
    services.on_fault = [this](const Error& error) { faults.push_back(error); };
    return services;
  }
  io::Task<Result<std::unique_ptr<PartitionLogImpl>>> open(LogConfig config, RecoveryHints hints,
                                                           Journal* journal = nullptr) {
    return PartitionLogImpl::open(services(journal), path_, "t", kTestPartition, config, hints);
  }
  const std::string& path() const { return path_; }
  io::Loop& loop() const { return *loop_; }

 private:
  io::Loop* loop_;
  std::string path_;

 public:
  TailBudget tails;
  FileCache files;
  std::vector<Error> faults;
};

inline std::vector<std::uint8_t> flatten(const ReadResult& result) {
  std::vector<std::uint8_t> bytes;
  for (const LogPiece& piece : result.pieces) {
    bytes.insert(bytes.end(), piece.bytes().begin(), piece.bytes().end());
  }
  return bytes;
}

// All batches from `from` to the end, read in pieces of `bytes_max`.
inline io::Task<Result<std::vector<std::uint8_t>>> read_all(PartitionLog& log, Offset from,
                                                            std::size_t bytes_max) {
  std::vector<std::uint8_t> all;
  while (from < log.end()) {
    ReadRequest request;
    request.offset = from;
    request.bytes_max = bytes_max;
    request.at_least_one_batch = true;
    CO_TRY(std::optional<ReadResult> result, log.try_read(request));
    if (!result) {
      CO_TRY(result, co_await log.read(request));
    }
    if (result->size == 0) break;
    for (const LogPiece& piece : result->pieces) {
      protocol::BatchIterator batches(piece.bytes());
      while (auto batch = batches.next()) {
        EXPECT_TRUE(batch->crc_matches());
        from = batch->last_offset() + 1;
      }
      EXPECT_EQ(batches.remaining(), 0u);
    }
    const std::vector<std::uint8_t> bytes = flatten(*result);
    all.insert(all.end(), bytes.begin(), bytes.end());
  }
  co_return std::move(all);
}

}  // namespace drave::segments::testing
