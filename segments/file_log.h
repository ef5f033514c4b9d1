#pragma once
// The partition log over segment files. Its parts: file_log.cc (life, appends, durability),
// file_log_read.cc, file_log_pieces.cc (bytes of files for reads), file_log_find.cc (timestamps,
// aborted transactions), file_log_flush.cc, file_log_truncate.cc, file_log_retain.cc,
// file_log_recover.cc, file_log_replay.cc.
//
// Order of what is on disk, after which a crash at any point is recovered:
//   journal entry durable -> bytes in segment -> segment, its indexes and its name synced ->
//   epoch file, producer snapshot -> recovery point moves, journal entry released.
//   journal `truncate` durable -> newer segments unlinked, newest first -> segment cut and synced.

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "io/sync.h"
#include "segments/file_cache.h"
#include "segments/leader_epoch_cache.h"
#include "segments/log_limits.h"
#include "segments/partition_log_impl.h"
#include "segments/producer_state.h"
#include "segments/segment.h"
#include "segments/segment_reader.h"
#include "segments/tail.h"

namespace drave::segments {

// What a batch does to the producers' states; an abort marker is noted in `aborted`, if given.
void note_producer(ProducerStates& states, TransactionIndex* aborted,
                   const protocol::BatchView& batch);

class FileLog final : public PartitionLogImpl {
 public:
  FileLog(LogServices services, std::string path, std::string topic, TopicIdPartition id,
          LogConfig config);
  ~FileLog() override;

  io::Task<Result<void>> recover(RecoveryHints hints);

  // PartitionLog
  const std::string& topic() const override { return topic_; }
  const TopicIdPartition& id() const override { return id_; }
  Offset log_start() const override { return log_start_; }
  Offset end() const override { return end_; }
  Offset durable_end() const override { return durable_end_; }
  Offset last_stable_offset() const override;
  std::int64_t size_bytes() const override;
  bool is_fenced() const override { return fenced_; }
  LeaderEpoch latest_epoch() const override { return epochs_.latest(); }
  const ProducerStates& producers() const override { return producers_; }
  SequenceCheck check_sequence(const ProducerBatch& batch) const override {
    return producers_.check(batch);
  }
  Result<AppendResult> append_as_leader(MutableByteView batch, LeaderEpoch epoch,
                                        TimestampMs now_ms) override;
  Result<AppendResult> append_as_follower(ByteView batches, TimestampMs now_ms) override;
  void begin_epoch(LeaderEpoch epoch) override;
  void when_durable(DurableWaiter& waiter) override;
  void set_observer(LogObserver* observer) override { observer_ = observer; }
  io::WaitQueue& room() override;
  Result<std::optional<ReadResult>> try_read(const ReadRequest& request) override;
  io::Task<Result<ReadResult>> read(ReadRequest request) override;
  io::Task<Result<std::vector<AbortedTransaction>>> aborted_transactions(Offset first,
                                                                         Offset last) override;
  io::Task<Result<TimestampOffset>> find_by_timestamp(TimestampMs timestamp, Offset limit) override;
  io::Task<Result<TimestampOffset>> find_max_timestamp(Offset limit) override;
  EpochEnd end_offset_for_epoch(LeaderEpoch epoch) const override {
    return epochs_.end_offset_for(epoch, end_);
  }
  LeaderEpoch epoch_of(Offset offset) const override { return epochs_.epoch_of(offset); }
  io::Task<Result<void>> truncate_to(Offset offset) override;
  io::Task<Result<void>> truncate_fully_to(Offset offset) override;
  io::Task<Result<void>> advance_log_start(Offset offset) override;
  void set_config(const LogConfig& config) override { config_ = config; }
  const LogConfig& config() const override { return config_; }
  io::Task<Result<int>> enforce_retention(TimestampMs now_ms, Offset limit,
                                          int segments_max) override;
  void expire_producers(TimestampMs now_ms, std::int64_t expiration_ms) override {
    producers_.expire(now_ms, expiration_ms);
  }
  io::Task<Result<void>> flush() override;

