#include "io/frame_pool.h"

#include <new>

#include "base/poison.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
// Each free frame names the next one and is poisoned: the leak checker is to read it all the same.
extern "C" const char* __lsan_default_options() {
  return "use_poisoned=1";
}
#endif
#endif

namespace drave::io {
namespace {

constexpr std::size_t kStep = 64;
constexpr std::size_t kPooledMax = 2048;
constexpr std::size_t kClasses = kPooledMax / kStep;

struct FreeFrame {
  FreeFrame* next;
};

struct Pool {
  FreeFrame* free[kClasses] = {};
  std::int64_t live = 0;
  std::uint64_t heap = 0;

  ~Pool() {
    for (FreeFrame*& list : free) {
      while (list != nullptr) {
        ASAN_UNPOISON_MEMORY_REGION(list, sizeof(FreeFrame));
        FreeFrame* next = list->next;
        ::operator delete(list);
        list = next;
      }
    }
  }
};

thread_local Pool pool;

}  // namespace

void* FramePool::allocate(std::size_t size) {
  Pool& mine = pool;
  ++mine.live;
  if (size <= kPooledMax) {
    FreeFrame*& list = mine.free[(size - 1) / kStep];
    if (list != nullptr) {
      FreeFrame* frame = list;
      ASAN_UNPOISON_MEMORY_REGION(frame, (size + kStep - 1) / kStep * kStep);
      list = frame->next;
      return frame;
    }
  }
  ++mine.heap;
  return ::operator new(size <= kPooledMax ? (size + kStep - 1) / kStep * kStep : size);
}

void FramePool::release(void* frame, std::size_t size) {
  Pool& mine = pool;
  --mine.live;
  if (size > kPooledMax) {
    ::operator delete(frame);
    return;
  }
  FreeFrame*& list = mine.free[(size - 1) / kStep];
  auto* freed = static_cast<FreeFrame*>(frame);
  freed->next = list;
  list = freed;
  // A coroutine that is used after its end must not go unnoticed because its memory is kept.
  ASAN_POISON_MEMORY_REGION(frame, (size + kStep - 1) / kStep * kStep);
}

std::int64_t FramePool::live_count() {
  return pool.live;
}

std::uint64_t FramePool::heap_count() {
  return pool.heap;
}

}  // namespace drave::io
