#pragma once
// The journal: what makes appends of many partitions durable with one write.
//
// A journal belongs to one log directory and one writer (a shard, or the metadata log). While one
// group write (O_DIRECT + O_DSYNC, never two per journal) is in flight, appends collect in the next
// group; there is no timer and no linger. Groups are padded to 4 KiB and never rewritten. Files are
// pre-zeroed and recycled by rename. Where the file system has no O_DIRECT, buffered writes with
// fdatasync serve, and the log says so once.
//
// Format, recovery rules and a worked example: segments/FORMAT.md. Entries are typed and keyed by
// topic id and partition; replay is in sequence. A journal file is recycled when every partition
// that has entries in it has them in synced segment files (or was removed).
//
// Failure: a failed group write fences the journal for good: on_journal_failed is called for every
// client and nothing is acknowledged after it. Crash: groups that completed are found again, a torn
// last group is cut, an invalid group that a valid one of its generation follows is rot
// (Errc::corrupt).
//
// Lives on one loop. Clients outlive their entries (PartitionLog::close waits for that).
//
// Order is what makes a crash harmless: files are recycled and unlinked oldest first, each change
// of a name durable before the next, so that what a crash leaves is always the newest part of the
// journal without a hole. No `append` can stand there without the `truncate` or `remove` that came
// after it.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/histogram.h"
#include "base/ids.h"
#include "base/intrusive_list.h"
#include "base/result.h"
#include "base/units.h"
#include "io/buffer_pool.h"
#include "io/file.h"
#include "io/loop.h"
#include "io/sync.h"

namespace drave::segments {

enum class JournalEntryType : std::uint8_t {
  append = 1,     // payload: whole stamped record batches, offsets [first_offset, end_offset)
  truncate = 2,   // the log ends at end_offset
  log_start = 3,  // the log starts at first_offset
  remove = 4,     // the partition was deleted; its earlier entries mean nothing
};

struct JournalEntry {
  JournalEntryType type = JournalEntryType::append;
  TopicIdPartition partition;
  Offset first_offset = 0;
  Offset end_offset = 0;
  ByteView payload;  // copied by Journal::append
};

// Where an entry stands in its journal: grows by one with each entry. 0: none.
using JournalSequence = std::uint64_t;

// Whose entries a journal holds: a partition log. On the journal's list from its first append until
// forget(); it must be forgotten before it is destroyed.
class JournalClient : public ListLink<struct JournalClientTag> {
 public:
  // All entries of this client up to and including `sequence` are durable. Called once per group,
  // on the journal's loop, from its completion.
  virtual void on_journal_durable(JournalSequence sequence) = 0;
  // The journal is fenced; entries not yet reported durable never will be.
  virtual void on_journal_failed(const Error& error) = 0;

 protected:
  ~JournalClient() = default;

 private:
  friend class Journal;
  friend class JournalFiles;
  // The journal's own: where this client is noted (the newest group and the newest file that hold
  // entries of it), its last entry, and up to where it has released them.
  const void* noted_group_ = nullptr;
  std::size_t noted_at_ = 0;
  const void* noted_file_ = nullptr;
  std::size_t noted_in_file_ = 0;
  JournalSequence last_ = 0;
  JournalSequence released_ = 0;
  bool touched_ = false;
};

struct JournalOptions {
  std::int64_t file_bytes = 64 * kMiB;  // a multiple of 4 KiB
  // The first file, zeroed before create() returns; the next ones grow fourfold up to file_bytes,
  // each zeroed in the background while the one before it is written.
  std::int64_t first_file_bytes = kMiB;
  // Of all its files; at half, old partitions are written out. Entries other than `append` get
  // small files beyond it.
  std::int64_t bytes_max = 512 * kMiB;
  std::int64_t group_bytes_max = kMiB;  // of one group write (one larger entry goes alone)
  bool direct = true;
};

struct JournalCounters {
  std::uint64_t groups = 0;
  std::uint64_t entries = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t written_bytes = 0;  // with headers and padding
  std::uint64_t files_created = 0;
  std::uint64_t files_recycled = 0;
};

class Journal {
 public:
  // Makes a new, empty journal named `name` ("journal-0", ...) in `directory`: a pre-zeroed file to
  // begin with, durable on return together with its name (and with whatever else was done to the
  // directory before). Replay and removal of an old one is journal_replay.h's.
  static io::Task<Result<std::unique_ptr<Journal>>> create(io::Loop& loop, std::string directory,
                                                           std::string name,
                                                           JournalOptions options);
  ~Journal();  // after close()

  // Copies the entry into the group being collected; it is written at the end of this pass, or when
  // the write in flight has completed. Never suspends, never fails while !is_fenced(): callers look
  // at is_full() before they take work in. `client` hears of its durability. 0 when fenced.
  JournalSequence append(JournalClient& client, const JournalEntry& entry);

  // Everything up to this is durable.
  JournalSequence durable_sequence() const;
  JournalSequence last_sequence() const;
  bool is_fenced() const;
  const Error& fence_reason() const;
  // The directory has failed elsewhere: nothing more is acknowledged here either.
  void fence(const Error& error);
  // Called after the clients' on_journal_failed, once.
  void set_failure_handler(std::function<void(const Error&)> handler);

  // A client tells up to where its entries are no longer needed: they are in synced segment files,
  // or void. Frees journal files.
  void release(JournalClient& client, JournalSequence upto);
  // The client is going away; none of its entries is needed (a `remove` entry is durable, or all is
  // synced).
  void forget(JournalClient& client);

  // Between these two no file is recycled, whatever is released: for who replaces its entries by
  // one that voids them.
  void hold_files();
  void unhold_files();

  // Bytes in files that cannot be recycled yet, and whether producers must wait: no room for a
  // group.
  std::int64_t used_bytes() const;
  std::int64_t bytes_max() const;
  bool is_full() const;
  // Above half: clients with entries in the oldest file should write out; they are returned.
  std::vector<JournalClient*> oldest_clients();
  // Moves the clients that have appended since the last call to the end of `into`.
  void take_touched(std::vector<JournalClient*>& into);
  // Waiters for "not full any more".
  io::WaitQueue& room();

  // Waits for the write in flight and what is pending, then closes the files; if everything was
  // released, unlinks them, durably (a clean stop leaves no journal).
  // No client hears anything after it.
  io::Task<Result<void>> close();

  const JournalCounters& counters() const;
  const Histogram& write_ns() const;  // group write latency
  const Histogram& group_entries() const;

 private:
  struct State;
  explicit Journal(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace drave::segments
