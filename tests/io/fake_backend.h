#pragma once
// A backend without I/O and with a clock that the test sets: for what needs a loop and no world.

#include "base/random.h"
#include "io/backend.h"
#include "io/loop.h"

namespace drave::io::test {

class FakeBackend final : public Backend {
 public:
  // Moved by tests; wait() jumps to its deadline as if it had slept, unless it is `never`.
  Instant time{1'000'000'000};
  std::uint64_t wakes = 0;

  void submit(Operation& operation) override { submitted_.push_back(operation); }
  void cancel(Operation& operation) override {
    if (submitted_.empty() || !operation.is_linked()) return;
    operation.result = -125;
    operation.unlink();
    canceled_.push_back(operation);
  }
  // Everything submitted completes with 0 at the next wait.
  void wait(Instant deadline, IntrusiveList<Operation>& completed) override {
    ++counters_.waits;
    if (submitted_.empty() && canceled_.empty() && deadline != Instant::never() && deadline > time)
      time = deadline;
    submitted_.for_each([](Operation& operation) { operation.result = 0; });
    completed.splice_back(canceled_);
    completed.splice_back(submitted_);
  }
  std::int32_t read_cached(Handle, std::uint64_t, MutableByteView) override { return -11; }
  void return_buffer(MutableByteView) override {}
  void wake(Backend&) override { ++counters_.doorbells; }
  void wake_from_any_thread() override { ++wakes; }
  Instant now() override { return time; }
  TimestampMs wall_now() override { return 1; }
  std::uint64_t entropy() override { return random_.next(); }
  const BackendCounters& counters() const override { return counters_; }

 private:
  Random random_{1};
  IntrusiveList<Operation> submitted_;
  IntrusiveList<Operation> canceled_;
  BackendCounters counters_;
};

// A loop over it, passed until nothing is ready.
struct FakeLoop {
  FakeBackend backend;
  Loop loop{backend, 0};

  void settle() {
    do {
      loop.pass(backend.time);
    } while (loop.has_ready() || loop.in_flight_count() > 0);
  }
  void advance(Duration span) {
    backend.time = backend.time + span;
    settle();
  }
};

}  // namespace drave::io::test
