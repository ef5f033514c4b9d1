#pragma once
// Runs one coroutine in a world to its end.

#include <gtest/gtest.h>

#include <optional>

#include "tests/io/world.h"

namespace drave::io::test {

inline Task<void> note_end(Task<void> task, bool& ended) {
  co_await std::move(task);
  ended = true;
}

// The task may be on any of the world's loops; `shard` is where it starts.
inline void run(World& world, Task<void> task, std::uint32_t shard = 0) {
  bool ended = false;
  world.loop(shard).start(note_end(std::move(task), ended));
  ASSERT_TRUE(world.run_until([&] { return ended; })) << "the task did not end in time";
}

}  // namespace drave::io::test

// Expectations inside coroutines: gtest's ASSERT_ macros return, which a coroutine cannot.
#define CO_ASSERT_TRUE(...)                             \
  do {                                                  \
    const bool holds_ = static_cast<bool>(__VA_ARGS__); \
    EXPECT_TRUE(holds_) << #__VA_ARGS__;                \
    if (!holds_) co_return;                             \
  } while (false)
// For a Result: shows its error.
#define CO_ASSERT_OK(...)                                                      \
  do {                                                                         \
    const auto& result_ = (__VA_ARGS__);                                       \
    EXPECT_TRUE(result_.has_value())                                           \
        << #__VA_ARGS__ << ": " << (result_ ? "" : result_.error().message()); \
    if (!result_.has_value()) co_return;                                       \
  } while (false)
