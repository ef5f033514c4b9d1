#include "io/socket.h"

#include <cerrno>
#include <utility>

#include "io/descriptors.h"
#include "io/detail/advance.h"

namespace drave::io {
namespace {

std::unexpected<Error> socket_error(int negative_errno, std::string what) {
  return std::unexpected(error_from_errno(-negative_errno, std::move(what)));
}

std::string to_text(const SocketAddress& address) {
  return address.host + ":" + std::to_string(address.port);
}

Task<void> close_handle(Loop& loop, Handle handle) {
  Operation operation;
  operation.code = OperationCode::close;
  operation.handle = handle;
  co_await perform(loop, operation);
}

Task<void> shut_down(Loop& loop, Handle handle, bool write_only) {
  Operation operation;
  operation.code = OperationCode::shutdown;
  operation.handle = handle;
  operation.shutdown_write_only = write_only;
  // Fails only if the connection has gone already.
  co_await perform(loop, operation);
}

}  // namespace

// --- ReceivedBytes

ReceivedBytes& ReceivedBytes::operator=(ReceivedBytes&& other) noexcept {
  if (this != &other) {
    release();
    loop_ = std::exchange(other.loop_, nullptr);
    bytes_ = std::exchange(other.bytes_, {});
  }
  return *this;
}

void ReceivedBytes::release() {
  if (!bytes_.empty()) loop_->backend().return_buffer(std::exchange(bytes_, {}));
}

// --- Socket

Socket::Socket(Socket&& other) noexcept
    : loop_(std::exchange(other.loop_, nullptr)), handle_(std::exchange(other.handle_, Handle{})) {
  ASSERT(other.receiving_ == nullptr);
}

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    ASSERT(receiving_ == nullptr);
    ASSERT(other.receiving_ == nullptr);
    if (handle_.is_valid()) loop_->close_detached(handle_);
    loop_ = std::exchange(other.loop_, nullptr);
    handle_ = std::exchange(other.handle_, Handle{});
  }
  return *this;
}

Socket::~Socket() {
  if (handle_.is_valid()) loop_->close_detached(handle_);
}

Task<Result<Socket>> Socket::connect(Loop& loop, SocketAddress address) {
  Operation operation;
  operation.code = OperationCode::connect;
  operation.address = std::move(address);
  const std::int32_t result = co_await perform(loop, operation);
  if (result < 0) co_return socket_error(result, "connect " + to_text(operation.address));
  co_return Socket(loop, Handle{result});
}

void Socket::cancel_receive() {
  if (receiving_ != nullptr) loop_->cancel(*receiving_);
}

Task<Result<ReceivedBytes>> Socket::receive() {
  ASSERT(is_open());
  Operation operation;
  operation.code = OperationCode::receive;
  operation.handle = handle_;
  operation.pooled = true;
  std::int32_t result;
  receiving_ = &operation;
  do {
    result = co_await perform(*loop_, operation);
  } while (result == -EINTR || result == -EAGAIN);
  receiving_ = nullptr;
  if (result < 0) co_return socket_error(result, "receive");
  co_return ReceivedBytes(*loop_, operation.pooled_buffer);
}

Task<Result<std::size_t>> Socket::receive_some(MutableByteView into) {
  ASSERT(is_open());
  ASSERT(!into.empty());
  iovec vector{into.data(), into.size()};
  Operation operation;
  operation.code = OperationCode::receive;
  operation.handle = handle_;
  operation.vectors = &vector;
  operation.vector_count = 1;
  std::int32_t result;
  receiving_ = &operation;
  do {
    result = co_await perform(*loop_, operation);
  } while (result == -EINTR || result == -EAGAIN);
  receiving_ = nullptr;
  if (result < 0) co_return socket_error(result, "receive");
  co_return static_cast<std::size_t>(result);
}

Task<Result<std::size_t>> Socket::receive_exactly(MutableByteView into) {
  ASSERT(is_open());
  Operation operation;
  operation.code = OperationCode::receive;
  operation.handle = handle_;
  operation.whole = true;
  std::size_t done = 0;
  while (done < into.size()) {
    iovec rest{into.data() + done, into.size() - done};
    operation.vectors = &rest;
    operation.vector_count = 1;
    receiving_ = &operation;
    const std::int32_t result = co_await perform(*loop_, operation);
    receiving_ = nullptr;
    if (result == -EINTR || result == -EAGAIN) continue;
    if (result < 0) co_return socket_error(result, "receive");
    if (result == 0) break;
    done += static_cast<std::size_t>(result);
  }
  co_return done;
}

