#include "io/timer_wheel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "base/random.h"

namespace drave::io::test {
namespace {

struct Probe : Timer {
  explicit Probe(std::vector<Probe*>& at) : Timer(&fired), log(&at) {}
  std::vector<Probe*>* log;
  static void fired(Timer& timer) {
    auto& self = static_cast<Probe&>(timer);
    self.log->push_back(&self);
  }
};

constexpr Instant at_ms(std::int64_t ms) {
  return Instant{ms * 1'000'000};
}

TEST(TimerWheel, nothing_armed_means_never) {
  TimerWheel wheel(at_ms(5));
  EXPECT_EQ(wheel.next_deadline(), Instant::never());
  EXPECT_EQ(wheel.expire(at_ms(1'000'000)), 0u);
}

TEST(TimerWheel, fires_not_before_and_at_most_a_tick_after) {
  for (const std::int64_t distance_ns :
       {std::int64_t{0}, std::int64_t{1}, std::int64_t{999'999}, std::int64_t{1'000'000},
        std::int64_t{63'000'001}, std::int64_t{64'000'000}, std::int64_t{4'096'000'000},
        std::int64_t{262'144'000'001}}) {
    const Instant start{7'300'123};
    TimerWheel wheel(start);
    std::vector<Probe*> log;
    Probe timer(log);
    const Instant deadline = start + nanoseconds(distance_ns);
    wheel.arm(timer, deadline);
    wheel.expire(deadline - nanoseconds(1));
    EXPECT_EQ(log.size(), 0u) << distance_ns;
    EXPECT_LE(wheel.next_deadline(), deadline + milliseconds(1));
    wheel.expire(deadline + milliseconds(1));
    EXPECT_EQ(log.size(), 1u) << distance_ns;
    EXPECT_FALSE(timer.is_armed());
  }
}

TEST(TimerWheel, past_deadline_fires_in_the_next_call) {
  TimerWheel wheel(at_ms(100));
  std::vector<Probe*> log;
  Probe timer(log);
  wheel.arm(timer, at_ms(50));
  EXPECT_LE(wheel.next_deadline(), at_ms(100));
  EXPECT_EQ(wheel.expire(at_ms(100)), 1u);
}

struct Rearming : Timer {
  explicit Rearming(TimerWheel& at) : Timer(&fired), wheel(&at) {}
  TimerWheel* wheel;
  int count = 0;
  static void fired(Timer& timer) {
    auto& self = static_cast<Rearming&>(timer);
    ++self.count;
    self.wheel->arm(self, at_ms(1));
  }
};
TEST(TimerWheel, timer_rearmed_for_the_past_fires_once_per_call) {
  TimerWheel wheel(at_ms(10));
  Rearming timer(wheel);
  wheel.arm(timer, at_ms(20));
  EXPECT_EQ(wheel.expire(at_ms(30)), 1u);
  EXPECT_EQ(wheel.expire(at_ms(30)), 1u);
  EXPECT_EQ(timer.count, 2);
  wheel.disarm(timer);
  EXPECT_EQ(wheel.expire(at_ms(40)), 0u);
  EXPECT_EQ(wheel.armed_count(), 0u);
}

struct Killer : Timer {
  Killer(TimerWheel& at, Timer& other) : Timer(&fired), wheel(&at), victim(&other) {}
  TimerWheel* wheel;
  Timer* victim;
  static void fired(Timer& timer) {
    auto& self = static_cast<Killer&>(timer);
    self.wheel->disarm(*self.victim);
  }
};
TEST(TimerWheel, timer_may_disarm_another_that_is_due_with_it) {
  TimerWheel wheel(at_ms(10));
  std::vector<Probe*> log;
  Probe victim(log);
  Killer killer(wheel, victim);
  wheel.arm(killer, at_ms(20));
  wheel.arm(victim, at_ms(20));
  EXPECT_EQ(wheel.expire(at_ms(30)), 1u);
  EXPECT_TRUE(log.empty());
  EXPECT_EQ(wheel.armed_count(), 0u);
}

TEST(TimerWheel, deadlines_beyond_the_wheel_wait_their_turn) {
  TimerWheel wheel(at_ms(0));
  std::vector<Probe*> log;
  Probe far(log);
  Probe never(log);
  const std::int64_t span = std::int64_t{1} << 36;
  wheel.arm(far, at_ms(3 * span + 17));
  wheel.arm(never, Instant::never());
  wheel.expire(at_ms(3 * span + 16));
  EXPECT_TRUE(log.empty());
  wheel.expire(at_ms(3 * span + 17));
  ASSERT_EQ(log.size(), 1u);
  EXPECT_EQ(log[0], &far);
  wheel.disarm(never);
}

// The model: a sorted list of all deadlines.
class Model {
 public:
  explicit Model(std::uint64_t seed) : random_(seed), now_(start(random_)), wheel_(now_) {
    for (int i = 0; i < 200; ++i) timers_.push_back(std::make_unique<Probe>(log_));
  }
  ~Model() {
    for (auto& timer : timers_) wheel_.disarm(*timer);
  }
  void step() {
    Probe& timer = *timers_[random_.below(timers_.size())];
    switch (random_.below(4)) {
      case 0:
        wheel_.disarm(timer);
        armed_.erase(&timer);
        break;
      case 1:
      case 2: {
        const Instant deadline = now_ + nanoseconds(distance());
        wheel_.arm(timer, deadline);
        armed_[&timer] = deadline;
        break;
      }
      default: expire(); break;
    }
    ASSERT_EQ(wheel_.armed_count(), armed_.size());
    check_next_deadline();
  }

 private:
  static Instant start(Random& random) {
    return Instant{static_cast<std::int64_t>(random.below(std::uint64_t{1} << 52))};
  }
  // From a nanosecond to months, all magnitudes alike.
  std::int64_t distance() {
    const std::uint64_t bits = random_.below(54);
    return static_cast<std::int64_t>(random_.below(std::uint64_t{2} << bits)) - 1000;
  }
  void expire() {
    const bool to_next = random_.one_in(2) && wheel_.next_deadline() != Instant::never();
    now_ = std::max(now_, to_next ? wheel_.next_deadline() : now_ + nanoseconds(distance()));
    log_.clear();
    const std::size_t fired = wheel_.expire(now_);
    ASSERT_EQ(fired, log_.size());
    Instant last{};
    for (Probe* timer : log_) {
      const auto expected = armed_.find(timer);
      ASSERT_TRUE(expected != armed_.end()) << "fired though disarmed, or twice";
      ASSERT_LE(expected->second, now_) << "early";
      // Ticks in order; within one tick any order.
      ASSERT_GE(expected->second.ns, last.ns - 2'000'000);
      last = std::max(last, expected->second);
      armed_.erase(expected);
    }
    for (const auto& [timer, deadline] : armed_)
      ASSERT_GT(deadline + milliseconds(1), now_) << "late by more than a tick";
  }
  void check_next_deadline() {
    const Instant next = wheel_.next_deadline();
    if (armed_.empty()) return;
    const auto earliest = std::ranges::min_element(
        armed_, [](const auto& a, const auto& b) { return a.second < b.second; });
    ASSERT_LT(next.ns, earliest->second.ns + 1'000'000);
  }

  Random random_;
  Instant now_;
  TimerWheel wheel_;
  std::vector<Probe*> log_;
  std::vector<std::unique_ptr<Probe>> timers_;
  std::map<Probe*, Instant> armed_;
};
TEST(TimerWheel, agrees_with_a_sorted_list) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Model model(seed);
    for (int i = 0; i < 2000 && !testing::Test::HasFatalFailure(); ++i) model.step();
    if (testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace drave::io::test
