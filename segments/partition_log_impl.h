#pragma once
// A partition log as its log directory sees it: how it is opened and recovered, how the journal is
// replayed into it, how the flusher moves its tail into segment files, how it ends.
//
// Two lives. While a directory recovers, a log has no journal: what replay_append() brings is
// written to segments by flush(). After attach() it has a journal; then bytes go to a segment file
// only once the journal has them durable, so that a segment never holds what recovery could not
// explain.
//
// All changes of files are made one at a time, under the log's own lock: the tasks below may be
// started at any time, they wait for each other. None may be running when the log is destroyed.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "io/loop.h"
#include "segments/partition_log.h"

namespace drave::segments {

class TailBudget;
class FileCache;

// What a log borrows from its shard. All of it outlives the log, or its next attach().
struct LogServices {
  io::Loop* loop = nullptr;
  Journal* journal = nullptr;   // null: while recovering
  TailBudget* tails = nullptr;  // segments/tail.h
  FileCache* files = nullptr;   // segments/file_cache.h
  // Writing or syncing a segment failed: the directory must be fenced. Called once per log, after
  // which the log is fenced itself.
  std::function<void(const Error&)> on_fault;
  bool direct = true;  // write large pieces with O_DIRECT where the file system can
};

// What the log directory knows before a log is opened.
struct RecoveryHints {
  bool clean = false;         // `.kafka_cleanshutdown` stood there: segments are complete
  Offset recovery_point = 0;  // of the checkpoint file: [.., recovery_point) was synced
  Offset log_start = 0;       // of the checkpoint file
  // The smallest first_offset of this partition's `append` entries in the journals that will be
  // replayed; nothing: there are none. What stands below it in segments was synced, so that an
  // invalid batch there is rot; at and above it an invalid batch is a torn write, and is cut.
  std::optional<Offset> journal_first;
  // Who wrote here journaled: what no journal has was synced before the journal gave it up. Kafka
  // leaves segments that were complete and not synced.
  bool journaled = false;
};

struct OpenReport {
  std::int64_t torn_bytes_cut = 0;
  std::vector<Error> rotten;  // Errc::corrupt with file and position; the ranges are quarantined
  int segments_scanned = 0;
  int indexes_rebuilt = 0;
};

class PartitionLogImpl : public PartitionLog, public JournalClient {
 public:
  // Opens the log in the existing directory `path`, which may be empty (a new log). Removes what
  // an interrupted deletion left, cuts torn tails, rebuilds what is missing. Idempotent: a crash at
  // any point of it leaves a directory that opens to the same log.
  // Errors: io (the directory cannot be read); damage is no error, it stands in report().
  static io::Task<Result<std::unique_ptr<PartitionLogImpl>>> open(
      LogServices services, std::string path, std::string topic, TopicIdPartition id,
      LogConfig config, RecoveryHints hints);

  virtual const OpenReport& report() const = 0;
  virtual const std::string& path() const = 0;

  // --- Journal replay, before attach(). Entries in the order of their journal; journals of one
  // partition never overlap. Replaying all of it again gives the same log. The journal must never
  // drop an entry of a partition while it keeps an older one of it.
  //
  // Whole batches [first_offset, end_offset). What the segments hold already is skipped. Entries
  // that a later replay_truncate() voids may disagree with the segments (a truncation was under way
  // when the node died); they are passed over.
  virtual io::Task<Result<void>> replay_append(Offset first_offset, Offset end_offset,
                                               ByteView batches) = 0;
  // The log spans [first_offset, end_offset) from here on; first_offset == end_offset empties it
  // (truncate_fully_to). Both are the fields of the journal entry.
  virtual io::Task<Result<void>> replay_truncate(Offset first_offset, Offset end_offset) = 0;
  virtual void replay_log_start(Offset log_start) = 0;
  // An `append` entry that has rotted in the journal. If the segments lack it, its offsets are
  // lost: reads of them fail, the log goes on behind them, report() says so.
  virtual io::Task<Result<void>> replay_lost(Offset first_offset, Offset end_offset) = 0;
  // The last entry was replayed: writes out and syncs. Errc::corrupt if the entries did not
  // continue the segments (a gap): the log ends before the gap, and the report says so.
  virtual io::Task<Result<void>> finish_replay() = 0;

  // Moves the log to the shard of `services`; nothing of it is unwritten, no task of it runs, no
  // LogPiece matters (those stay valid). From here on the log belongs to that loop.
  virtual io::Task<Result<void>> attach(LogServices services) = 0;

  // --- For the flusher
  // Bytes that the journal has durable and segments lack; since when there are any.
  virtual std::int64_t unwritten_bytes() const = 0;
  virtual std::optional<Instant> unwritten_since() const = 0;
  // Bytes in segment files that are not synced.
  virtual std::int64_t unsynced_bytes() const = 0;
  virtual bool needs_sync() const = 0;
  // The oldest journal entry that is not released; 0: none.
  virtual JournalSequence oldest_sequence() const = 0;
  // Writes one piece of at most about `bytes_max` bytes; the bytes written, 0 if there is nothing.
  // With `whole_blocks_only` it writes large aligned pieces and leaves the rest in the tail.
  virtual io::Task<Result<std::size_t>> write_tail_piece(std::size_t bytes_max,
                                                         bool whole_blocks_only) = 0;
  // Syncs what was written, then the indexes of segments that are complete, names, snapshots and
  // epochs that this makes true, and releases the journal up to there.
  virtual io::Task<Result<void>> sync_segments() = 0;

  // Everything below this is in synced segments: what the recovery point checkpoint may say.
  virtual Offset recovery_point() const = 0;
  // The log start checkpoint with `log_start` is durable; frees the journal of log_start entries.
  virtual void on_log_start_checkpointed(Offset log_start) = 0;
  // Unlinks files of deleted segments whose file.delete.delay.ms has passed; at most `files_max`.
  virtual io::Task<Result<int>> unlink_deleted(int files_max) = 0;

  // --- Its end
  // No append is taken any more, waiters fail, the journal's entries are void for this log.
  virtual void fence(const Error& reason) = 0;
  // A clean stop: writes out, syncs, saves indexes and producer snapshot, closes files. The
  // directory is what Kafka leaves. Only destruction may follow. A log start that was not
  // checkpointed yet is forgotten by the journal here: checkpoint it before. After a fault nothing
  // is written, and the journal keeps its entries.
  virtual io::Task<Result<void>> close() = 0;
  // The partition is being deleted: waits for its tasks, fails waiters, forgets its tail and its
  // journal entries, closes files. The caller renames and unlinks the directory.
  virtual io::Task<void> discard() = 0;
};

}  // namespace drave::segments
