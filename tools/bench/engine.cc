#include "tools/bench/engine.h"

#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace drave::bench {
namespace {

constexpr std::int64_t kSpinNs = 60'000;  // before a moment of sending: no timer is that punctual
constexpr std::size_t kReadRoomMin = 64 * 1024;

}  // namespace

std::int64_t now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

Result<std::unique_ptr<Engine>> Engine::create() {
  ::prctl(PR_SET_TIMERSLACK, 1);
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return std::unexpected(error_from_errno(errno, "epoll"));
  return std::unique_ptr<Engine>(new Engine(epoll));
}

Engine::~Engine() = default;

Result<Channel*> Engine::add(const client::Endpoint& endpoint, client::Milliseconds timeout) {
  auto channel = std::make_unique<Channel>();
  TRY(channel->socket, client::dial(endpoint, timeout));
  channel->index = channels_.size();
  channel->in.resize(kReadRoomMin * 2);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = channel->index;
  if (::epoll_ctl(epoll_.fd(), EPOLL_CTL_ADD, channel->socket.fd(), &event) != 0)
    return std::unexpected(error_from_errno(errno, "epoll"));
  return channels_.emplace_back(std::move(channel)).get();
}

void Engine::send(Channel& channel, Frame frame, std::int64_t began) {
  channel.began.push_back(began);
  channel.unsent.push_back(std::move(frame));
  // What the socket refuses now goes out when it is writable again.
  if (!channel.polls_writable)
    if (auto written = write(channel); !written) write_failure_ = std::move(written);
}

Result<void> Engine::write(Channel& channel) {
  constexpr std::size_t kPiecesMax = 16;
  while (!channel.unsent.empty()) {
    std::array<iovec, kPiecesMax> pieces;
    std::size_t count = 0;
    for (const Frame& frame : channel.unsent) {
      if (count == kPiecesMax) break;
      const std::size_t skipped = count == 0 ? channel.sent : 0;
      pieces[count++] = {const_cast<std::uint8_t*>(frame->data()) + skipped,
                         frame->size() - skipped};
    }
    const ssize_t done = ::writev(channel.socket.fd(), pieces.data(), static_cast<int>(count));
    if (done < 0) {
      if (errno == EAGAIN) break;
      if (errno == EINTR) continue;
      return std::unexpected(error_from_errno(errno, "sending to the broker"));
    }
    channel.sent += static_cast<std::size_t>(done);
    while (!channel.unsent.empty() && channel.sent >= channel.unsent.front()->size()) {
      channel.sent -= channel.unsent.front()->size();
      channel.unsent.pop_front();
    }
  }
  if (channel.polls_writable == channel.unsent.empty()) {
    channel.polls_writable = !channel.unsent.empty();
    epoll_event event{};
    event.events = EPOLLIN | (channel.polls_writable ? EPOLLOUT : 0u);
    event.data.u64 = channel.index;
    ::epoll_ctl(epoll_.fd(), EPOLL_CTL_MOD, channel.socket.fd(), &event);
  }
  return {};
}

Result<void> Engine::read(Channel& channel, Workload& workload) {
  if (channel.in.size() - channel.filled < kReadRoomMin) channel.in.resize(channel.in.size() * 2);
  const ssize_t got = ::read(channel.socket.fd(), channel.in.data() + channel.filled,
                             channel.in.size() - channel.filled);
  if (got == 0) return failure(Errc::closed, "the broker closed a connection");
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return {};
    return std::unexpected(error_from_errno(errno, "reading from the broker"));
  }
  channel.filled += static_cast<std::size_t>(got);
  std::size_t at = 0;
  while (channel.filled - at >= 4) {
    const auto length = load_big<std::int32_t>(channel.in.data() + at);
    if (length < 4 || length > client::kAnswerBytesMax || channel.began.empty())
      return failure(Errc::invalid, "the broker does not speak Kafka's protocol");
    const auto size = static_cast<std::size_t>(length);
    if (channel.filled - at < 4 + size) break;
    const std::int64_t began = channel.began.front();
    channel.began.pop_front();
    TRY_VOID(workload.answered(channel, {channel.in.data() + at + 4, size}, began, now_ns()));
    at += 4 + size;
  }
  std::memmove(channel.in.data(), channel.in.data() + at, channel.filled - at);
  channel.filled -= at;
  return {};
}

Result<void> Engine::round(Workload& workload, std::int64_t until) {
  const std::int64_t due = std::min(workload.send_due(now_ns()), until);
  const std::int64_t left = due - now_ns();
  const std::int64_t wait = std::clamp<std::int64_t>(left - kSpinNs, 0, 100'000'000);
  const timespec timeout{.tv_sec = 0, .tv_nsec = wait};
  std::array<epoll_event, 128> events;
  const int count = ::epoll_pwait2(epoll_.fd(), events.data(), static_cast<int>(events.size()),
                                   &timeout, nullptr);
  for (int i = 0; i < count; ++i) {
    Channel& channel = *channels_[events[i].data.u64];
    if ((events[i].events & EPOLLOUT) != 0) TRY_VOID(write(channel));
    if ((events[i].events & ~std::uint32_t{EPOLLOUT}) != 0) TRY_VOID(read(channel, workload));
  }
  return write_failure_;
}

std::size_t Engine::outstanding() const {
  std::size_t count = 0;
  for (const auto& channel : channels_) count += channel->began.size();
  return count;
}

}  // namespace drave::bench
