// flush.messages=N: of N records the last is acknowledged only when the first is durable.

#include "gtest/gtest.h"
#include "tests/segments/log_support.h"

namespace drave::segments::testing {
namespace {

struct Waiter : DurableWaiter {
  explicit Waiter(Offset offset) {
    wanted = offset;
    done = [](DurableWaiter& waiter, bool has_failed) {
      static_cast<Waiter&>(waiter).told = true;
      static_cast<Waiter&>(waiter).failed = has_failed;
    };
  }
  bool told = false;
  bool failed = false;
};

class FlushMessages : public ::testing::Test {
 protected:
  FlushMessages() : harness_(run_.loop(), directory_.path()) {}
  void open(std::int64_t flush_messages) {
    LogConfig config;
    config.flush_messages = flush_messages;
    auto opened = run_.run(harness_.open(config, {.clean = true}));
    ASSERT_TRUE(opened.has_value());
    log_ = std::move(*opened);
  }
  Offset append(int records = 1) {
    std::vector<std::uint8_t> batch = make_batch({.records = records});
    const auto appended = log_->append_as_leader(batch, 0, 5000);
    EXPECT_TRUE(appended.has_value());
    return appended ? appended->end_offset : -1;
  }

  LogTestDirectory directory_;
  LogRun run_;
  LogHarness harness_;
  std::unique_ptr<PartitionLogImpl> log_;
};

TEST_F(FlushMessages, one_acknowledges_nothing_before_it_is_durable) {
  open(1);
  Waiter first(append());
  log_->when_durable(first);
  EXPECT_FALSE(first.told);
  ASSERT_TRUE(run_.run(log_->flush()).has_value());
  EXPECT_TRUE(first.told && !first.failed);
}

TEST_F(FlushMessages, three_let_two_records_run_ahead_of_the_disk) {
  open(3);
  Waiter first(append());
  Waiter second(append());
  Waiter third(append());
  Waiter fourth(append());
  for (Waiter* waiter : {&first, &second, &third, &fourth}) log_->when_durable(*waiter);
  EXPECT_TRUE(first.told && second.told && !first.failed && !second.failed);
  EXPECT_FALSE(third.told || fourth.told);
  ASSERT_TRUE(run_.run(log_->flush()).has_value());
  EXPECT_TRUE(third.told && fourth.told && !third.failed && !fourth.failed);
}

TEST_F(FlushMessages, a_batch_of_more_records_waits_for_itself) {
  open(3);
  Waiter whole(append(10));
  log_->when_durable(whole);
  EXPECT_FALSE(whole.told);
  ASSERT_TRUE(run_.run(log_->flush()).has_value());
  EXPECT_TRUE(whole.told && !whole.failed);
}

TEST_F(FlushMessages, those_that_wait_are_told_of_a_failure) {
  open(2);
  Waiter first(append());
  Waiter second(append());
  log_->when_durable(first);
  log_->when_durable(second);
  EXPECT_TRUE(first.told && !second.told);
  log_->fence(Error{Errc::io, 0, "a test"});
  EXPECT_TRUE(second.told && second.failed);
}

}  // namespace
}  // namespace drave::segments::testing
