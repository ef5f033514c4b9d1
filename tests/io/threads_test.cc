// Shards on real threads over io_uring: mail under contention, calls, posts, stops, signals. This
// is the program that ThreadSanitizer watches.

#include "io/threads.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "io/process.h"
#include "io/scope.h"
#include "io/uring/uring_backend.h"

namespace drave::io::test {
namespace {

Result<std::unique_ptr<Backend>> make_backend(std::uint32_t) {
  return make_uring_backend({.entries = 64, .receive_buffers = 4, .receive_buffer_size = 4096});
}

// What a test waits on while shards work.
class Latch {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  bool wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

TEST(ShardThreads, start_post_and_stop) {
  auto shards = ShardThreads::start({.count = 3}, make_backend);
  ASSERT_TRUE(shards.has_value()) << shards.error().message();
  std::atomic<int> ran = 0;
  Latch latch;
  for (std::uint32_t i = 0; i < 3; ++i) {
    (*shards)->post(i, [&, i] {
      EXPECT_EQ((*shards)->loop(i).shard(), i);
      if (++ran == 3) latch.open();
    });
  }
  EXPECT_TRUE(latch.wait());
  (*shards)->stop_all();
  (*shards)->join();
  (*shards)->post(0, [&] { ++ran; });
  EXPECT_EQ(ran, 3) << "a post after the end is dropped";
}

TEST(ShardThreads, first_error_of_a_factory_comes_back) {
  auto shards = ShardThreads::start({.count = 3}, [](std::uint32_t shard) {
    if (shard == 1) return Result<std::unique_ptr<Backend>>(failure(Errc::unsupported, "no ring"));
    return make_backend(shard);
  });
  ASSERT_FALSE(shards.has_value());
  EXPECT_EQ(shards.error().code, Errc::unsupported);
}

Task<std::uint64_t> add_there(Loop& there, std::uint64_t value) {
  co_await yield(there);
  co_return value + 1;
}
struct AddThere {
  Loop* there;
  std::uint64_t value;
  Task<std::uint64_t> operator()() { return add_there(*there, value); }
};
Task<void> ping(ShardThreads& shards, std::uint32_t from, std::uint32_t to, int rounds,
                std::atomic<int>& remaining, Latch& latch) {
  std::uint64_t value = 0;
  for (int i = 0; i < rounds; ++i) {
    const bool plain = i % 2 == 0;
    if (plain) {
      value = co_await call_on(shards.loop(from), to, [value] { return value + 1; });
    } else {
      value = co_await call_on(shards.loop(from), to, AddThere{&shards.loop(to), value});
    }
  }
  EXPECT_EQ(value, static_cast<std::uint64_t>(rounds));
  if (--remaining == 0) latch.open();
}
TEST(ShardThreads, calls_between_all_shards_return_their_values) {
  constexpr std::uint32_t kShards = 3;
  constexpr int kCallers = 20;
  auto shards = ShardThreads::start({.count = kShards}, make_backend);
  ASSERT_TRUE(shards.has_value());
  Latch latch;
  std::atomic<int> remaining = kShards * kShards * kCallers;
  for (std::uint32_t from = 0; from < kShards; ++from) {
    for (std::uint32_t to = 0; to < kShards; ++to) {
      for (int i = 0; i < kCallers; ++i) {
        ShardThreads& threads = **shards;
        threads.post(from, [&, from, to] {
          threads.loop(from).start(ping(threads, from, to, 50, remaining, latch));
        });
      }
    }
  }
  EXPECT_TRUE(latch.wait());
}

// One message back and forth: each side sleeps between, so every hop needs its doorbell.
struct Ball : Message {
  MailboxHub* hub = nullptr;
  std::uint32_t at = 0;
  int hops = 0;
  Latch* latch = nullptr;
};
TEST(ShardThreads, sleeping_shard_is_always_woken) {
  auto shards = ShardThreads::start({.count = 2}, make_backend);
  ASSERT_TRUE(shards.has_value());
  Latch latch;
  Ball ball;
  ball.hub = &(*shards)->hub();
  ball.latch = &latch;
  ball.hops = 2000;
  ball.run = [](Message& message) {
    auto& self = static_cast<Ball&>(message);
    const std::uint32_t here = self.at;
    if (--self.hops == 0) return self.latch->open();
    self.at = 1 - here;
    self.hub->send(here, self.at, self);
  };
  (*shards)->post(0, [&] {
    ball.at = 1;
    ball.hub->send(0, 1, ball);
  });
  EXPECT_TRUE(latch.wait()) << "lost a wake with " << ball.hops << " hops to go";
}

// A flood beyond the queue's size in both directions at once, while the receivers are slow.
struct Flooded : Message {
  std::uint64_t number = 0;
  std::uint64_t* next_expected = nullptr;
  std::atomic<std::uint64_t>* delivered = nullptr;
  std::uint64_t total = 0;
  Latch* latch = nullptr;
};
TEST(ShardThreads, flood_beyond_the_queue_arrives_whole_and_in_order) {
  constexpr std::uint64_t kMessages = 30'000;
  auto shards = ShardThreads::start({.count = 2}, make_backend);
  ASSERT_TRUE(shards.has_value());
  Latch latch;
  std::uint64_t expected[2] = {0, 0};
  std::atomic<std::uint64_t> delivered = 0;
  std::vector<Flooded> messages[2];
  for (int from = 0; from < 2; ++from) {
    messages[from] = std::vector<Flooded>(kMessages);
    for (std::uint64_t i = 0; i < kMessages; ++i) {
      Flooded& one = messages[from][i];
      one.number = i;
      one.next_expected = &expected[1 - from];
      one.delivered = &delivered;
      one.total = 2 * kMessages;
      one.latch = &latch;
      one.run = [](Message& message) {
        auto& self = static_cast<Flooded&>(message);
        EXPECT_EQ(self.number, *self.next_expected);
        ++*self.next_expected;
        if (++*self.delivered == self.total) self.latch->open();
      };
    }
  }
  MailboxHub& hub = (*shards)->hub();
  for (std::uint32_t from = 0; from < 2; ++from) {
    (*shards)->post(from, [&, from] {
      for (Flooded& one : messages[from]) hub.send(from, 1 - from, one);
    });
  }
  EXPECT_TRUE(latch.wait()) << "delivered " << delivered;
}

TEST(SignalThread, signal_reaches_the_handler) {
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  block_signals({SIGUSR1});
  Latch latch;
  std::atomic<int> got = 0;
  {
    SignalThread signals({SIGUSR1}, [&](int number) {
      got = number;
      latch.open();
    });
    kill(getpid(), SIGUSR1);
    EXPECT_TRUE(latch.wait());
  }
  EXPECT_EQ(got, SIGUSR1);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST(Process, tells_what_it_has) {
  EXPECT_FALSE(allowed_processors().empty());
  auto files = raise_open_files_limit();
  ASSERT_TRUE(files.has_value());
  EXPECT_GE(*files, 64u);
  auto memory = memory_use();
  ASSERT_TRUE(memory.has_value());
  EXPECT_GT(memory->resident, 0u);
  EXPECT_GE(memory->resident_peak, memory->resident);
  EXPECT_GT(memory_limit(), 0u);
  EXPECT_GE(process_cpu_time().ns, 0);
}

}  // namespace
}  // namespace drave::io::test
