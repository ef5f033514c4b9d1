#pragma once
// The threads of a node: one for each shard, one for signals. The only place where threads that
// run loops are made.
//
//   auto shards = ShardThreads::start({.count = 2}, make_uring_backend_of_shard);
//   shards->post(0, [&] { node.start(shards->loop(0)); });
//   SignalThread signals({SIGTERM}, [&](int) { shards->post(0, [&] { node.stop(); }); });
//   shards->join();

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/result.h"
#include "io/backend.h"
#include "io/loop.h"
#include "io/mailbox.h"

namespace drave::io {

struct ShardThreadsOptions {
  std::uint32_t count = 1;
  // Each thread to a processor of its own, while there are as many.
  bool pin = true;
  Duration spin;  // see Loop::set_spin
};

// Makes the backend of a shard; called on the shard's thread.
using BackendFactory = std::function<Result<std::unique_ptr<Backend>>(std::uint32_t shard)>;

class ShardThreads {
 public:
  // Starts the threads and returns when all loops run, connected by one hub; or the first error
  // that a factory gave, with all threads gone.
  static Result<std::unique_ptr<ShardThreads>> start(ShardThreadsOptions options,
                                                     BackendFactory factory);
  // Stops the loops if they run, and joins.
  ~ShardThreads();

  std::uint32_t count() const { return static_cast<std::uint32_t>(shards_.size()); }
  // To be touched on the shard's own thread only, post() apart.
  Loop& loop(std::uint32_t shard);
  MailboxHub& hub() { return *hub_; }

  // Runs `function` on the shard's thread. From any thread, until join() has returned.
  void post(std::uint32_t shard, std::function<void()> function);

  // Each loop ends after its current pass. From any thread.
  void stop_all();
  // Returns when all loops have ended.
  void join();

 private:
  struct Shard;
  ShardThreads();
  void run_shard(Shard& shard, const ShardThreadsOptions& options, const BackendFactory& factory);

  struct Assembly;
  std::unique_ptr<Assembly> assembly_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::unique_ptr<MailboxHub> hub_;
};

// Blocks the signals in the calling thread and in all that it starts afterwards. Call it in main()
// before any thread exists; SIGPIPE is ignored from then on.
void block_signals(const std::vector<int>& signals);

// A thread that waits for signals (blocked by block_signals) and calls `handler` for each, on
// itself: the handler posts to a loop.
class SignalThread {
 public:
  SignalThread(std::vector<int> signals, std::function<void(int signal)> handler);
  ~SignalThread();
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

 private:
  void run();
  int signals_fd_;
  int stop_fd_;
  std::function<void(int)> handler_;
  std::thread thread_;
};

}  // namespace drave::io
