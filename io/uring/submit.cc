// From an Operation to an entry of the submission queue.

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "io/uring/backend.h"

namespace drave::io {
namespace {

constexpr mode_t kFileMode = 0644;
constexpr mode_t kDirectoryMode = 0755;
// The kernel's own bound of one transfer, to a block.
constexpr std::size_t kTransferMax = 0x7ffff000;

int open_flags(const OpenOptions& options) {
  int flags = O_CLOEXEC;
  flags |= options.read && options.write ? O_RDWR : options.write ? O_WRONLY : O_RDONLY;
  if (options.create) flags |= O_CREAT;
  if (options.exclusive) flags |= O_EXCL;
  if (options.truncate) flags |= O_TRUNC;
  if (options.directory) flags |= O_DIRECTORY;
  if (options.direct) flags |= O_DIRECT;
  if (options.write_through) flags |= O_DSYNC;
  return flags;
}

unsigned transfer_size(const iovec& vector) {
  return static_cast<unsigned>(std::min(vector.iov_len, kTransferMax));
}

unsigned vector_count(const Operation& operation) {
  return std::min(operation.vector_count, static_cast<std::uint32_t>(IOV_MAX));
}

}  // namespace

void UringBackend::submit(Operation& operation) {
  ++counters_.submitted;
  operation.backend_word[0] = 0;
  operation.backend_word[1] = kInKernel;
  if (try_inline(operation)) return;
  if (operation.code == OperationCode::connect) return begin_connect(operation);
  start(operation);
}

io_uring_sqe& UringBackend::next_entry() {
  while (true) {
    io_uring_sqe* entry = ring_.next_entry();
    if (entry != nullptr) return *entry;
    enter(false, {});
    if (ring_.unsubmitted() > 0) drain();
  }
}

void UringBackend::start(Operation& operation) {
  if (operation.code == OperationCode::connect) return try_next_address(operation);
  if (is_punted(operation)) ++counters_.punts;
  io_uring_sqe& entry = next_entry();
  prepare(operation, entry);
  entry.user_data = reinterpret_cast<std::uintptr_t>(&operation);
  set_stage(operation, kInKernel);
  ++in_kernel_;
}

// What always goes to a worker thread on the kernels that we know; a buffered write does on file
// systems without asynchronous buffered writes (ext4), which is what is assumed.
bool UringBackend::is_punted(const Operation& operation) {
  switch (operation.code) {
    case OperationCode::open: return operation.open.create || operation.open.truncate;
    case OperationCode::write: return (flags_of(operation.handle.value) & kDirect) == 0;
    case OperationCode::sync_data:
    case OperationCode::sync:
    case OperationCode::truncate:
    case OperationCode::allocate:
    case OperationCode::rename:
    case OperationCode::unlink:
    case OperationCode::make_directory:
    case OperationCode::remove_directory:
    case OperationCode::status: return true;
    default: return false;
  }
}

void UringBackend::prepare(Operation& operation, io_uring_sqe& entry) {
  const int fd = operation.handle.value;
  switch (operation.code) {
    case OperationCode::read:
    case OperationCode::write:
    case OperationCode::sync_data:
    case OperationCode::sync:
    case OperationCode::truncate:
    case OperationCode::allocate: return prepare_file(operation, entry);
    case OperationCode::accept:
      return io_uring_prep_accept(&entry, fd, nullptr, nullptr, SOCK_CLOEXEC);
    case OperationCode::receive: return prepare_receive(operation, entry);
    case OperationCode::send: return prepare_send(operation, entry);
    case OperationCode::close:
      listeners_.forget(fd);
      flags_of(fd) = kMayHaveData;
      return io_uring_prep_close(&entry, fd);
    default: return prepare_name(operation, entry);
  }
}

void UringBackend::prepare_file(Operation& operation, io_uring_sqe& entry) {
  const int fd = operation.handle.value;
  const bool is_single = operation.vector_count == 1;
  switch (operation.code) {
    case OperationCode::read:
      if (is_single) {
        io_uring_prep_read(&entry, fd, operation.vectors->iov_base,
                           transfer_size(*operation.vectors), operation.position);
      } else {
        io_uring_prep_readv(&entry, fd, operation.vectors, vector_count(operation),
                            operation.position);
      }
      return;
    case OperationCode::write:
      if (is_single) {
        io_uring_prep_write(&entry, fd, operation.vectors->iov_base,
                            transfer_size(*operation.vectors), operation.position);
      } else {
        io_uring_prep_writev(&entry, fd, operation.vectors, vector_count(operation),
                             operation.position);
      }
      if (operation.write_through) entry.rw_flags = RWF_DSYNC;
      return;
    case OperationCode::sync_data: return io_uring_prep_fsync(&entry, fd, IORING_FSYNC_DATASYNC);
    case OperationCode::sync: return io_uring_prep_fsync(&entry, fd, 0);
    case OperationCode::truncate:
      return io_uring_prep_rw(abi::kOperationTruncate, &entry, fd, nullptr, 0, operation.size);
    default:
      return io_uring_prep_fallocate(&entry, fd, 0, static_cast<off_t>(operation.position),
                                     static_cast<off_t>(operation.size));
  }
}

void UringBackend::prepare_name(Operation& operation, io_uring_sqe& entry) {
  const char* path = operation.path;
  switch (operation.code) {
    case OperationCode::open:
      return io_uring_prep_openat(&entry, AT_FDCWD, path, open_flags(operation.open), kFileMode);
    case OperationCode::rename:
      return io_uring_prep_renameat(&entry, AT_FDCWD, path, AT_FDCWD, operation.path_to, 0);
    case OperationCode::unlink: return io_uring_prep_unlinkat(&entry, AT_FDCWD, path, 0);
    case OperationCode::remove_directory:
      return io_uring_prep_unlinkat(&entry, AT_FDCWD, path, AT_REMOVEDIR);
    case OperationCode::make_directory:
      return io_uring_prep_mkdirat(&entry, AT_FDCWD, path, kDirectoryMode);
    case OperationCode::status:
      return io_uring_prep_statx(&entry, AT_FDCWD, path, 0, STATX_BASIC_STATS,
                                 &need_extra(operation).status);
    default: ASSERT(false);
  }
}

void UringBackend::prepare_receive(Operation& operation, io_uring_sqe& entry) {
  const int fd = operation.handle.value;
  if (operation.pooled) {
    io_uring_prep_recv(&entry, fd, nullptr, 0, 0);
    entry.flags |= IOSQE_BUFFER_SELECT;
    entry.buf_group = BufferRing::kGroup;
  } else if (operation.vector_count == 1) {
    io_uring_prep_recv(&entry, fd, operation.vectors->iov_base, transfer_size(*operation.vectors),
                       operation.whole ? MSG_WAITALL : 0);
  } else {
    msghdr& message = need_extra(operation).message;
    message = {};
    message.msg_iov = const_cast<iovec*>(operation.vectors);
    message.msg_iovlen = vector_count(operation);
    io_uring_prep_recvmsg(&entry, fd, &message, operation.whole ? MSG_WAITALL : 0);
  }
  if ((flags_of(fd) & kMayHaveData) == 0) entry.ioprio |= IORING_RECVSEND_POLL_FIRST;
}

void UringBackend::prepare_send(Operation& operation, io_uring_sqe& entry) {
  constexpr int kFlags = MSG_NOSIGNAL | MSG_WAITALL;
  const int fd = operation.handle.value;
  if (operation.vector_count == 1) {
    return io_uring_prep_send(&entry, fd, operation.vectors->iov_base,
                              transfer_size(*operation.vectors), kFlags);
  }
  msghdr& message = need_extra(operation).message;
  message = {};
  message.msg_iov = const_cast<iovec*>(operation.vectors);
  message.msg_iovlen = vector_count(operation);
  io_uring_prep_sendmsg(&entry, fd, &message, kFlags);
}

void UringBackend::begin_connect(Operation& operation) {
  OperationExtra& extra = need_extra(operation);
  extra.fd = -1;
  if (const auto numeric = numeric_address(operation.address)) {
    extra.addresses.assign(1, *numeric);
    return try_next_address(operation);
  }
  if (resolver_ == nullptr)
    resolver_ = std::make_unique<Resolver>([this] { wake_from_any_thread(); });
  extra.question = next_question_++;
  resolving_.emplace(extra.question, &operation);
  set_stage(operation, kResolving);
  resolver_->ask(extra.question, operation.address);
}

void UringBackend::try_next_address(Operation& operation) {
  OperationExtra& extra = *extra_of(operation);
  const KernelAddress& address = extra.addresses.front();
  extra.fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (extra.fd < 0) {
    extra.fd = -1;
    return finish(operation, -errno);
  }
  const int on = 1;
  setsockopt(extra.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  io_uring_sqe& entry = next_entry();
  io_uring_prep_connect(&entry, extra.fd, address.get(), address.size);
  entry.user_data = reinterpret_cast<std::uintptr_t>(&operation);
  set_stage(operation, kInKernel);
  ++in_kernel_;
}

}  // namespace drave::io
