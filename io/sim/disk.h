#pragma once
// A simulated disk with its file system. It outlives the processes of its node.
//
// Names: a create, rename, unlink, mkdir or rmdir is seen at once and durable when a sync of its
// directory that began after it has ended (a rename between directories: of either). At a power cut
// each pending change of a name survives or not by a draw; a rename is atomic; a change survives
// only if the earlier pending changes of the same names and of the same file do. A sync of a file
// says nothing about its name. What is no longer reachable by a durable name is gone. A sync of a
// directory that failed is told to whoever had the directory open, once each: for the rest of this
// process's life what it covered stays pending whatever is synced later, unless a later change of
// the same name or file is. Syncs of a later process write it.
//
// Paths start at the root, with or without a slash in front. Errors are negative errnos, as the
// kernel would give them.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/random.h"
#include "io/operation.h"
#include "io/sim/counters.h"
#include "io/sim/file_data.h"
#include "io/sim/options.h"

namespace drave::io::sim {

// The pages that files occupy. A file that has no name and is not open occupies none, although the
// disk remembers its content until its removal is durable.
struct DiskUsage {
  std::uint64_t pages = 0;
  std::uint64_t epoch = 0;  // counted anew at each power cut
};

struct Inode {
  using Entries = std::map<std::string, std::shared_ptr<Inode>, std::less<>>;

  Inode(std::uint64_t inode_number, bool directory, std::shared_ptr<DiskUsage> disk_usage)
      : number(inode_number),
        is_directory(directory),
        usage(std::move(disk_usage)),
        counted_epoch(usage->epoch) {}
  ~Inode() { stop_counting(); }
  Inode(const Inode&) = delete;

  void stop_counting() {
    if (is_counted && counted_epoch == usage->epoch) usage->pages -= data.allocated_pages();
    is_counted = false;
  }
  void count_again() {
    is_counted = true;
    counted_epoch = usage->epoch;
    usage->pages += data.allocated_pages();
  }
  void opened() { ++open_count; }
  void closed() {
    if (--open_count == 0 && is_unlinked) stop_counting();
  }
  void unlinked() {
    is_unlinked = true;
    if (open_count == 0) stop_counting();
  }

  std::uint64_t number;
  bool is_directory;
  std::shared_ptr<DiskUsage> usage;  // of the disk
  std::uint64_t counted_epoch;
  bool is_counted = true;
  bool is_unlinked = false;
  std::uint32_t open_count = 0;
  std::uint64_t failed_syncs = 0;  // of a directory
  FileData data;
  Entries entries;  // what processes see
  Entries durable_entries;
  std::int64_t modified_ms = 0;
  std::uint64_t lock_holder = 0;  // 0: nobody; else a number that the node makes
};
using InodePointer = std::shared_ptr<Inode>;

class Disk {
 public:
  Disk(DiskOptions options, std::uint64_t seed, WorldCounters& counters);

  // Faults may be changed while the world runs.
  DiskOptions& options() { return options_; }
  Random& random() { return random_; }

  // --- What operations do, at the moment at which they take effect.
  int open(std::string_view path, const OpenOptions& options, std::int64_t now_ms,
           InodePointer& opened);
  int rename(std::string_view path, std::string_view path_to);
  int unlink(std::string_view path);
  int make_directory(std::string_view path);
  int remove_directory(std::string_view path);
  int list(std::string_view path, std::vector<DirectoryEntry>& entries);
  int status(std::string_view path, FileStatus& status);
  Space free_space() const;

  // Bytes written: fewer when the disk fills up in the middle, -ENOSPC when nothing fits.
  std::int64_t write(Inode& inode, std::uint64_t position, ByteView bytes, bool durable);
  int truncate(Inode& inode, std::uint64_t size);
  int allocate(Inode& inode, std::uint64_t position, std::uint64_t size);

  // A sync of a directory covers what was done before `number`.
  std::uint64_t change_number() const { return change_number_; }
  void sync_directory(const Inode& directory, std::uint64_t number);
  // The same sync, failed.
  void fail_sync(const Inode& directory, std::uint64_t number);
  // Another process comes.
  void forget_failed_syncs();

  // --- Crashes.
  // A write that was in flight: any subset of its sectors has been written, at a power cut perhaps
  // one with garbage in it.
  void interrupt_write(Inode& inode, std::uint64_t position, ByteView bytes, bool power);
  // What was not durable is decided; nothing is open any more.
  void power_cut();

  // --- For scenarios and checkers, outside of any process. Paths must exist where not said
  // otherwise.
  bool exists(std::string_view path) const { return find(path) != nullptr; }
  std::vector<std::uint8_t> content(std::string_view path) const;
  std::vector<std::string> files_below(std::string_view path) const;  // full paths, sorted
  // Changes one byte, in the cache and on the platter.
  void flip(std::string_view path, std::uint64_t position, std::uint8_t mask = 0x10);
  // The medium spoils the sector at `position`, a multiple of kSectorBytes: all its bytes change.
  void rot(std::string_view path, std::uint64_t position, Random& random);
  // Writes a whole file, makes its directories; durable, as is everything else in it.
  void put(std::string_view path, ByteView bytes);
  // Removes a file or a tree; durable.
  void remove(std::string_view path);
  // Everything that is visible becomes durable.
  void sync_all();

 private:
  enum class ChangeKind : std::uint8_t { link, unlink, rename };
  struct Change {
    std::uint64_t number;
    ChangeKind kind;
    InodePointer inode;
    InodePointer directory;
    std::string name;
    InodePointer directory_to;  // rename only
    std::string name_to;
    bool sync_failed = false;
  };
  struct Place {
    InodePointer directory;
    std::string_view name;
  };

  InodePointer find(std::string_view path) const;
  int find_place(std::string_view path, Place& place) const;
  void add_change(Change change);
  static bool depends(const Change& later, const Change& earlier);
  static void apply(const Change& change);
  std::vector<bool> covered_by_sync(const Inode& directory, std::uint64_t number) const;
  void settle_tree(Inode& directory);
  bool has_room(std::uint64_t pages) const;
  void collect(const Inode& directory, const std::string& prefix,
               std::vector<std::string>& paths) const;
  template <class Action>
  void account(Inode& inode, Action action) {
    const std::uint64_t before = inode.data.allocated_pages();
    action();
    if (inode.is_counted) usage_->pages += inode.data.allocated_pages() - before;
  }

  DiskOptions options_;
  Random random_;
  WorldCounters& counters_;
  std::shared_ptr<DiskUsage> usage_ = std::make_shared<DiskUsage>();
  std::uint64_t inode_count_ = 0;
  std::uint64_t change_number_ = 0;
  InodePointer root_;
  std::deque<Change> changes_;  // not durable yet, oldest first
};

}  // namespace drave::io::sim
