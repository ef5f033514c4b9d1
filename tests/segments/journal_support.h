#pragma once
// What the tests of journal and log directory share: a loop on io_uring in a directory of their
// own, and a client of a journal that remembers what it was told.

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "io/loop.h"
#include "io/uring/uring_backend.h"
#include "segments/journal.h"

namespace drave::segments::testing {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    // Not below /dev/shm: the file system shall know O_DIRECT.
    const char* base = std::getenv("TMPDIR");
    std::string path = std::string(base != nullptr ? base : "/var/tmp") + "/drave-test-XXXXXX";
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    path_ = path;
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Runs tasks to their end on a loop over io_uring.
class UringRun {
 public:
  UringRun() : backend_(make_backend()), loop_(*backend_, 0) {}
  io::Loop& loop() { return loop_; }

  template <class T>
  T run(io::Task<T> task) {
    std::optional<T> value;
    bool ended = false;
    loop_.start(keep(std::move(task), value, ended));
    while (!ended) loop_.pass(loop_.now() + seconds(1));
    return std::move(*value);
  }
  template <class Condition>
  void run_until(Condition condition) {
    while (!condition()) loop_.pass(loop_.now() + milliseconds(5));
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

struct RecordingClient final : JournalClient {
  void on_journal_durable(JournalSequence sequence) override {
    EXPECT_GT(sequence, durable);
    durable = sequence;
    ++told;
  }
  void on_journal_failed(const Error& error) override { failed = error.code; }

  JournalSequence durable = 0;
  int told = 0;
  std::optional<Errc> failed;
};

inline TopicIdPartition partition_id(std::uint64_t topic, PartitionIndex partition = 0) {
  return {{7, topic}, partition};
}

inline JournalEntry append_entry(TopicIdPartition partition, Offset first, Offset end,
                                 ByteView payload) {
  return {JournalEntryType::append, partition, first, end, payload};
}

}  // namespace drave::segments::testing
