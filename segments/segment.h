#pragma once
// One segment of a log: a .log file of whole batches, its three indexes, and what is known of it.
// The newest segment of a log is its active one and takes appends; the others are complete. Bytes
// [0, size) belong to it, [0, written) are in its file, [0, synced) survive a power cut.
//
// Held by shared pointers: a read that is under way keeps a segment that was deleted meanwhile.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "io/loop.h"
#include "protocol/record_batch.h"
#include "segments/file_cache.h"
#include "segments/log_config.h"
#include "segments/offset_index.h"
#include "segments/time_index.h"
#include "segments/transaction_index.h"

namespace drave::segments {

// "<directory>/<20 digits><suffix>"
std::string segment_file_name(Offset base_offset, std::string_view suffix);
// The offset that a file name begins with and the rest of it, or nothing.
std::optional<std::pair<Offset, std::string_view>> parse_segment_file_name(std::string_view name);

// Bytes of a file that were durable and fail their check; reads that meet them fail, others go on.
struct RottenRange {
  std::uint64_t begin = 0;  // positions
  std::uint64_t end = 0;
  Offset first_offset = 0;  // offsets
  Offset end_offset = 0;
};

class Segment final : public CachedIndexes {
 public:
  Segment(std::string directory, Offset base_offset, TimestampMs created_ms);
  ~Segment();

  // --- What it is
  Offset base_offset() const { return base_offset_; }
  Offset end_offset = 0;  // behind its last batch; base_offset if it is empty
  std::uint64_t size = 0;
  std::uint64_t written = 0;
  std::uint64_t synced = 0;
  bool complete = false;
  bool file_exists = false;
  bool indexes_saved = false;  // the index files are those of the complete segment, and synced
  bool indexes_present = true;
  // Unknown (-1, base offset) until the indexes of a complete segment were loaded.
  TimestampEntry largest_timestamp;
  bool largest_known = true;
  TimestampMs first_batch_timestamp = -1;
  bool first_batch_known = true;
  TimestampMs created_ms = 0;
  OffsetIndex offset_index;
  TimeIndex time_index;
  TransactionIndex transaction_index;
  std::vector<RottenRange> rotten;
  std::uint64_t direct_read_bytes = 0;   // past the page cache, by readers of the log
  std::uint64_t cached_write_bytes = 0;  // written through the page cache, which likely has them

  std::string path(std::string_view suffix = ".log") const;
  const RottenRange* find_rotten(std::uint64_t position) const;
  const RottenRange* find_rotten_offset(Offset offset) const;
  void add_rotten(const RottenRange& range);

  // --- Growing
  // The batch stands at the end of the segment now; updates sizes, indexes and timestamps.
  void note_batch(const protocol::BatchView& batch, std::int64_t index_interval_bytes);
  // Whether a batch must go to a new segment.
  bool must_roll(const protocol::BatchView& batch, Offset last_offset, const LogConfig& config,
                 TimestampMs now_ms) const;
  // By how much earlier than segment.ms this segment rolls: in [0, segment.jitter.ms).
  std::int64_t jitter_ms(const LogConfig& config) const;
  // No more batches come; the time index gets its last entry.
  void set_complete();
  // Cuts it at `position`, where a batch with `offset` begins; it takes appends again. Indexes are
  // present.
  void truncate_to(std::uint64_t position, Offset offset);
  // Forgets everything that note_batch() has told it.
  void reset();

  // --- Files
  io::Task<Result<FilePin>> open(FileCache& files, bool create);
  io::Task<Result<FilePin>> open_direct(FileCache& files);
  // Keeps the descriptor until the next sync has told its errors.
  void keep_for_sync(FilePin pin) { unsynced_ = std::move(pin); }
  io::Task<Result<void>> sync(FileCache& files);
  // Reads the indexes of a complete segment. Errc::corrupt, Errc::not_found: rebuild them.
  io::Task<Result<void>> load_indexes(io::Loop& loop);
  // Writes the index files and syncs them (not their names).
  io::Task<Result<void>> save_indexes(io::Loop& loop);
  // From here on the indexes of this complete segment may be dropped and loaded again.
  void set_droppable(FileCache& files);
  void drop_indexes() override;
  io::File* opened() { return file_.opened(); }
  CachedFile& cached_file() { return file_; }
  // Closes descriptors; nothing is unsynced, or nobody needs it any more.
  void close_files(FileCache& files);

 private:
  void maybe_index(Offset last_offset, std::uint32_t position, std::int64_t interval);

  std::string directory_;
  Offset base_offset_;
  std::uint64_t bytes_since_index_entry_ = 0;
  CachedFile file_;
  CachedFile direct_file_;
  FilePin unsynced_;
  FileCache* droppable_in_ = nullptr;
};

}  // namespace drave::segments
