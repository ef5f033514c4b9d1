#include "io/uring/backend.h"

#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

namespace drave::io {
namespace {

constexpr int kLeftoverTriesMax = 8;  // enters in one wait() for entries that the kernel left
constexpr int kAbandonTriesMax = 100;
constexpr std::uint64_t kNsPerSecond = 1'000'000'000;

timespec read_clock(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return time;
}

}  // namespace

Result<std::unique_ptr<Backend>> make_uring_backend(const UringOptions& options) {
  auto backend = std::make_unique<UringBackend>();
  TRY_VOID(backend->open(options));
  return backend;
}

UringBackend::UringBackend() = default;

Result<void> UringBackend::open(const UringOptions& options) {
  event_fd_ = eventfd(0, EFD_CLOEXEC);
  if (event_fd_ < 0) return std::unexpected(error_from_errno(errno, "eventfd"));
  TRY_VOID(ring_.open(options));
  return buffers_.open(ring_.raw(), options.receive_buffers, options.receive_buffer_size);
}

UringBackend::~UringBackend() {
  resolver_.reset();
  abandon_all();
  ring_.close();
  if (event_fd_ >= 0) ::close(event_fd_);
}

// Memory that the kernel may write to must outlive its requests, and a ring that is closed goes on
// with them for a while. Whoever waited for these operations is gone and hears nothing.
void UringBackend::abandon_all() {
  if (in_kernel_ > 0) {
    io_uring_sqe& entry = next_entry();
    io_uring_prep_cancel(&entry, nullptr, IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY);
    entry.user_data = kTagIgnore;
  }
  for (int i = 0; i < kAbandonTriesMax && in_kernel_ > 0; ++i) {
    enter(true, milliseconds(50));
    drain();
  }
  for (auto* list : {&done_, &starved_, &restarting_}) {
    while (!list->empty()) list->pop_front().in_flight = false;
  }
  for (auto& [question, operation] : resolving_) operation->in_flight = false;
}

void UringBackend::wait(Instant deadline, IntrusiveList<Operation>& completed) {
  if (resolver_ != nullptr) take_answers();
  IntrusiveList<Operation> again;
  again.splice_back(restarting_);
  while (!again.empty()) start(again.pop_front());
  for (const int fd : std::exchange(doorbells_refused_, {})) ring_doorbell(fd);
  arm_event();

  Duration timeout = nanoseconds(-1);
  bool sleep = done_.empty() && !ring_.has_completions();
  if (sleep && deadline != Instant::never()) {
    timeout = deadline - now();
    sleep = timeout.ns > 0;
  }
  if (sleep || ring_.unsubmitted() > 0 || ring_.has_deferred() || ring_.has_overflow())
    enter(sleep, timeout);
  drain();
  // The flag is a hint and may be stale: one more look and no loop.
  if (ring_.has_deferred()) {
    enter(false, {});
    drain();
  }
  if (ring_.has_overflow()) {
    ++counters_.overflows;
    enter(false, {});
    drain();
  }
  for (int i = 0; i < kLeftoverTriesMax && ring_.unsubmitted() > 0; ++i) {
    enter(false, {});
    drain();
  }
  completed.splice_back(done_);
}

void UringBackend::enter(bool may_sleep, Duration timeout) {
  ++counters_.waits;
  const int result = ring_.enter(may_sleep, timeout);
  // EBUSY and EAGAIN: the kernel has no room until completions are taken, which the caller does.
  ASSERT(result == 0 || result == -ETIME || result == -EINTR || result == -EBUSY ||
         result == -EAGAIN || result == -ENOMEM);
}

void UringBackend::drain() {
  ring_.drain([this](std::uint64_t user_data, std::int32_t result, std::uint32_t flags) {
    take(user_data, result, flags);
  });
}

void UringBackend::take(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) {
  switch (user_data & kTagMask) {
    case kTagOperation:
      take_operation(*reinterpret_cast<Operation*>(user_data), result, flags);
      return;
    case kTagEvent: event_armed_ = false; return;
    case kTagDoorbell:
      // Out of memory is worth another try; else the other ring has gone.
      if (result == -EAGAIN || result == -ENOMEM)
        doorbells_refused_.push_back(static_cast<int>(user_data >> kTagBits));
      return;
    default: return;
  }
}

void UringBackend::take_operation(Operation& operation, std::int32_t result, std::uint32_t flags) {
  ASSERT_EQUAL(stage_of(operation), kInKernel);
  --in_kernel_;
  switch (operation.code) {
    case OperationCode::receive:
      result = take_receive(operation, result, flags);
      if (result != -ENOBUFS) break;
      // Buffers may have come back, or lie in completions not yet seen, since the kernel looked.
      ++counters_.receive_starved;
      if (is_canceled(operation)) {
        result = -ECANCELED;
        break;
      }
      if (buffers_.taken() < buffers_.count()) return restart(operation);
      set_stage(operation, kStarved);
      starved_.push_back(operation);
      return;
    case OperationCode::connect: return take_connect(operation, result);
    case OperationCode::open:
      if (result >= 0) flags_of(result) = operation.open.direct ? kDirect : 0;
      break;
    case OperationCode::accept:
      if (result < 0) break;
      flags_of(result) = kMayHaveData;
      if (operation.peer != nullptr) {
        KernelAddress peer;
        peer.size = sizeof(peer.storage);
        if (getpeername(result, reinterpret_cast<sockaddr*>(&peer.storage), &peer.size) == 0)
          *operation.peer = from_kernel(peer);
      }
      break;
    case OperationCode::status:
      if (result == 0) {
        const auto& found = extra_of(operation)->status;
        operation.file_status->size = found.stx_size;
        operation.file_status->is_directory = S_ISDIR(found.stx_mode);
        operation.file_status->modified_ms =
            found.stx_mtime.tv_sec * 1000 + found.stx_mtime.tv_nsec / 1'000'000;
      }
      break;
    default: break;
  }
  // A worker thread that was interrupted says EINTR.
  if (result == -EINTR && is_canceled(operation)) result = -ECANCELED;
  finish(operation, result);
}

std::int32_t UringBackend::take_receive(Operation& operation, std::int32_t result,
                                        std::uint32_t flags) {
  std::uint8_t& handle = flags_of(operation.handle.value);
  handle = (flags & IORING_CQE_F_SOCK_NONEMPTY) != 0
               ? static_cast<std::uint8_t>(handle | kMayHaveData)
               : static_cast<std::uint8_t>(handle & ~kMayHaveData);
  if (!operation.pooled) return result;
  operation.pooled_buffer = {};
  if ((flags & IORING_CQE_F_BUFFER) == 0) {
    ASSERT_AT_MOST(result, 0);
    return result;
  }
  const auto id = static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
  const MutableByteView buffer =
      buffers_.take(id, result > 0 ? static_cast<std::size_t>(result) : 0);
  if (result > 0) {
    operation.pooled_buffer = buffer;
  } else {
    return_buffer(buffer);
  }
  return result;
}

void UringBackend::take_connect(Operation& operation, std::int32_t result) {
  OperationExtra& extra = *extra_of(operation);
  const int fd = std::exchange(extra.fd, -1);
  if (result == 0) {
    flags_of(fd) = 0;
    return finish(operation, fd);
  }
  ::close(fd);
  extra.addresses.erase(extra.addresses.begin());
  if (is_canceled(operation)) return finish(operation, -ECANCELED);
  if (extra.addresses.empty()) return finish(operation, result);
  restart(operation);
}

void UringBackend::take_answers() {
  for (Resolver::Answer& answer : resolver_->take()) {
    const auto found = resolving_.find(answer.question);
    if (found == resolving_.end()) continue;  // canceled meanwhile
    Operation& operation = *found->second;
    resolving_.erase(found);
    if (answer.addresses.empty()) {
      finish(operation, -answer.system);
      continue;
    }
    extra_of(operation)->addresses = std::move(answer.addresses);
    restart(operation);
  }
}

void UringBackend::finish(Operation& operation, std::int32_t result) {
  operation.result = result;
  release_extra(operation);
  operation.backend_word[1] = kDone;
  ++counters_.completed;
  done_.push_back(operation);
}

void UringBackend::restart(Operation& operation) {
  set_stage(operation, kRestarting);
  restarting_.push_back(operation);
}

void UringBackend::cancel(Operation& operation) {
  operation.backend_word[1] |= kCanceled;
  switch (stage_of(operation)) {
    case kInKernel: {
      // Whoever tries again may reach another of the name's addresses.
      if (operation.code == OperationCode::connect && extra_of(operation)->addresses.size() > 1)
        resolver_->note_silent(operation.address);
      // Entries are taken in order, so this one cannot meet a later operation at the same address.
      io_uring_sqe& entry = next_entry();
      // To make room for it, completions may have been taken; this operation's among them.
      io_uring_prep_cancel(&entry, &operation, 0);
      entry.flags |= IOSQE_CQE_SKIP_SUCCESS;
      entry.user_data = kTagIgnore;
      return;
    }
    case kStarved:
    case kRestarting: operation.unlink(); return finish(operation, -ECANCELED);
    case kResolving:
      resolver_->forget(extra_of(operation)->question);
      resolving_.erase(extra_of(operation)->question);
      return finish(operation, -ECANCELED);
    default: return;
  }
}

void UringBackend::arm_event() {
  if (event_armed_) return;
  io_uring_sqe& entry = next_entry();
  io_uring_prep_read(&entry, event_fd_, &event_value_, sizeof(event_value_), 0);
  entry.user_data = kTagEvent;
  event_armed_ = true;
}

std::int32_t UringBackend::read_cached(Handle handle, std::uint64_t position,
                                       MutableByteView into) {
  const iovec vector{into.data(), into.size()};
  const ssize_t result =
      preadv2(handle.value, &vector, 1, static_cast<off_t>(position), RWF_NOWAIT);
  if (result >= 0) return static_cast<std::int32_t>(result);
  // A file system that cannot tell counts as one that would have to ask its disk.
  return errno == EOPNOTSUPP || errno == EINTR ? -EAGAIN : -errno;
}

void UringBackend::return_buffer(MutableByteView buffer) {
  buffers_.give_back(buffer.data());
  if (!starved_.empty()) restart(starved_.pop_front());
}

void UringBackend::wake(Backend& target) {
  ++counters_.doorbells;
  ring_doorbell(static_cast<UringBackend&>(target).ring_.fd());
}

void UringBackend::ring_doorbell(int fd) {
  io_uring_sqe& entry = next_entry();
  io_uring_prep_msg_ring(&entry, fd, 0, kTagWoken, 0);
  entry.flags |= IOSQE_CQE_SKIP_SUCCESS;
  entry.user_data = (static_cast<std::uint64_t>(fd) << kTagBits) | kTagDoorbell;
}

void UringBackend::wake_from_any_thread() {
  const std::uint64_t one = 1;
  // Fails only if 2^64 wakes are pending.
  [[maybe_unused]] const ssize_t written = ::write(event_fd_, &one, sizeof(one));
}

Instant UringBackend::now() {
  const timespec time = read_clock(CLOCK_MONOTONIC);
  return Instant{time.tv_sec * static_cast<std::int64_t>(kNsPerSecond) + time.tv_nsec};
}

TimestampMs UringBackend::wall_now() {
  const timespec time = read_clock(CLOCK_REALTIME);
  return time.tv_sec * 1000 + time.tv_nsec / 1'000'000;
}

std::uint64_t UringBackend::entropy() {
  if (entropy_used_ == entropy_.size()) {
    const ssize_t got = getrandom(entropy_.data(), sizeof(entropy_), 0);
    ASSERT_EQUAL(got, static_cast<ssize_t>(sizeof(entropy_)));
    entropy_used_ = 0;
  }
  return std::exchange(entropy_[entropy_used_++], 0);
}

std::uint8_t& UringBackend::flags_of(int fd) {
  const auto at = static_cast<std::size_t>(fd);
  if (at >= handle_flags_.size()) handle_flags_.resize(at + 64, kMayHaveData);
  return handle_flags_[at];
}

OperationExtra& UringBackend::need_extra(Operation& operation) {
  if (extra_of(operation) != nullptr) return *extra_of(operation);
  if (extras_free_.empty()) {
    extras_.push_back(std::make_unique<OperationExtra>());
    extras_free_.push_back(extras_.back().get());
  }
  OperationExtra* extra = extras_free_.back();
  extras_free_.pop_back();
  operation.backend_word[0] = reinterpret_cast<std::uintptr_t>(extra);
  return *extra;
}

void UringBackend::release_extra(Operation& operation) {
  OperationExtra* extra = extra_of(operation);
  if (extra == nullptr) return;
  ASSERT(extra->fd < 0);
  extra->addresses.clear();
  extras_free_.push_back(extra);
  operation.backend_word[0] = 0;
}

}  // namespace drave::io
