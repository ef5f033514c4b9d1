// Names that nobody answers for, and those that stand beside them.
#include "io/uring/resolver.h"

#include <arpa/inet.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace drave::io {
namespace {

KernelAddress address_of(const char* host) {
  return *numeric_address({host, 1});
}

// A name server: "slow..." is answered when it is let go, all else at once.
struct Server {
  std::mutex mutex;
  std::condition_variable changed;
  bool is_let_go = false;
  std::map<std::string, int> asked;
  std::vector<KernelAddress> addresses{address_of("10.0.0.1")};

  std::vector<KernelAddress> look_up(const SocketAddress& address) {
    std::unique_lock lock(mutex);
    ++asked[address.host];
    changed.notify_all();
    if (address.host.starts_with("slow")) changed.wait(lock, [&] { return is_let_go; });
    return addresses;
  }
  void let_go() {
    const std::lock_guard lock(mutex);
    is_let_go = true;
    changed.notify_all();
  }
  void await_asked(const std::string& host) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return asked[host] > 0; });
  }
  int times_asked(const std::string& host) {
    const std::lock_guard lock(mutex);
    return asked[host];
  }
};

// Threads of a resolver may outlive it, and what they look up with them.
struct Asking {
  std::shared_ptr<Server> server = std::make_shared<Server>();
  Resolver resolver{[] {}, [server = server](const SocketAddress& address,
                                             int*) { return server->look_up(address); }};
  std::map<std::uint64_t, Resolver::Answer> answers;

  ~Asking() { server->let_go(); }
  const Resolver::Answer& await(std::uint64_t question) {
    while (!answers.contains(question)) {
      for (Resolver::Answer& answer : resolver.take()) answers[answer.question] = std::move(answer);
      std::this_thread::yield();
    }
    return answers[question];
  }
};

TEST(Resolver, a_name_that_is_not_answered_keeps_no_other_waiting) {
  Asking asking;
  for (int i = 0; i < kLookUpsMax - 1; ++i)
    asking.resolver.ask(static_cast<std::uint64_t>(i), {"slow" + std::to_string(i), 9093});
  asking.resolver.ask(100, {"quick", 9093});
  EXPECT_EQ(asking.await(100).addresses.size(), 1u);
  EXPECT_EQ(asking.answers.size(), 1u);
  asking.server->let_go();
  for (std::uint64_t i = 0; i < kLookUpsMax - 1; ++i) asking.await(i);
}

TEST(Resolver, who_gives_up_and_asks_again_adds_nothing) {
  Asking asking;
  asking.resolver.ask(1, {"slow", 9093});
  asking.server->await_asked("slow");
  for (std::uint64_t question = 1; question < 50; ++question) {
    asking.resolver.forget(question);
    asking.resolver.ask(question + 1, {"slow", 9093});
  }
  asking.resolver.ask(51, {"slow", 9093});
  asking.server->let_go();
  EXPECT_EQ(asking.await(50).addresses.size(), 1u);
  EXPECT_EQ(asking.await(51).addresses.size(), 1u);
  EXPECT_EQ(asking.server->times_asked("slow"), 1);
  EXPECT_EQ(asking.answers.size(), 2u);
}

TEST(Resolver, another_port_of_a_name_is_another_question) {
  Asking asking;
  asking.resolver.ask(1, {"one", 9092});
  asking.resolver.ask(2, {"one", 9093});
  asking.await(1);
  asking.await(2);
  EXPECT_EQ(asking.server->times_asked("one"), 2);
}

TEST(Resolver, addresses_take_turns_when_one_is_silent) {
  Asking asking;
  asking.server->addresses = {address_of("10.0.0.1"), address_of("10.0.0.2"),
                              address_of("10.0.0.3")};
  const SocketAddress name{"three", 9093};
  std::uint64_t question = 0;
  auto first = [&] {
    asking.resolver.ask(++question, name);
    return from_kernel(asking.await(question).addresses.front()).host;
  };
  EXPECT_EQ(first(), "10.0.0.1");
  EXPECT_EQ(first(), "10.0.0.1");
  for (const char* next : {"10.0.0.2", "10.0.0.3", "10.0.0.1"}) {
    asking.resolver.note_silent(name);
    EXPECT_EQ(first(), next);
    EXPECT_EQ(first(), next);
  }
}

}  // namespace
}  // namespace drave::io
