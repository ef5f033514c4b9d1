#include "tools/client/connection.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace drave::client {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kReadPiece = 256 * 1024;

Result<void> poll_until(int fd, short events, Clock::time_point end, const std::string& who) {
  while (true) {
    const auto left = std::chrono::ceil<Milliseconds>(end - Clock::now()).count();
    if (left <= 0) return failure(Errc::timed_out, who + " does not answer");
    pollfd one{.fd = fd, .events = events, .revents = 0};
    const int ready = ::poll(&one, 1, static_cast<int>(std::min<std::int64_t>(left, 60'000)));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return std::unexpected(error_from_errno(errno, who));
  }
}

Error unreachable(const Endpoint& endpoint, int system) {
  return {Errc::closed, system, endpoint.to_string()};
}

Result<Socket> dial_address(const Endpoint& endpoint, const addrinfo& address,
                            Clock::time_point end) {
  Socket socket(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (socket.fd() < 0) return std::unexpected(unreachable(endpoint, errno));
  const int one = 1;
  ::setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (::connect(socket.fd(), address.ai_addr, address.ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return std::unexpected(unreachable(endpoint, errno));
    TRY_VOID(poll_until(socket.fd(), POLLOUT, end, endpoint.to_string()));
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return std::unexpected(unreachable(endpoint, error));
  }
  return socket;
}

}  // namespace

Socket::~Socket() {
  if (fd_ >= 0) ::close(fd_);
}

Result<Socket> dial(const Endpoint& endpoint, Milliseconds timeout) {
  const Clock::time_point end = Clock::now() + timeout;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int status =
      ::getaddrinfo(endpoint.host.c_str(), std::to_string(endpoint.port).c_str(), &hints, &found);
  if (status != 0) {
    return failure(Errc::closed,
                   fmt::format("{}: {}", endpoint.to_string(), ::gai_strerror(status)));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, &::freeaddrinfo);
  Result<Socket> dialed = failure(Errc::closed, endpoint.to_string());
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    dialed = dial_address(endpoint, *at, end);
    if (dialed) return dialed;
  }
  return dialed;
}

Result<std::unique_ptr<Connection>> Connection::open(const Endpoint& endpoint,
                                                     Milliseconds timeout) {
  TRY(Socket socket, dial(endpoint, timeout));
  return std::unique_ptr<Connection>(new Connection(endpoint, std::move(socket), timeout));
}

Result<void> Connection::wait(short events, Clock::time_point end) const {
  return poll_until(socket_.fd(), events, end, endpoint_.to_string());
}

Result<void> Connection::send_all(Clock::time_point end) {
  ByteView left = out_.own();
  while (!left.empty()) {
    const ssize_t sent = ::send(socket_.fd(), left.data(), left.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      left = left.subspan(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      TRY_VOID(wait(POLLOUT, end));
    } else if (errno != EINTR) {
      return std::unexpected(unreachable(endpoint_, errno));
    }
  }
  return {};
}

Result<void> Connection::receive(std::uint8_t* at, std::size_t size, Clock::time_point end) const {
  while (size > 0) {
    const ssize_t got = ::recv(socket_.fd(), at, size, 0);
    if (got > 0) {
      at += got;
      size -= static_cast<std::size_t>(got);
    } else if (got == 0) {
      return failure(Errc::closed, endpoint_.to_string() + " closed the connection");
    } else if (errno == EAGAIN) {
      TRY_VOID(wait(POLLIN, end));
    } else if (errno != EINTR) {
      return std::unexpected(unreachable(endpoint_, errno));
    }
  }
  return {};
}

// Returns when something has come, or whoever wants to know has been told that nothing has.
void Connection::wait_patiently(Clock::time_point end) {
  if (slow_ == nullptr) return;
  const Clock::time_point slow = Clock::now() + slow_after_;
  if (slow >= end) return;
  const Result<void> came = wait(POLLIN, slow);
  if (!came && came.error().code == Errc::timed_out) std::exchange(slow_, nullptr)();
}

Result<void> Connection::exchange(std::vector<std::uint8_t>& body) {
  const Clock::time_point end = Clock::now() + timeout_;
  TRY_VOID(send_all(end));
  wait_patiently(end);
  std::uint8_t length_bytes[4];
  TRY_VOID(receive(length_bytes, sizeof length_bytes, end));
  const auto length = load_big<std::int32_t>(length_bytes);
  if (length < 4 || length > kAnswerBytesMax) {
    return failure(Errc::invalid, fmt::format("{} does not speak Kafka's protocol: it announces an "
                                              "answer of {} bytes",
                                              endpoint_.to_string(), length));
  }
  body.clear();
  while (body.size() < static_cast<std::size_t>(length)) {
    const std::size_t had = body.size();
    body.resize(std::min(had + kReadPiece, static_cast<std::size_t>(length)));
    TRY_VOID(receive(body.data() + had, body.size() - had, end));
  }
  return {};
}

}  // namespace drave::client
