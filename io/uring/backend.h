#pragma once
// The implementation behind make_uring_backend(). Private to io/uring.

#include <sys/stat.h>

#include <array>
#include <memory>
#include <unordered_map>
#include <vector>

#include "io/backend.h"
#include "io/uring/buffer_ring.h"
#include "io/uring/listeners.h"
#include "io/uring/resolver.h"
#include "io/uring/ring.h"
#include "io/uring/uring_backend.h"

namespace drave::io {

// What an operation needs beside itself while the kernel has it.
struct OperationExtra {
  union {
    msghdr message;
    struct statx status;
  };
  // connect: the socket, and the addresses that are still to be tried, the current one first.
  int fd = -1;
  std::vector<KernelAddress> addresses;
  std::uint64_t question = 0;
};

class UringBackend final : public Backend {
 public:
  UringBackend();
  ~UringBackend() override;
  Result<void> open(const UringOptions& options);

  void submit(Operation& operation) override;
  void cancel(Operation& operation) override;
  void wait(Instant deadline, IntrusiveList<Operation>& completed) override;
  std::int32_t read_cached(Handle handle, std::uint64_t position, MutableByteView into) override;
  void return_buffer(MutableByteView buffer) override;
  void wake(Backend& target) override;
  void wake_from_any_thread() override;
  Instant now() override;
  TimestampMs wall_now() override;
  std::uint64_t entropy() override;
  const BackendCounters& counters() const override { return counters_; }

 private:
  // Where an operation is; in backend_word[1], with kCanceled set once its end was asked for.
  // backend_word[0] is its OperationExtra, or 0.
  enum Stage : std::uint64_t {
    kDone = 0,  // in done_, or delivered
    kInKernel,
    kStarved,     // in starved_: waits for a receive buffer
    kRestarting,  // in restarting_: goes to the kernel again in the next wait()
    kResolving,   // in resolving_
    kStageMask = 7,
    kCanceled = 8,
  };
  static Stage stage_of(const Operation& operation) {
    return static_cast<Stage>(operation.backend_word[1] & kStageMask);
  }
  static bool is_canceled(const Operation& operation) {
    return (operation.backend_word[1] & kCanceled) != 0;
  }
  static void set_stage(Operation& operation, Stage stage) {
    operation.backend_word[1] = (operation.backend_word[1] & kCanceled) | stage;
  }
  static OperationExtra* extra_of(const Operation& operation) {
    return reinterpret_cast<OperationExtra*>(operation.backend_word[0]);
  }

  // What is remembered about a descriptor, as far as this backend has seen it.
  enum HandleFlags : std::uint8_t {
    kMayHaveData = 1,  // a socket on which trying is cheaper than polling first
    kDirect = 2,       // opened with O_DIRECT
  };
  std::uint8_t& flags_of(int fd);

  OperationExtra& need_extra(Operation& operation);
  void release_extra(Operation& operation);

  // inline_operations.cc: those that no ring of Linux 6.1 can do, or that cost it a worker thread.
  bool try_inline(Operation& operation);
  // submit.cc
  io_uring_sqe& next_entry();
  void start(Operation& operation);
  void prepare(Operation& operation, io_uring_sqe& entry);
  void prepare_file(Operation& operation, io_uring_sqe& entry);
  void prepare_name(Operation& operation, io_uring_sqe& entry);
  void prepare_receive(Operation& operation, io_uring_sqe& entry);
  void prepare_send(Operation& operation, io_uring_sqe& entry);
  bool is_punted(const Operation& operation);
  void begin_connect(Operation& operation);
  void try_next_address(Operation& operation);

  // backend.cc
  void enter(bool may_sleep, Duration timeout);
  void drain();
  void take(std::uint64_t user_data, std::int32_t result, std::uint32_t flags);
  void take_operation(Operation& operation, std::int32_t result, std::uint32_t flags);
  std::int32_t take_receive(Operation& operation, std::int32_t result, std::uint32_t flags);
  void take_connect(Operation& operation, std::int32_t result);
  void take_answers();
  void finish(Operation& operation, std::int32_t result);
  void restart(Operation& operation);
  void arm_event();
  void ring_doorbell(int fd);
  void abandon_all();

  Ring ring_;
  BufferRing buffers_;
  Listeners listeners_;
  int event_fd_ = -1;
  std::uint64_t event_value_ = 0;
  bool event_armed_ = false;
  std::size_t in_kernel_ = 0;

  IntrusiveList<Operation> done_;
  IntrusiveList<Operation> starved_;
  IntrusiveList<Operation> restarting_;
  std::vector<int> doorbells_refused_;

  std::unique_ptr<Resolver> resolver_;  // made for the first name
  std::uint64_t next_question_ = 1;
  std::unordered_map<std::uint64_t, Operation*> resolving_;

  std::vector<std::unique_ptr<OperationExtra>> extras_;
  std::vector<OperationExtra*> extras_free_;
  std::vector<std::uint8_t> handle_flags_;

  std::array<std::uint64_t, 32> entropy_;
  std::size_t entropy_used_ = 32;
  BackendCounters counters_;
};

// The low bits of a completion's user data; 0 is an Operation's address.
enum CompletionTag : std::uint64_t {
  kTagOperation = 0,
  kTagIgnore = 1,    // a cancel's own completion
  kTagEvent = 2,     // the read of event_fd_
  kTagWoken = 3,     // another shard rang here
  kTagDoorbell = 4,  // our ringing failed; the ring's descriptor stands above
  kTagMask = 7,
  kTagBits = 3,
};

}  // namespace drave::io
