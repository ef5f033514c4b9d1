#pragma once
// Many connections on one thread, with as little work per request as possible: whole frames go out,
// whole frames come in. What is sent when, and what an answer means, is the workload's.

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "tools/client/connection.h"

namespace drave::bench {

using Frame = std::shared_ptr<const std::vector<std::uint8_t>>;

std::int64_t now_ns();  // of a monotonic clock

struct Channel {
  std::size_t index = 0;
  client::Socket socket;
  std::deque<Frame> unsent;
  std::size_t sent = 0;  // bytes of the first of `unsent`
  bool polls_writable = false;
  std::vector<std::uint8_t> in;
  std::size_t filled = 0;
  std::deque<std::int64_t> began;  // of the requests without an answer, oldest first
};

class Workload {
 public:
  virtual ~Workload() = default;
  // Sends what is due; returns when it wants to be called again (INT64_MAX: never).
  virtual std::int64_t send_due(std::int64_t now) = 0;
  // An answer without its length; its request began at `began`.
  virtual Result<void> answered(Channel& channel, ByteView answer, std::int64_t began,
                                std::int64_t now) = 0;
};

class Engine {
 public:
  static Result<std::unique_ptr<Engine>> create();
  ~Engine();

  Result<Channel*> add(const client::Endpoint& endpoint, client::Milliseconds timeout);
  const std::vector<std::unique_ptr<Channel>>& channels() const { return channels_; }

  // `began` is what the answer's latency counts from.
  void send(Channel& channel, Frame frame, std::int64_t began);
  // One round: sends what is due, then takes what came, waiting no longer than until `until`.
  Result<void> round(Workload& workload, std::int64_t until);
  // Requests without an answer.
  std::size_t outstanding() const;

 private:
  explicit Engine(int epoll) : epoll_(epoll) {}
  Result<void> write(Channel& channel);
  Result<void> read(Channel& channel, Workload& workload);

  client::Socket epoll_;
  std::vector<std::unique_ptr<Channel>> channels_;
  Result<void> write_failure_;
};

}  // namespace drave::bench