  // PartitionLogImpl
  const OpenReport& report() const override { return report_; }
  const std::string& path() const override { return path_; }
  io::Task<Result<void>> replay_append(Offset first_offset, Offset end_offset,
                                       ByteView batches) override;
  io::Task<Result<void>> replay_truncate(Offset first_offset, Offset end_offset) override;
  void replay_log_start(Offset log_start) override;
  io::Task<Result<void>> replay_lost(Offset first_offset, Offset end_offset) override;
  io::Task<Result<void>> finish_replay() override;
  io::Task<Result<void>> attach(LogServices services) override;
  std::int64_t unwritten_bytes() const override;
  std::optional<Instant> unwritten_since() const override;
  std::int64_t unsynced_bytes() const override { return unsynced_bytes_; }
  bool needs_sync() const override;
  JournalSequence oldest_sequence() const override;
  io::Task<Result<std::size_t>> write_tail_piece(std::size_t bytes_max,
                                                 bool whole_blocks_only) override;
  io::Task<Result<void>> sync_segments() override;
  Offset recovery_point() const override { return recovery_point_; }
  void on_log_start_checkpointed(Offset log_start) override;
  io::Task<Result<int>> unlink_deleted(int files_max) override;
  void fence(const Error& reason) override;
  io::Task<Result<void>> close() override;
  io::Task<void> discard() override;

  // JournalClient
  void on_journal_durable(JournalSequence sequence) override;
  void on_journal_failed(const Error& error) override { fence(error); }

 private:
  using SegmentPtr = std::shared_ptr<Segment>;

  // An entry of the journal, or several of them: what is released, and what became durable.
  struct Mark {
    JournalSequence first_sequence = 0;  // 0: there is no journal
    JournalSequence sequence = 0;
    Offset end_offset = 0;
    LogPosition at;  // where its last byte ends
    std::int64_t bytes = 0;
  };
  struct LogStartMark {
    JournalSequence sequence = 0;
    Offset log_start = 0;
  };
  struct PendingSnapshot {
    Offset offset = 0;
    std::vector<std::uint8_t> bytes;
  };
  struct DoomedFile {
    std::string path;
    Instant due;
  };
  // Held while files change.
  class FilesLock {
   public:
    explicit FilesLock(io::Semaphore* held) : held_(held) {}
    FilesLock(FilesLock&& other) noexcept : held_(std::exchange(other.held_, nullptr)) {}
    ~FilesLock() {
      if (held_ != nullptr) held_->release();
    }

   private:
    io::Semaphore* held_;
  };
  // Where a truncation cuts. Where it ends inside of damage, offsets [lost_from, offset) are lost.
  struct Cut {
    LogPosition at;
    Offset offset = 0;  // the log's end
    Offset lost_from = 0;
    bool has_lost() const { return lost_from < offset; }
    LogPosition end() const {
      return {at.segment, at.position + (has_lost() ? kLostRangeBytes : 0)};
    }
  };
  // What a look into file bytes found.
  struct Found {
    std::size_t begin = 0;
    std::size_t end = 0;
    std::size_t needed = 0;   // bytes from `end` on that the next batch needs; 0: they are there
    bool corrupt = false;     // at `end`
    Offset next_offset = -1;  // behind the last batch before `end`
  };
  struct FilePlace {
    SegmentPtr segment;
    std::uint64_t position = 0;
    std::size_t bytes = 0;         // wanted, and there
    std::uint64_t limit = 0;       // what stands here and behind is not to be served
    std::uint64_t generation = 0;  // of the log when this was found
    bool goes_on = false;          // where an earlier read stopped
  };
  // The bytes from a place on that a piece has, not beyond the place's limit.
  struct FileWindow {
    ReadCache::PiecePtr piece;
    ByteView bytes;
    std::uint64_t position = 0;  // of the first byte
    bool is_checked(std::size_t at, std::size_t size) const {
      return position + at >= piece->checked_begin && position + at + size <= piece->checked_end;
    }
  };
  // Where a reader of files stopped, so that it goes on there.
  struct ReadHint {
    Offset offset = -1;
    LogPosition at;
  };
  // How far a read has come.
  struct ReadStep {
    std::size_t bytes = 0;          // to ask for
    std::optional<LogPosition> at;  // where to go on: batches before the wanted one were passed
    std::uint64_t generation = 0;
    bool from_disk = false;
    int bad_reads = 0;
  };
  // Held by what suspends while it looks at the log: the log ends after it.
  class UnderWay {
   public:
    explicit UnderWay(FileLog& log) : log_(&log) { ++log.under_way_; }
    UnderWay(UnderWay&& other) noexcept : log_(std::exchange(other.log_, nullptr)) {}
    ~UnderWay() {
      if (log_ != nullptr && --log_->under_way_ == 0) log_->progress_->wake_all();
    }

