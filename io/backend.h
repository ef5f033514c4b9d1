#pragma once
// The one seam between the real world and a simulated one.
//
// Everything that a shard asks of the world goes through this interface: I/O, time, randomness,
// sleep. io/uring implements it with io_uring, io/sim with a seeded simulation. Nothing outside io/
// may ask which one it has. One contract suite (tests/io/contract_test.cc) runs against each.
//
// A backend belongs to one Loop and is used on that loop's thread only, except where noted.

#include <cstdint>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/units.h"
#include "io/operation.h"

namespace drave::io {

// Counts since the start; what benchmarks and /metrics show, and what tests assert instead of
// times.
struct BackendCounters {
  std::uint64_t waits = 0;      // calls that may sleep (io_uring_enter)
  std::uint64_t submitted = 0;  // operations
  std::uint64_t completed = 0;  //
  std::uint64_t punts = 0;  // operations that the kernel handed to a worker thread, as far as known
  std::uint64_t doorbells = 0;        // wakes sent to other shards
  std::uint64_t receive_starved = 0;  // times that a pooled receive found no buffer
  std::uint64_t overflows = 0;        // completion queue overflows
};

class Backend {
 public:
  virtual ~Backend() = default;

  // Queues the operation; it starts at the next wait() at the latest. Never completes inline.
  virtual void submit(Operation& operation) = 0;

  // Asks that an operation in flight end early. It completes all the same, with -ECANCELED or with
  // its true result; disk I/O that has begun is not interrupted. One that wait() has already
  // appended to `completed` is left alone.
  virtual void cancel(Operation& operation) = 0;

  // Starts what is queued, then sleeps until something completes, a wake arrives or `deadline` has
  // come (a deadline in the past: does not sleep), and appends what has completed to `completed`,
  // in the order of completion.
  virtual void wait(Instant deadline, IntrusiveList<Operation>& completed) = 0;

  // Reads what the page cache holds at [position, position + into.size()) without sleeping: the
  // bytes read, 0 at the end of the file, -EAGAIN if a disk would have to be asked.
  virtual std::int32_t read_cached(Handle handle, std::uint64_t position, MutableByteView into) = 0;

  // Gives a pooled receive buffer back.
  virtual void return_buffer(MutableByteView buffer) = 0;

  // Ends the wait() of another shard's backend, now or its next one. Called on this backend's
  // thread.
  virtual void wake(Backend& target) = 0;
  // The same from any thread that has no backend (signal thread, HTTP listener, tests).
  virtual void wake_from_any_thread() = 0;

  // Monotonic; the real one is CLOCK_MONOTONIC.
  virtual Instant now() = 0;
  // Milliseconds since 1970; may jump. For record timestamps and retention only.
  virtual TimestampMs wall_now() = 0;
  // 64 unpredictable bits (in the simulator: drawn from the seed).
  virtual std::uint64_t entropy() = 0;

  virtual const BackendCounters& counters() const = 0;
};

}  // namespace drave::io
