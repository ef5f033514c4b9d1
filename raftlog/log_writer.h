#pragma once
// Carries out what consensus decided about a follower's log, in that order: appends and
// truncations. Appends are done at once while nothing waits before them and the journal has room.
//
// Lives on the log's loop; its tasks run in the owner's scope, which is joined first.

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "io/loop.h"
#include "io/scope.h"
#include "io/sync.h"
#include "segments/partition_log.h"

namespace drave::raft {

class LogWriter {
 public:
  // Told of the log's fate; from the writer's task, never from within append() or truncate().
  class Owner {
   public:
    // A truncation is done; from here on the log's durable end belongs to `generation`.
    virtual void on_truncated(std::uint64_t generation) = 0;
    virtual void on_write_failed(const Error& error) = 0;
    // Nothing waits any more.
    virtual void on_writer_idle() = 0;

   protected:
    ~Owner() = default;
  };

  LogWriter(io::Loop& loop, io::Scope& scope, Owner& owner)
      : loop_(loop), scope_(scope), owner_(owner), drained_(loop) {}
  void set_log(segments::PartitionLog* log) { log_ = log; }

  // Whole batches that continue what was appended or cut before; copied if they have to wait.
  void append(ByteView batches);
  void truncate(Offset to, std::uint64_t generation);

  bool is_idle() const { return !working_ && waiting_.empty(); }
  // Returns when it is idle, or has failed.
  io::Task<void> drain();

 private:
  struct Work {
    Offset truncate_to = -1;  // -1: an append
    std::uint64_t generation = 0;
    std::vector<std::uint8_t> batches;
  };

  void add(Work work);
  io::Task<void> run();
  io::Task<Result<void>> perform(Work work);

  io::Loop& loop_;
  io::Scope& scope_;
  Owner& owner_;
  segments::PartitionLog* log_ = nullptr;
  std::deque<Work> waiting_;  // a follower fetches again only when all of it is flushed
  bool working_ = false;
  bool failed_ = false;
  io::WaitQueue drained_;
};

}  // namespace drave::raft