   private:
    FileLog* log_;
  };

  io::Task<FilesLock> lock_files();
  void bind(LogServices services);
  io::Loop& loop() const { return *services_.loop; }

  // Appending.
  Result<void> check_can_append(std::size_t bytes);
  Result<AppendResult> append(ByteView batches, TimestampMs now_ms);
  void append_batch(const protocol::BatchView& batch, TimestampMs now_ms);
  void note_state(Segment& segment, const protocol::BatchView& batch);
  void roll();
  void take_snapshot(Offset offset);
  void add_mark(JournalSequence sequence, std::int64_t bytes);
  void add_durable(const Mark& mark);
  bool may_acknowledge(Offset wanted) const;
  void wake_waiters(bool all_fail, Offset fail_above);
  io::Task<Result<void>> wait_journal(JournalSequence sequence);
  Error fenced_error() const;
  Error below_log_start() const;

  // Reading.
  std::size_t segment_index_of(Offset offset) const;
  SegmentPtr segment_at(Offset base_offset) const;
  Result<void> check_readable(const ReadRequest& request) const;
  std::optional<ReadResult> read_tail(const ReadRequest& request);
  Result<FilePlace> place_in_file(const ReadRequest& request, std::size_t bytes) const;
  io::Task<Result<std::optional<ReadResult>>> read_segment(ReadRequest& request, ReadStep& step);
  io::Task<Result<void>> judge_damage(ReadRequest request, SegmentPtr segment,
                                      std::uint64_t position, ByteView bytes, Offset offset,
                                      int bad_reads);
  static void go_on_at(FilePlace& place, std::uint64_t position, std::size_t bytes);
  // `end_offset`: of the segment.
  static Found find_batches(const FileWindow& from, const ReadRequest& request, Offset end_offset);
  ReadResult take_found(const FilePlace& place, const FileWindow& window, const Found& found);
  const ReadHint* find_hint(Offset offset, Offset segment) const;
  void note_hint(const FilePlace& place, Offset next_offset, std::uint64_t position);
  ReadCache& cache() const { return services_.files->read_cache(); }
  static FileWindow window_of(const FilePlace& place, ReadCache::PiecePtr piece);
  // An answer shorter than `worth` (and than the place) counts as none.
  FileWindow find_window(const FilePlace& place, std::size_t worth) const;
  ReadCache::PiecePtr find_coming(const FilePlace& place, std::size_t worth) const;
  io::Task<void> await_piece(ReadCache::PiecePtr piece);
  std::size_t direct_bytes(const FilePlace& place, std::size_t worth) const;
  static std::size_t cached_bytes(const FilePlace& place, std::size_t worth);
  Result<FileWindow> read_page_cache(const FilePlace& place, std::size_t worth, io::File& file);
  io::Task<Result<FileWindow>> read_file(FilePlace place, std::size_t worth);
  io::Task<Result<void>> read_piece(SegmentPtr segment, ReadCache::PiecePtr piece, bool direct);
  std::optional<FilePlace> place_behind(const FilePlace& place, FilePiece& piece,
                                        std::uint64_t next) const;
  void read_ahead(FilePlace place, ReadCache::PiecePtr piece, std::uint64_t next, int pieces);
  io::Task<void> run_ahead(UnderWay here, FilePlace place, ReadCache::PiecePtr piece, int pieces);
  io::Task<void> await_readers();
  io::Task<Result<bool>> stands_in_file(SegmentPtr segment, std::uint64_t position, ByteView bytes);
  Offset next_place(const Segment& segment, Offset offset) const;
  Error rot_error(const Segment& segment, const RottenRange& range) const;
  io::Task<Result<Offset>> offset_at(SegmentPtr segment, std::uint64_t position);
  io::Task<Result<Error>> quarantine(SegmentPtr segment, std::uint64_t position, Offset offset);
  io::Task<Result<void>> load_segment_indexes(SegmentPtr segment);
  io::Task<Result<void>> rebuild_indexes(SegmentPtr segment);
  io::Task<Result<std::vector<SegmentPtr>>> segments_with_times();
  io::Task<Result<TimestampOffset>> find_in_range(Offset from, Offset end, TimestampMs timestamp,
                                                  Offset limit);
  io::Task<Result<TimestampMs>> largest_in_range(Offset from, Offset limit);

