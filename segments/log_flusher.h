#pragma once
// Moves what the journal has made durable into segment files and syncs them, so that the journal's
// files can be recycled: in the background, without getting in the journal's way.
//
// Writing: pieces of a size that the disk likes, as soon as a log has one; what is smaller waits
// until nothing was appended for idle_write_ms / 2, until it is idle_write_ms * 4 old, or until
// memory gets scarce, those first that were not written for longest: where a thousand logs get a
// little all the time, what counts is the number of writes.
//
// Syncing: one log at a time, some seconds after it was first written, with a pause after each that
// is three times what the sync took and shrinks as the journal fills; when the journal is half full
// (or too many files wait for their sync) several at once without pause, the logs of the oldest
// journal file first. Until then the journal has it.
//
// A full disk is no fault: writing is tried again every second. Any other error fences the log, and
// through LogServices::on_fault the directory.

#include <memory>
#include <vector>

#include "base/intrusive_list.h"
#include "io/scope.h"
#include "io/sync.h"
#include "segments/log_directory.h"
#include "segments/partition_log_impl.h"

namespace drave::segments {

// An open log of a shard, with what the flusher remembers of it.
struct OpenLog : ListLink<struct DirtyTag>, ListLink<struct WriteTag>, ListLink<struct SyncTag> {
  std::unique_ptr<PartitionLogImpl> log;
  int pins = 0;  // tasks that use it
  bool is_writing = false;
  bool is_syncing = false;
  bool is_urgent = false;   // the oldest journal file waits for it
  bool is_retired = false;  // being removed: nothing new is begun
  std::optional<Instant> unsynced_since;
  Instant appended_at;  // not long before something was appended
};

// Whom the flusher asks and tells: the shard.
class LogFlusherOwner {
 public:
  // null: the client is none of the shard's logs.
  virtual OpenLog* log_of(JournalClient& client) = 0;
  virtual void on_no_space() = 0;
  // The journal waits for a log_start entry, which only a checkpoint releases.
  virtual void on_checkpoint_wanted() = 0;

 protected:
  ~LogFlusherOwner() = default;
};

struct FlusherCounters {
  std::uint64_t pieces = 0;
  std::uint64_t piece_bytes = 0;
  std::uint64_t syncs = 0;
  std::uint64_t pressed_syncs = 0;  // because the journal was half full
};

class LogFlusher {
 public:
  LogFlusher(io::Loop& loop, Journal& journal, TailBudget& tails, FileCache& files,
             const LogDirectoryOptions& options, LogFlusherOwner& owner);

  void start();
  // Ends its tasks; what they were doing is done.
  io::Task<void> stop();

  // `log` is going away: the flusher lets go of it.
  io::Task<void> retire(OpenLog& log);
  // Somebody who had counted up log.pins is done with it.
  void unpin(OpenLog& log);

  const FlusherCounters& counters() const { return counters_; }

 private:
  io::Task<void> run_ticker();
  io::Task<void> run_writer();
  io::Task<void> run_syncer(int number);
  io::Task<void> write_out(OpenLog& log, bool everything);

  void collect_dirty();
  void look_at_journal();
  void look_at_dirty();
  bool wants_write(const OpenLog& log, Instant now) const;
  bool wants_sync(const OpenLog& log, Instant now) const;
  bool is_aged(const OpenLog& log, Instant now) const;
  bool is_pressed() const;
  bool is_memory_scarce() const;
  Duration pause_after(Duration sync) const;

  io::Loop& loop_;
  Journal& journal_;
  TailBudget& tails_;
  FileCache& files_;
  const LogDirectoryOptions& options_;
  LogFlusherOwner& owner_;
  io::Scope scope_;
  io::WaitQueue tick_;
  io::WaitQueue write_work_;
  io::WaitQueue sync_work_;
  io::WaitQueue pause_;
  io::WaitQueue unpinned_;
  IntrusiveList<OpenLog, DirtyTag> dirty_;  // something of it is not yet synced
  IntrusiveList<OpenLog, WriteTag> to_write_;
  IntrusiveList<OpenLog, SyncTag> to_sync_;
  std::vector<JournalClient*> touched_;
  Instant no_space_until_;
  bool was_active_ = false;
  FlusherCounters counters_;
};

}  // namespace drave::segments
