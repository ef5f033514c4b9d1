// However a seed ends its process, its number is said.

#include "tools/sim/last_words.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>

namespace drave::simulation {
namespace {

// What it writes goes where a death test looks.
void begin(std::uint64_t seed, Duration processor_time) {
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
  install_last_words();
  begin_seed(seed, "drave-sim run --seed 7", processor_time);
}

void end_by(int signal) {
  begin(7, {});
  ::raise(signal);
}

// Sanitizers take these for themselves, and say what they found.
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
TEST(SimLastWords, a_signal_that_ends_it) {
  EXPECT_EXIT(end_by(SIGSEGV), testing::ExitedWithCode(1),
              "violated=signal-segv seed=7\nreplay: drave-sim run --seed 7\n");
  EXPECT_EXIT(end_by(SIGBUS), testing::ExitedWithCode(1), "violated=signal-bus seed=7\n");
  EXPECT_EXIT(end_by(SIGILL), testing::ExitedWithCode(1), "violated=signal-ill seed=7\n");
  EXPECT_EXIT(end_by(SIGFPE), testing::ExitedWithCode(1), "violated=signal-fpe seed=7\n");
}
#else
void fault() {
  begin(7, {});
  *reinterpret_cast<volatile int*>(16) = 1;
}

TEST(SimLastWords, a_report_of_a_sanitizer) {
  EXPECT_DEATH(fault(), "violated=sanitizer seed=7\nreplay: drave-sim run --seed 7\n");
}
#endif

TEST(SimLastWords, an_assertion_that_fails) {
  EXPECT_EXIT(end_by(SIGABRT), testing::ExitedWithCode(1), "violated=assertion seed=7\n");
}

void run_without_end() {
  begin(8, milliseconds(20));
  for (volatile std::uint64_t i = 0;; i = i + 1) {
  }
}

TEST(SimLastWords, a_seed_without_end) {
  EXPECT_EXIT(run_without_end(), testing::ExitedWithCode(1), "violated=seed-without-end seed=8\n");
}

}  // namespace
}  // namespace drave::simulation
