#pragma once
// The `.checkpoint` files of a log: those that are there, those that are made here, and the one
// that is being fetched from the leader.
//
// A file has its name only once it is whole and durable; before that it is a `.checkpoint.part`. A
// crash leaves such a part, and open() removes it. Lives on the log's loop.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "io/file.h"
#include "io/loop.h"
#include "io/sync.h"
#include "io/task.h"
#include "raftlog/snapshot.h"

namespace drave::raft {

struct StoredSnapshot {
  OffsetAndEpoch id;
  std::int64_t size = 0;
  TimestampMs written_ms = 0;
  Instant whole_until{};  // it was found whole, and is not looked at again before
};

class SnapshotStore {
 public:
  SnapshotStore(io::Loop& loop, std::string directory)
      : loop_(loop),
        directory_(std::move(directory)),
        download_turn_(loop, 1),
        check_turn_(loop, 1) {}

  // Finds what is there; removes what was begun and what was to be removed.
  io::Task<Result<void>> open();

  const std::vector<StoredSnapshot>& all() const { return snapshots_; }  // by id
  OffsetAndEpoch latest() const {
    return snapshots_.empty() ? OffsetAndEpoch{-1, -1} : snapshots_.back().id;
  }
  std::string path(OffsetAndEpoch id) const;
  // It is damaged, and for this store not there any more; its file is left where it is.
  void pass_over(OffsetAndEpoch id);

  io::Task<Result<std::vector<std::uint8_t>>> read(OffsetAndEpoch id);
  // At most `bytes_max` bytes from `position` on. Errors: not_found, out_of_range (a position at or
  // behind the end), io.
  io::Task<Result<std::vector<std::uint8_t>>> read_at(OffsetAndEpoch id, std::int64_t position,
                                                      std::size_t bytes_max);
  // Whether it is there and whole, as far as checksums tell; looked at in pieces, and not again for
  // kSnapshotCheckedFor. Errors: not_found, corrupt, io.
  io::Task<Result<void>> check(OffsetAndEpoch id);
  // The size of a snapshot; nothing: there is none with this id.
  std::optional<std::int64_t> size_of(OffsetAndEpoch id) const;

  // Durable on return.
  io::Task<Result<void>> write(OffsetAndEpoch id, std::vector<std::uint8_t> bytes);
  // Also one whose file is gone already.
  io::Task<Result<void>> remove(OffsetAndEpoch id);

  // A piece of a snapshot that is being fetched; position 0 begins a new one, whatever was there.
  // Calls take turns, in their order. The bytes belong to the caller, who keeps them until then.
  // After no_space the same piece may come again.
  io::Task<Result<void>> store_chunk(OffsetAndEpoch id, std::int64_t position, ByteView bytes);
  // All of it is stored: checks it, makes it durable, gives it its name, and returns its bytes.
  // Errors: corrupt (it is not whole), unsupported (a kraft.version that is not known here),
  // no_space; nothing of it is left then. io.
  io::Task<Result<std::vector<std::uint8_t>>> finish_download(OffsetAndEpoch id);

 private:
  void add(OffsetAndEpoch id, std::int64_t size);
  io::Task<Result<void>> store(OffsetAndEpoch id, std::int64_t position, ByteView bytes);
  io::Task<Result<void>> check_batches(OffsetAndEpoch id);
  io::Task<Result<std::vector<std::uint8_t>>> finish(OffsetAndEpoch id);

  io::Loop& loop_;
  std::string directory_;
  std::vector<StoredSnapshot> snapshots_;
  io::Semaphore download_turn_;
  io::Semaphore check_turn_;  // one is read as a whole at a time
  io::File part_;
  OffsetAndEpoch part_id_{-1, -1};
};

}  // namespace drave::raft
