#pragma once
// The files of one journal: the active one, the older ones that still hold needed entries, and
// those that stand ready (zeroed, or recycled, under their next name). A steward in the background
// prepares and recycles; a group write never waits for anything but a free file.
//
// Names: journal_format.h. A file takes its next generation's name, durably, before a byte of that
// generation is written to it; what it held before then has another generation than its name says.

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/file.h"
#include "io/scope.h"
#include "segments/journal.h"
#include "segments/journal_format.h"

namespace drave::segments {

struct JournalFile {
  struct Client {
    JournalClient* client = nullptr;  // null: forgotten
    JournalSequence last = 0;         // its last entry in this file
  };
  io::File file;
  std::string path;
  std::uint64_t generation = 0;
  std::int64_t size = 0;
  std::int64_t position = 0;  // where the next group goes
  std::vector<Client> clients;
  std::size_t released_count = 0;  // clients [0, released_count) need nothing of this file
};

// Who is told what the steward did: the journal.
class JournalFilesObserver {
 public:
  virtual void on_file_ready() = 0;
  virtual void on_files_failed(const Error& error) = 0;

 protected:
  ~JournalFilesObserver() = default;
};

class JournalFiles {
 public:
  // `first` names the first file.
  JournalFiles(io::Loop& loop, std::string directory, JournalFileName first,
               JournalOptions& options, JournalCounters& counters, JournalFilesObserver& observer);
  ~JournalFiles();

  // Prepares the first file and syncs the directory.
  io::Task<Result<void>> start();
  // Lets the steward end, then closes the files; with `unlink`, removes them too, oldest first.
  io::Task<Result<void>> stop(bool unlink);

  // True if the active file has room for a group of that length, after changing to the next ready
  // file where needed. False: none is ready; on_file_ready() follows when one is.
  // With `beyond_bound` a file is made for it even if the journal has its bytes_max.
  bool make_room(std::uint64_t length, bool beyond_bound);
  JournalFile& active() { return *live_.back(); }
  // `client` has an entry in the group that is about to be written to the active file.
  void note(JournalClient& client, JournalSequence sequence);
  // The journal is fenced: what it holds stays for the next start, whoever is forgotten from now
  // on.
  void freeze() {
    failed_ = true;
    work_.wake_all();
  }
  void forget(JournalClient& client);
  // Some client released something: looks whether the oldest file is free.
  void look_for_released();

  // While held, nothing is recycled, and a group that waits gets a file beyond the bound.
  void hold() { ++holds_; }
  void unhold() {
    --holds_;
    look_for_released();
  }

  std::int64_t used_bytes() const;
  std::vector<JournalClient*> oldest_clients();

 private:
  io::Task<void> run_steward();
  io::Task<Result<void>> recycle_oldest();
  io::Task<Result<void>> remove(JournalFile& file);
  io::Task<Result<void>> unlink_if_there(std::string path);
  io::Task<Result<void>> remove_useless();
  io::Task<Result<void>> rename_to_next(JournalFile& file);
  io::Task<Result<void>> prepare(std::int64_t size);
  io::Task<Result<std::unique_ptr<JournalFile>>> make_zeroed(std::string path, std::int64_t size);
  io::Task<Result<io::File>> open_new(std::string path);
  io::Task<Result<void>> write_zeroes(JournalFile& file);
  io::Task<Result<void>> unlink_all();

  bool is_recyclable(JournalFile& file) const;
  bool oldest_is_recyclable();
  std::int64_t next_size() const;
  bool is_at_bound() const;
  bool wants_file() const;

  io::Loop& loop_;
  std::string directory_;
  JournalFileName next_name_;
  JournalOptions& options_;
  JournalCounters& counters_;
  JournalFilesObserver& observer_;
  std::deque<std::unique_ptr<JournalFile>> live_;     // oldest first; the last is active
  std::deque<std::unique_ptr<JournalFile>> ready_;    // by generation
  std::deque<std::unique_ptr<JournalFile>> useless_;  // hold nothing, and are to go first
  std::uint64_t next_preparing_ = 1;
  std::int64_t last_size_ = 0;        // of the newest file made
  std::int64_t allocated_bytes_ = 0;  // of all files
  std::int64_t needed_ = 0;           // a group of that length waits for a file
  int holds_ = 0;
  bool beyond_bound_ = false;
  bool stopping_ = false;
  bool failed_ = false;
  // No space was found to make a file, or to rename or remove the oldest: until retry_at_.
  bool waits_for_space_ = false;
  bool recycling_waits_ = false;
  Instant retry_at_;
  io::Scope scope_;
  io::WaitQueue work_;
};

}  // namespace drave::segments
