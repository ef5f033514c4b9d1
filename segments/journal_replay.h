#pragma once
// What a start does with the journals of a directory: find them all, whatever their names and
// number, tell a torn tail from rot, bring their entries back in order, remove them.
//
// Three steps, each repeatable after a crash in any of them:
//   scan_journals    reads and checks everything; what it tells of is on the disk
//   replay_journals  hands every entry that still means something to a target, journal by journal
//   remove_journals  once the target has everything durable: unlinks the files, oldest first
//
// A group that fails its check is a torn write if nothing valid of its generation comes after it,
// in this file or (by the groups' numbers) a later one: it was never acknowledged, and is cut.
// Otherwise it was durable once and has rotted: reported as Errc::corrupt with file and position;
// entries in it whose own checksums hold are replayed, those whose header alone can be read are
// told as lost. The file is kept under the name `...journal-rotten`.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/loop.h"
#include "io/task.h"
#include "segments/journal.h"
#include "segments/journal_format.h"

namespace drave::segments {

// A stretch of a journal file. Valid: whole valid groups. Damaged: anything, not to be believed.
struct JournalExtent {
  std::uint64_t position = 0;
  std::uint64_t length = 0;
  bool is_damaged = false;
};

struct ScannedFile {
  std::string path;
  JournalFileName name;
  std::uint64_t size = 0;
  std::vector<JournalExtent> extents;
  bool is_kept = false;  // rot was found in it, or it has what has no place: not to be unlinked
};

// What the journals say of one partition.
struct ScannedPartition {
  // The smallest first_offset of its `append` entries after its last `remove`; nothing: none.
  std::optional<Offset> append_first;
  // The largest log start that its entries name.
  Offset log_start = 0;
  // Its entries up to this, in that journal, are void: the partition was removed there.
  JournalSequence removed_at = 0;
  // Nothing of it comes after the removal: what is left of its directory is to be removed.
  bool is_removed = false;
};

struct ScannedJournals {
  std::vector<ScannedFile> files;  // journal by journal, in the order of their generations
  std::map<TopicIdPartition, ScannedPartition> partitions;
  std::vector<std::string> leftovers;  // files that were being prepared
  std::vector<Error> rotten;
  std::int64_t torn_bytes = 0;
  int groups = 0;
  int entries = 0;
};

io::Task<Result<ScannedJournals>> scan_journals(io::Loop& loop, std::string directory);

class ReplayTarget {
 public:
  // One entry, never a `remove`; its payload is valid until the task completes. An error ends the
  // replay.
  virtual io::Task<Result<void>> replay(JournalEntry entry) = 0;
  // An `append` entry whose payload has rotted: [first_offset, end_offset) is lost here.
  virtual io::Task<Result<void>> replay_lost(JournalEntry entry) = 0;

 protected:
  ~ReplayTarget() = default;
};

// `scanned` and `target` outlive the task.
io::Task<Result<void>> replay_journals(io::Loop& loop, const ScannedJournals& scanned,
                                       ReplayTarget& target);

// Durable on return. `scanned` outlives the task.
io::Task<Result<void>> remove_journals(io::Loop& loop, const std::string& directory,
                                       const ScannedJournals& scanned);

}  // namespace drave::segments
