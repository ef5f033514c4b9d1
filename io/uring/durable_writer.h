#pragma once
// Small durable writes with a blocking call, on a thread of its own.
//
// Why: a write with O_DIRECT and O_DSYNC that goes through the ring is begun by the loop's thread,
// ended by a kernel worker (which flushes the disk) and told to the loop by task work. On a busy
// machine the worker waits milliseconds for its turn; a thread that blocks in pwritev2 is woken by
// the disk itself. On a quiet one both take about the same. The loop's own thread cannot block: a
// disk may hang. One write at a time, what comes meanwhile goes through the ring: so a disk that
// hangs holds up this thread only.
//
// The thread exists from the first write on and runs on the loop's core.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>

#include "io/operation.h"

namespace drave::io {

class DurableWriter {
 public:
  // Larger ones gain nothing: the disk's own time is most of theirs.
  static constexpr std::size_t kBytesMax = 256 * 1024;

  // `announce` is called on the writer's thread when a write has ended and can be taken.
  explicit DurableWriter(std::function<void()> announce);
  ~DurableWriter();  // after stop()

  bool is_free() const { return operation_ == nullptr; }
  // is_free(). `operation` is a write; its memory is ours until take() returns it.
  void begin(Operation& operation);
  // The operation that has ended, with its result; null: none has.
  Operation* take();
  // Ends the thread, unless the disk holds it for longer than a few seconds: then it is left to
  // itself, and so is the memory that it reads. The operation that was not taken, or null.
  Operation* stop();

 private:
  struct Shared;
  static void run(const std::shared_ptr<Shared>& shared);

  std::shared_ptr<Shared> shared_;  // with the thread, which may outlive us
  std::thread thread_;
  Operation* operation_ = nullptr;
};

}  // namespace drave::io