  // Writing files. All with the lock held.
  bool has_unwritten() const;
  void advance_written();
  LogPosition write_limit() const;
  io::Task<Result<std::size_t>> write_piece(std::size_t bytes_max, bool whole_blocks_only);
  io::Task<Result<void>> write_direct(SegmentPtr segment, TailPiece& piece, FilePin& buffered);
  io::Task<Result<void>> sync_locked();
  io::Task<Result<void>> sync_files();
  io::Task<Result<void>> create_file(SegmentPtr segment);
  io::Task<Result<void>> save_state(Offset synced_end);
  io::Task<Result<void>> write_all();
  io::Task<Result<void>> finish_writes();
  void release_journal();
  // Fences the log, unless it only wants for space.
  Error fault(Error error);
  Error fault_for_good(Error error);

  // Cutting.
  io::Task<Result<ProducerStates>> producers_at(Offset offset);
  io::Task<Result<Cut>> find_cut(Offset offset);
  io::Task<Result<SegmentReader::Step>> seek(SegmentPtr segment, Cut& cut);
  std::vector<SegmentPtr> cut_memory(const Cut& cut, ProducerStates producers);
  void cut_marks(LogPosition at, Offset offset);
  io::Task<Result<void>> cut_files(Cut cut, std::vector<SegmentPtr> removed);
  io::Task<Result<void>> write_lost_range(SegmentPtr segment, Cut cut);
  io::Task<Result<void>> remove_snapshots_above(Offset offset);
  io::Task<Result<void>> remove_segment_files(SegmentPtr segment);
  io::Task<Result<void>> unlink_doomed_names();
  io::Task<Result<void>> remove_index_files(SegmentPtr segment);
  io::Task<Result<void>> unlink_if_there(std::string path);
  io::Task<Result<void>> truncate_locked(Offset offset);
  io::Task<Result<void>> truncate_fully_locked(Offset offset);
  JournalSequence journal_truncate(Offset first_offset, Offset end_offset);
  io::Task<Result<void>> journal_log_start(Offset offset);
  io::Task<Result<void>> retire_segments(std::size_t count);

