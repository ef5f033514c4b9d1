#pragma once
// How the shards of one node talk: a bounded single-producer-single-consumer queue for each ordered
// pair of shards, and a doorbell (MSG_RING) that is rung only for a shard that said it sleeps.
// Messages from one shard to another arrive in the order in which they were sent.

#include <array>
#include <atomic>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "io/loop.h"
#include "io/task.h"

namespace drave::io {

// Intrusive: lives in its sender's frame or object until the receiver has run it; `run` is called
// once, on the receiving shard.
struct Message {
  using Run = void (*)(Message&);
  Run run = nullptr;
  Message* next = nullptr;  // the hub's, while the queue is full
};

class MailboxHub {
 public:
  // Loops by shard number; all outlive the hub. Attaches itself to each.
  explicit MailboxHub(std::vector<Loop*> loops);
  ~MailboxHub();

  std::uint32_t shard_count() const { return static_cast<std::uint32_t>(loops_.size()); }
  Loop& loop(std::uint32_t shard) { return *loops_[shard]; }

  // Sends from the calling shard. Never fails: what the queue cannot take waits on the sender's
  // side.
  void send(std::uint32_t from, std::uint32_t to, Message& message);

  // Called by the loops: deliver what has arrived for `shard`; true if there was any.
  bool deliver(std::uint32_t shard);
  // Rings the doorbells of sleeping shards to which `shard` has sent since the last call.
  void flush(std::uint32_t shard);
  // The sleep protocol: a shard declares itself asleep and must look once more before it waits.
  void declare_sleeping(std::uint32_t shard);
  void declare_awake(std::uint32_t shard);
  bool has_mail(std::uint32_t shard) const;

 private:
  struct Lane;
  std::vector<Loop*> loops_;
  std::vector<std::unique_ptr<Lane>> lanes_;  // [from * shard_count + to]
  struct State;
  std::vector<std::unique_ptr<State>> states_;
};

// co_await switch-and-return: runs `function()` on shard `there` and resumes here with its value.
// F is called once on the other shard; it returns T, or Task<T> if it must wait there. It is moved
// into this awaitable's frame and must own or outlive-reference all it uses. Same shard: runs
// inline.
template <class F>
auto call_on(Loop& here, std::uint32_t there, F function);

}  // namespace drave::io

#include "io/detail/call_on.h"
