#pragma once
// Memory for coroutine frames: free lists by size class (steps of 64 bytes up to 2 KiB) of the
// calling thread; larger frames come from the heap. A frame returns to the list of the thread that
// frees it, and that must be the one that made it.

#include <cstddef>
#include <cstdint>

namespace drave::io {

class FramePool {
 public:
  static void* allocate(std::size_t size);
  static void release(void* frame, std::size_t size);

  // Frames handed out by this thread and not yet returned, and those taken from the heap since the
  // thread's start: what tests assert when they say "allocates nothing".
  static std::int64_t live_count();
  static std::uint64_t heap_count();
};

}  // namespace drave::io
