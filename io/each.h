#pragma once
// The same task for each of many things, several at a time: files that are created together share
// the waits for the disk.

#include <algorithm>
#include <cstddef>

#include "io/scope.h"

namespace drave::io {

// Runs function(0) ... function(count - 1), begun in this order, at most `at_once` at a time.
// Returns when all have ended. `function(i)` makes a Task<void>; it stays in place until then.
template <class F>
Task<void> for_each(Loop& loop, std::size_t count, std::size_t at_once, F function) {
  const auto work = [](std::size_t& next, std::size_t end, F& of) -> Task<void> {
    while (next < end) co_await of(next++);
  };
  Scope workers(loop);
  std::size_t next = 0;
  for (std::size_t i = 0; i < std::min(count, at_once); ++i)
    workers.spawn(work(next, count, function));
  co_await workers.join();
}

}  // namespace drave::io
