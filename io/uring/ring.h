#pragma once
// The submission and completion queues, and the one system call that serves both.

#include <cstdint>

#include "base/result.h"
#include "base/units.h"
#include "io/backend.h"
#include "io/uring/uring_abi.h"
#include "io/uring/uring_backend.h"

namespace drave::io {

class Ring {
 public:
  Ring() = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() { close(); }

  // On the thread that will use it. Errors as make_uring_backend.
  Result<void> open(const UringOptions& options);
  void close();

  io_uring& raw() { return ring_; }
  int fd() const { return ring_.ring_fd; }
  bool has_truncate() const { return has_truncate_; }

  // The next free submission entry, cleared; null if the queue is full and must be entered first.
  io_uring_sqe* next_entry() { return io_uring_get_sqe(&ring_); }

  // Entries that the kernel has not taken.
  std::uint32_t unsubmitted() const;
  bool has_completions() const { return io_uring_cq_ready(&ring_) > 0; }
  // The kernel holds back completions until it is entered.
  bool has_deferred() const;
  bool has_overflow() const;

  // Submits all entries and, with `timeout` not negative, sleeps until there is a completion or
  // the time is over. 0, or a negative errno.
  int enter(bool may_sleep, Duration timeout);

  // Calls visit(user_data, result, flags) for every completion there is; their number.
  template <class Visit>
  std::uint32_t drain(Visit visit) {
    std::uint32_t count = 0;
    for (std::uint32_t batch = take_batch(); batch > 0; batch = take_batch()) {
      for (std::uint32_t i = 0; i < batch; ++i)
        visit(batch_[i].user_data, batch_[i].res, batch_[i].flags);
      count += batch;
    }
    return count;
  }

 private:
  // A copy without the flexible array at the end of io_uring_cqe.
  struct Completion {
    std::uint64_t user_data;
    std::int32_t res;
    std::uint32_t flags;
  };
  static constexpr std::uint32_t kBatch = 64;

  Result<void> check_features(const io_uring_params& parameters);
  void publish_entries();
  std::uint32_t take_batch();

  mutable io_uring ring_{};
  bool is_open_ = false;
  bool has_truncate_ = false;
  unsigned enter_flags_ = 0;
  Completion batch_[kBatch];
};

}  // namespace drave::io
