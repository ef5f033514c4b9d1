#include "io/uring/ring.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "io/uring/probe.h"

namespace drave::io {
namespace {

constexpr std::uint32_t kCompletionsPerEntry = 8;

struct Needed {
  int operation;
  const char* name;
};
constexpr Needed kNeeded[] = {
    {IORING_OP_READV, "readv"},       {IORING_OP_WRITEV, "writev"},
    {IORING_OP_FSYNC, "fsync"},       {IORING_OP_FALLOCATE, "fallocate"},
    {IORING_OP_OPENAT, "openat"},     {IORING_OP_CLOSE, "close"},
    {IORING_OP_STATX, "statx"},       {IORING_OP_RENAMEAT, "renameat"},
    {IORING_OP_UNLINKAT, "unlinkat"}, {IORING_OP_MKDIRAT, "mkdirat"},
    {IORING_OP_ACCEPT, "accept"},     {IORING_OP_CONNECT, "connect"},
    {IORING_OP_SEND, "send"},         {IORING_OP_SENDMSG, "sendmsg"},
    {IORING_OP_RECV, "recv"},         {IORING_OP_RECVMSG, "recvmsg"},
    {IORING_OP_MSG_RING, "msg_ring"}, {IORING_OP_ASYNC_CANCEL, "async_cancel"},
};

}  // namespace

Result<void> Ring::open(const UringOptions& options) {
  io_uring_params parameters{};
  parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                     IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE |
                     IORING_SETUP_CLAMP;
  parameters.cq_entries = options.entries * kCompletionsPerEntry;
  const int made = io_uring_queue_init_params(options.entries, &ring_, &parameters);
  if (made < 0) return std::unexpected(explain_setup_failure(-made, read_surroundings()));
  is_open_ = true;
  TRY_VOID(check_features(parameters));
  io_uring_ring_dontfork(&ring_);
  unsigned workers[2] = {options.workers_bounded_max, options.workers_unbounded_max};
  const int limited = io_uring_register_iowq_max_workers(&ring_, workers);
  if (limited < 0) return failure(Errc::unsupported, "limiting the ring's workers", -limited);
  if (io_uring_register_ring_fd(&ring_) == 1) enter_flags_ |= IORING_ENTER_REGISTERED_RING;
  return {};
}

Result<void> Ring::check_features(const io_uring_params& parameters) {
  constexpr unsigned kFeatures = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP |
                                 IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_FAST_POLL |
                                 IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP;
  if ((parameters.features & kFeatures) != kFeatures)
    return std::unexpected(explain_missing("features that Drave uses", read_surroundings()));
  if ((parameters.features & abi::kFeatureNoIowait) != 0) enter_flags_ |= abi::kEnterNoIowait;
  io_uring_probe* probe = io_uring_get_probe_ring(&ring_);
  if (probe == nullptr)
    return std::unexpected(explain_missing("its opcode probe", read_surroundings()));
  std::string missing;
  for (const Needed& needed : kNeeded) {
    if (io_uring_opcode_supported(probe, needed.operation) == 0)
      missing += (missing.empty() ? "" : ", ") + std::string(needed.name);
  }
  has_truncate_ = io_uring_opcode_supported(probe, abi::kOperationTruncate) != 0;
  io_uring_free_probe(probe);
  if (missing.empty()) return {};
  return std::unexpected(explain_missing("the operations " + missing, read_surroundings()));
}

void Ring::close() {
  if (!is_open_) return;
  io_uring_queue_exit(&ring_);
  is_open_ = false;
}

std::uint32_t Ring::unsubmitted() const {
  const std::uint32_t published = *ring_.sq.ktail - io_uring_smp_load_acquire(ring_.sq.khead);
  return published + (ring_.sq.sqe_tail - ring_.sq.sqe_head);
}

bool Ring::has_deferred() const {
  return (IO_URING_READ_ONCE(*ring_.sq.kflags) & IORING_SQ_TASKRUN) != 0;
}

bool Ring::has_overflow() const {
  return (IO_URING_READ_ONCE(*ring_.sq.kflags) & IORING_SQ_CQ_OVERFLOW) != 0;
}

// What io_uring_submit does first; done here because liburing offers no enter with flags of ours.
void Ring::publish_entries() {
  io_uring_sq& queue = ring_.sq;
  if (queue.sqe_head == queue.sqe_tail) return;
  const unsigned mask = *queue.kring_mask;
  unsigned tail = *queue.ktail;
  while (queue.sqe_head != queue.sqe_tail) {
    queue.array[tail & mask] = queue.sqe_head & mask;
    ++tail;
    ++queue.sqe_head;
  }
  io_uring_smp_store_release(queue.ktail, tail);
}

int Ring::enter(bool may_sleep, Duration timeout) {
  publish_entries();
  const std::uint32_t count = unsubmitted();
  unsigned flags = enter_flags_ | IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
  __kernel_timespec span{timeout.ns / 1'000'000'000, timeout.ns % 1'000'000'000};
  io_uring_getevents_arg argument{};
  argument.sigmask_sz = _NSIG / 8;
  if (may_sleep && timeout.ns >= 0) argument.ts = reinterpret_cast<std::uintptr_t>(&span);
  const long entered = syscall(__NR_io_uring_enter, ring_.enter_ring_fd, count, may_sleep ? 1 : 0,
                               flags, &argument, sizeof(argument));
  return entered < 0 ? -errno : 0;
}

std::uint32_t Ring::take_batch() {
  const std::uint32_t mask = *ring_.cq.kring_mask;
  std::uint32_t head = *ring_.cq.khead;
  const std::uint32_t tail = io_uring_smp_load_acquire(ring_.cq.ktail);
  std::uint32_t count = 0;
  for (; head != tail && count < kBatch; ++head, ++count) {
    const io_uring_cqe& entry = ring_.cq.cqes[head & mask];
    batch_[count] = {entry.user_data, entry.res, entry.flags};
  }
  io_uring_smp_store_release(ring_.cq.khead, head);
  return count;
}

}  // namespace drave::io