  // Recovery.
  struct Listing {
    std::set<Offset> logs;
    std::set<Offset> indexed;  // logs beside which an index of some kind stands
    std::set<Offset> snapshots;
    std::map<Offset, std::uint64_t> sizes;
    std::vector<std::string> leftovers;  // to be unlinked
    std::vector<std::string> swaps;      // ".swap" files of a cleaning that was under way
    std::optional<Offset> cleaned_first;
  };
  io::Task<Result<Listing>> list_files();
  io::Task<Result<bool>> finish_swaps(Listing listing);
  io::Task<Result<bool>> load_epochs();
  io::Task<Result<void>> drop_if_beheaded(Listing& listing, const RecoveryHints& hints);
  io::Task<Result<void>> drop_behind(std::size_t index);
  Offset rot_below_of(const RecoveryHints& hints, Offset next_base, bool is_followed) const;
  io::Task<Result<void>> load_segments(Listing listing, RecoveryHints hints);
  io::Task<Result<Offset>> load_snapshot(Offset limit);
  io::Task<Result<void>> scan_segment(SegmentPtr segment, Offset rot_below, Offset state_from,
                                      bool note_epochs, bool trusted);
  io::Task<Result<bool>> scan_damage(SegmentPtr segment, SegmentReader& reader, Offset rot_below,
                                     bool trusted);
  void note_rot(const SegmentPtr& segment, const RottenRange& range);
  io::Task<Result<Offset>> base_offset_at(SegmentPtr segment, std::uint64_t position);
  io::Task<Result<void>> open_active(SegmentPtr segment, Offset state_from);
  io::Task<Result<void>> cut_torn(SegmentPtr segment);
  io::Task<Result<void>> write_again(SegmentPtr segment, std::uint64_t from);
  void settle(const RecoveryHints& hints);

  LogServices services_;
  std::string path_;
  std::string topic_;
  TopicIdPartition id_;
  LogConfig config_;
  OpenReport report_;

  Offset log_start_ = 0;
  Offset end_ = 0;
  Offset durable_end_ = 0;
  Offset recovery_point_ = 0;
  std::vector<SegmentPtr> segments_;  // by base offset; the last one is active; never empty
  std::unique_ptr<Tail> tail_;
  LeaderEpochCache epochs_;
  ProducerStates producers_;

  std::unique_ptr<io::Semaphore> files_lock_;
  std::unique_ptr<io::WaitQueue> progress_;  // the journal told something, or a reader ended
  LogPosition written_at_;                   // all before it is in files
  LogPosition durable_at_;                   // all before it is durable in the journal
  std::int64_t unsynced_bytes_ = 0;
  std::optional<Instant> unwritten_since_;
  bool names_changed_ = false;  // the directory is to be synced
  bool epochs_changed_ = false;
  std::string saved_epochs_;  // what stands in leader-epoch-checkpoint
  std::vector<PendingSnapshot> pending_snapshots_;
  std::set<Offset> snapshots_;  // on disk
  std::deque<DoomedFile> doomed_;

  std::deque<Mark> pending_marks_;  // not durable in the journal
  std::deque<Mark> durable_marks_;  // not in synced segments
  std::deque<LogStartMark> log_start_marks_;
  JournalSequence last_sequence_ = 0;
  JournalSequence durable_sequence_ = 0;
  JournalSequence released_sequence_ = 0;

  IntrusiveList<DurableWaiter, DurableWaiterTag> waiters_;
  bool waiters_in_order_ = true;
  Offset last_wanted_ = 0;
  LogObserver* observer_ = nullptr;
  bool fenced_ = false;
  bool closing_ = false;
  Error fence_reason_;
  std::size_t under_way_ = 0;
  bool journal_known_ = false;  // the journal has seen this log as a client

  std::uint64_t generation_ = 0;  // grows when bytes that a reader may look at go away
  std::array<ReadHint, kReadHints> hints_;
  std::size_t next_hint_ = 0;
  bool replay_diverged_ = false;
  bool journal_covers_ = false;  // while recovering: what was not synced is in a journal
  bool stopped_clean_ = false;   // while recovering: all that is there is synced
};

}  // namespace drave::segments