Task<Result<void>> Socket::send_all(std::vector<iovec> pieces) {
  ASSERT(is_open());
  Operation operation;
  operation.code = OperationCode::send;
  operation.handle = handle_;
  std::span<iovec> rest = detail::advance(pieces, 0);
  while (!rest.empty()) {
    operation.vectors = rest.data();
    operation.vector_count = static_cast<std::uint32_t>(rest.size());
    const std::int32_t result = co_await perform(*loop_, operation);
    if (result == -EINTR || result == -EAGAIN) continue;
    if (result < 0) co_return socket_error(result, "send");
    rest = detail::advance(rest, static_cast<std::size_t>(result));
  }
  co_return Result<void>{};
}

Task<void> Socket::shutdown_both() {
  return shut_down(*loop_, handle_, false);
}

Task<void> Socket::shutdown_write() {
  return shut_down(*loop_, handle_, true);
}

Task<void> Socket::close() {
  return close_handle(*loop_, release());
}

// --- Listener

Listener::Listener(Listener&& other) noexcept
    : loop_(std::exchange(other.loop_, nullptr)),
      handle_(std::exchange(other.handle_, Handle{})),
      port_(other.port_),
      closing_(other.closing_) {
  ASSERT(other.accepting_ == nullptr);
}

Listener& Listener::operator=(Listener&& other) noexcept {
  if (this == &other) return *this;
  ASSERT(accepting_ == nullptr);
  ASSERT(other.accepting_ == nullptr);
  if (handle_.is_valid()) loop_->close_detached(handle_);
  loop_ = std::exchange(other.loop_, nullptr);
  handle_ = std::exchange(other.handle_, Handle{});
  port_ = other.port_;
  closing_ = other.closing_;
  return *this;
}

Listener::~Listener() {
  ASSERT(accepting_ == nullptr);
  if (handle_.is_valid()) loop_->close_detached(handle_);
}

Task<Result<Listener>> Listener::open(Loop& loop, SocketAddress address, ListenOptions options) {
  Operation operation;
  operation.code = OperationCode::listen;
  operation.address = std::move(address);
  operation.backlog = options.backlog;
  operation.send_buffer_bytes = options.send_buffer_bytes;
  operation.receive_buffer_bytes = options.receive_buffer_bytes;
  const std::int32_t result = co_await perform(loop, operation);
  if (result < 0) co_return socket_error(result, "listen on " + to_text(operation.address));
  Listener listener;
  listener.loop_ = &loop;
  listener.handle_ = Handle{result};
  listener.port_ = operation.address.port;
  co_return listener;
}

Task<Result<Listener::Accepted>> Listener::accept() {
  ASSERT(accepting_ == nullptr);
  Accepted accepted;
  Operation operation;
  operation.code = OperationCode::accept;
  operation.handle = handle_;
  operation.peer = &accepted.peer;
  std::int32_t result = -ECANCELED;
  while (!closing_) {
    accepting_ = &operation;
    result = co_await perform(*loop_, operation);
    accepting_ = nullptr;
    // The peer gave up before it was accepted, and the like: nothing is wrong with the listener.
    const bool is_passing =
        result == -ECONNABORTED || result == -EINTR || result == -EPROTO || result == -EAGAIN;
    if (!is_passing) break;
  }
  if (closing_) {
    if (result >= 0) co_await close_handle(*loop_, Handle{result});
    co_return failure(Errc::canceled, "the listener is closing", ECANCELED);
  }
  if (is_exhausted(result))
    co_return failure(Errc::busy, "accept: no file descriptor or memory is free", -result);
  if (result < 0) co_return socket_error(result, "accept");
  accepted.handle = Handle{result};
  co_return accepted;
}

Task<void> Listener::close() {
  closing_ = true;
  if (accepting_ != nullptr) loop_->cancel(*accepting_);
  while (accepting_ != nullptr) co_await yield(*loop_);
  if (handle_.is_valid()) co_await close_handle(*loop_, std::exchange(handle_, Handle{}));
}

}  // namespace drave::io
