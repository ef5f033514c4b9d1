#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/canary.h"
#include "base/log.h"
#include "io/file.h"
#include "segments/file_log.h"
#include "segments/log_limits.h"
#include "segments/producer_snapshot.h"

namespace drave::segments {

using protocol::BatchView;
using Step = SegmentReader::Step;

namespace {

constexpr std::string_view kDeleted = ".deleted";
constexpr std::string_view kCleaned = ".cleaned";
constexpr std::string_view kSwap = ".swap";
constexpr std::string_view kTemporary = ".tmp";

bool is_index(std::string_view suffix) {
  return suffix == ".index" || suffix == ".timeindex" || suffix == ".txnindex";
}

bool is_segment_file(std::string_view suffix) {
  return suffix == ".log" || is_index(suffix);
}

// A segment that ends here or below is complete and synced, and so are its indexes.
Offset trusted_end_of(const RecoveryHints& hints) {
  if (hints.clean) return INT64_MAX;
  // One that ends at the recovery point may have been rolled after that was saved: its indexes were
  // not written yet.
  return std::min(hints.recovery_point - 1, hints.journal_first.value_or(INT64_MAX));
}

}  // namespace

io::Task<Result<std::unique_ptr<PartitionLogImpl>>> PartitionLogImpl::open(
    LogServices services, std::string path, std::string topic, TopicIdPartition id,
    LogConfig config, RecoveryHints hints) {
  auto log =
      std::make_unique<FileLog>(std::move(services), std::move(path), std::move(topic), id, config);
  CO_TRY_VOID(co_await log->recover(hints));
  co_return std::unique_ptr<PartitionLogImpl>(std::move(log));
}

io::Task<Result<void>> FileLog::recover(RecoveryHints hints) {
  journal_covers_ = hints.journal_first.has_value();
  stopped_clean_ = hints.clean;
  LOG_DEBUG("segments", "opening {} clean={} recovery_point={} log_start={} journal_first={}",
            path_, hints.clean, hints.recovery_point, hints.log_start,
            hints.journal_first.value_or(-1));
  CO_TRY(Listing listing, co_await list_files());
  while (!listing.leftovers.empty() || !listing.swaps.empty()) {
    CO_TRY_VOID(co_await finish_swaps(std::move(listing)));
    CO_TRY(listing, co_await list_files());
  }
  snapshots_ = listing.snapshots;
  CO_TRY_VOID(co_await load_segments(std::move(listing), hints));
  settle(hints);
  if (!DRAVE_CANARY("snapshot-ahead-of-segment")) {
    CO_TRY_VOID(co_await remove_snapshots_above(end_));
  }
  if (hints.clean || hints.journal_first) co_return Result<void>{};
  co_return co_await finish_replay();
}

// --- Files that an interrupted deletion or cleaning left, in Kafka's order

io::Task<Result<FileLog::Listing>> FileLog::list_files() {
  CO_TRY(const std::vector<io::DirectoryEntry> entries, co_await io::list_directory(loop(), path_));
  Listing listing;
  std::vector<std::pair<Offset, std::string>> indexes;
  for (const io::DirectoryEntry& entry : entries) {
    const std::string_view name = entry.name;
    if (entry.is_directory) continue;
    const auto parsed = parse_segment_file_name(name);
    if (!parsed) continue;
    const auto [offset, suffix] = *parsed;
    if (suffix.ends_with(kDeleted) && !suffix.starts_with("-")) {
      listing.leftovers.push_back(entry.name);
    } else if (suffix.ends_with(kTemporary)) {
      listing.leftovers.push_back(entry.name);
    } else if (suffix.ends_with(kCleaned)) {
      listing.cleaned_first = std::min(listing.cleaned_first.value_or(offset), offset);
      listing.leftovers.push_back(entry.name);
    } else if (suffix.ends_with(kSwap)) {
      listing.swaps.push_back(entry.name);
    } else if (suffix == ".log") {
      CO_TRY(const io::FileStatus status, co_await io::status(loop(), io::join_path(path_, name)));
      listing.logs.insert(offset);
      listing.sizes[offset] = status.size;
    } else if (suffix == ".snapshot") {
      listing.snapshots.insert(offset);
    } else if (is_index(suffix)) {
      indexes.emplace_back(offset, entry.name);
    }
  }
  // While a cleaning is to be finished, an index without a log is not an orphan yet.
  if (listing.swaps.empty()) {
    for (auto& [offset, name] : indexes) {
      if (listing.logs.contains(offset)) {
        listing.indexed.insert(offset);
      } else {
        listing.leftovers.push_back(std::move(name));
      }
    }
  }
  co_return std::move(listing);
}

io::Task<Result<bool>> FileLog::finish_swaps(Listing listing) {
  for (const std::string& name : listing.leftovers) {
    CO_TRY_VOID(co_await unlink_if_there(io::join_path(path_, name)));
  }
  // A swap at or above the first ".cleaned" belongs to a cleaning that was not complete.
  std::vector<std::string> valid;
  Offset first = INT64_MAX;
  Offset last = -1;
  for (const std::string& name : listing.swaps) {
    const Offset offset = parse_segment_file_name(name)->first;
    if (listing.cleaned_first && offset >= *listing.cleaned_first) {
      CO_TRY_VOID(co_await unlink_if_there(io::join_path(path_, name)));
      continue;
    }
    valid.push_back(name);
    if (!std::string_view(name).ends_with(".log.swap")) continue;
    io::OpenOptions options;
    const std::string path = io::join_path(path_, name);
    CO_TRY(const io::FileStatus status, co_await io::status(loop(), path));
    CO_TRY(io::File file, co_await io::File::open(loop(), path, options));
    first = std::min(first, offset);
    last = std::max(last, offset);
    SegmentReader reader(file, services_.files->read_pool(), 0, status.size);
    while (true) {
      CO_TRY(const Step step, co_await reader.fill());
      if (step != Step::batches) break;
      while (auto batch = reader.next()) last = std::max(last, batch->last_offset() + 1);
    }
    CO_TRY_VOID(co_await file.close());
  }
  CO_TRY(const std::vector<io::DirectoryEntry> entries, co_await io::list_directory(loop(), path_));
  for (const io::DirectoryEntry& entry : entries) {
    const auto parsed = parse_segment_file_name(entry.name);
    if (!parsed || !is_segment_file(parsed->second)) continue;
    if (parsed->first < first || parsed->first >= last) continue;
    CO_TRY_VOID(co_await unlink_if_there(io::join_path(path_, entry.name)));
  }
  for (const std::string& name : valid) {
    const std::string path = io::join_path(path_, name);
    CO_TRY_VOID(co_await io::rename(loop(), path, path.substr(0, path.size() - kSwap.size())));
  }
  CO_TRY_VOID(co_await io::sync_directory(loop(), path_));
  co_return true;
}

// --- What stands beside the segments

// True: the file is missing or damaged, and all segments must be walked for their epochs.
io::Task<Result<bool>> FileLog::load_epochs() {
  const Result<std::vector<std::uint8_t>> bytes = co_await io::read_file(
      loop(), io::join_path(path_, "leader-epoch-checkpoint"), kSmallFileBytesMax);
  if (!bytes) {
    if (bytes.error().code == Errc::not_found) co_return true;
    co_return std::unexpected(bytes.error());
  }
  Result<LeaderEpochCache> epochs = LeaderEpochCache::decode(as_text(*bytes));
  if (!epochs) {
    LOG_WARN("segments", "{}: rebuilding leader epochs: {}", path_, epochs.error().message());
    co_return true;
  }
  epochs_ = std::move(*epochs);
  saved_epochs_ = std::string(as_text(*bytes));
  co_return false;
}

// Loads the newest readable snapshot at or below `limit`; returns its offset, 0 without one.
io::Task<Result<Offset>> FileLog::load_snapshot(Offset limit) {
  if (DRAVE_CANARY("snapshot-ahead-of-segment")) limit = INT64_MAX;
  producers_.clear();
  auto at = snapshots_.upper_bound(limit);
  while (at != snapshots_.begin()) {
    const Offset offset = *--at;
    const std::string path = io::join_path(path_, segment_file_name(offset, ".snapshot"));
    const Result<std::vector<std::uint8_t>> bytes =
        co_await io::read_file(loop(), path, kSmallFileBytesMax);
    if (bytes) {
      Result<std::vector<ProducerEntry>> entries = decode_producer_snapshot(*bytes);
      if (entries) {
        producers_.load(std::move(*entries));
        co_return offset;
      }
      LOG_WARN("segments", "passing over {}: {}", path, entries.error().message());
    } else if (bytes.error().code != Errc::not_found) {
      co_return std::unexpected(bytes.error());
    }
    CO_TRY_VOID(co_await unlink_if_there(path));
    names_changed_ = true;
    at = snapshots_.erase(at);
  }
  co_return Offset{0};
}

// --- Segments

// A power cut may have taken the name of a segment and left those of later ones. Then nothing of
// the log was synced yet from that segment on, and the journal has all of it.
io::Task<Result<void>> FileLog::drop_if_beheaded(Listing& listing, const RecoveryHints& hints) {
  if (listing.logs.empty() || !hints.journal_first) co_return Result<void>{};
  const Offset front = *listing.logs.begin();
  if (*hints.journal_first >= front || hints.log_start >= front) co_return Result<void>{};
  LOG_WARN("segments", "{}: segments from offset {} on are written again from the journal", path_,
           *hints.journal_first);
  while (!listing.logs.empty()) {
    const Offset base = *listing.logs.rbegin();
    auto segment = std::make_shared<Segment>(path_, base, loop().wall_now());
    CO_TRY_VOID(co_await remove_segment_files(std::move(segment)));
    listing.logs.erase(base);
  }
  names_changed_ = false;
  co_return co_await io::sync_directory(loop(), path_);
}

// What stands behind a torn write was not synced either; the journal has it. Gone for good on
// return: what is written now into the segment before may go beyond the base offsets of these.
io::Task<Result<void>> FileLog::drop_behind(std::size_t index) {
  if (segments_.size() <= index + 1) co_return Result<void>{};
  while (segments_.size() > index + 1) {
    report_.torn_bytes_cut += static_cast<std::int64_t>(segments_.back()->size);
    CO_TRY_VOID(co_await remove_segment_files(segments_.back()));
    segments_.pop_back();
  }
  co_return co_await io::sync_directory(loop(), path_);
}

// An invalid batch below it is rot, not a torn write; of a segment that ends below `next_base`.
// What ends a segment cannot be told from a torn one only where nothing is behind it.
Offset FileLog::rot_below_of(const RecoveryHints& hints, Offset next_base, bool is_followed) const {
  if (stopped_clean_ || (hints.journaled && !hints.journal_first && is_followed)) return next_base;
  return std::min(hints.journal_first.value_or(hints.recovery_point), next_base);
}

io::Task<Result<void>> FileLog::load_segments(Listing listing, RecoveryHints hints) {
  CO_TRY_VOID(co_await drop_if_beheaded(listing, hints));
  CO_TRY(const bool rebuild_epochs, co_await load_epochs());
  if (listing.logs.empty()) {
    Offset base = std::max<Offset>(hints.log_start, 0);
    if (hints.journal_first) base = std::min(base, *hints.journal_first);
    segments_.push_back(std::make_shared<Segment>(path_, base, loop().wall_now()));
    CO_TRY_VOID(co_await load_snapshot(base));
    co_return Result<void>{};
  }
  for (const Offset base : listing.logs) {
    auto segment = std::make_shared<Segment>(path_, base, loop().wall_now());
    if (!segments_.empty()) segments_.back()->end_offset = base;
    segment->size = segment->written = segment->synced = listing.sizes[base];
    segment->complete = segment->file_exists = segment->indexes_saved = true;
    segment->indexes_present = segment->largest_known = false;
    segments_.push_back(std::move(segment));
  }
  segments_.back()->end_offset = INT64_MAX;  // until it is read

  Offset trusted_end = trusted_end_of(hints);
  // The first segment that is walked because it may be incomplete. The newest one always is,
  // unless the last stop was clean and left its indexes.
  if (hints.clean && !(co_await segments_.back()->load_indexes(loop())).has_value()) {
    ++report_.indexes_rebuilt;
    hints.clean = false;
    trusted_end = segments_.back()->base_offset();
  }
  std::size_t first_scanned = 0;
  while (first_scanned < segments_.size() &&
         (hints.clean || segments_[first_scanned]->end_offset <= trusted_end)) {
    ++first_scanned;
  }
  const Offset scan_from =
      first_scanned < segments_.size() ? segments_[first_scanned]->base_offset() : INT64_MAX;
  CO_TRY(const Offset state_from, co_await load_snapshot(scan_from));

  for (std::size_t i = 0; i < segments_.size(); ++i) {
    SegmentPtr segment = segments_[i];
    const bool is_last = i + 1 == segments_.size();
    if (i >= first_scanned) {
      const Offset next_base = is_last ? INT64_MAX : segments_[i + 1]->base_offset();
      if (listing.indexed.contains(segment->base_offset())) {
        CO_TRY_VOID(co_await remove_index_files(segment));
      }
      const Offset rot_below = rot_below_of(hints, next_base, listing.sizes[next_base] > 0);
      CO_TRY_VOID(co_await scan_segment(segment, rot_below, state_from, true, false));
      if (is_last) break;
      segment->set_complete();
      const bool torn_here = segment->end_offset < next_base &&
                             (hints.journal_first ? segment->end_offset >= *hints.journal_first
                                                  : report_.torn_bytes_cut > 0);
      if (!torn_here) continue;
      CO_TRY_VOID(co_await drop_behind(i));
      segment->complete = false;
      break;
    }
    if (is_last) {
      CO_TRY_VOID(co_await open_active(segment, rebuild_epochs ? -1 : state_from));
    } else if (rebuild_epochs || segment->end_offset > state_from) {
      CO_TRY_VOID(co_await scan_segment(segment, segment->end_offset, state_from, true, true));
      segment->drop_indexes();
      segment->complete = segment->indexes_saved = true;
      segment->largest_known = false;
    }
  }
  co_return Result<void>{};
}

// Walks a segment from its beginning. A trusted one is synced: what is damaged in it is rot.
io::Task<Result<void>> FileLog::scan_segment(SegmentPtr segment, Offset rot_below,
                                             Offset state_from, bool note_epochs, bool trusted) {
  ++report_.segments_scanned;
  const std::uint64_t file_size = segment->written;
  std::optional<std::uint64_t> covered_from;  // by a journal
  segment->reset();
  segment->complete = false;
  // After a kill the page cache may be all that has it.
  if (!trusted && !stopped_clean_) {
    segment->synced = 0;
    names_changed_ = true;
  }
  CO_TRY(FilePin pin, co_await segment->open(*services_.files, false));
  SegmentReader reader(pin.file(), services_.files->read_pool(), 0, file_size);
  while (true) {
    CO_TRY(Step step, co_await reader.fill());
    while (step == Step::batches) {
      const std::optional<BatchView> batch = reader.next();
      if (!batch) break;
      const Offset base = batch->is_legacy() ? segment->end_offset : batch->base_offset();
      if (base < segment->end_offset || batch->last_offset() - segment->base_offset() > INT32_MAX) {
        step = Step::corrupt;  // offsets that go back are no part of this log
        reader.go_back(batch->size_bytes());
        break;
      }
      if (!covered_from && journal_covers_ && !batch->is_legacy() &&
          batch->last_offset() >= rot_below) {
        covered_from = segment->size;
      }
      segment->note_batch(*batch, config_.index_interval_bytes);
      if (note_epochs && !batch->is_legacy() && batch->leader_epoch() > epochs_.latest() &&
          epochs_.assign(batch->leader_epoch(), batch->base_offset())) {
        epochs_changed_ = true;
      }
      if (base >= state_from) {
        note_producer(producers_, trusted ? nullptr : &segment->transaction_index, *batch);
      }
    }
    if (step == Step::batches) continue;
    if (step == Step::end) break;
    if (reader.try_again()) continue;
    CO_TRY(const bool goes_on, co_await scan_damage(segment, reader, rot_below, trusted));
    if (!goes_on) break;
  }
  segment->written = segment->size;
  segment->synced = std::min(segment->synced, segment->written);
  if (segment->written < file_size) CO_TRY_VOID(co_await cut_torn(segment));
  if (!trusted && covered_from) CO_TRY_VOID(co_await write_again(segment, *covered_from));
  if (!trusted) unsynced_bytes_ += static_cast<std::int64_t>(segment->written - segment->synced);
  co_return Result<void>{};
}

// Something invalid stands where the reader is. True: it was passed over as rot, and the walk goes
// on behind it. False: the segment ends here.
io::Task<Result<bool>> FileLog::scan_damage(SegmentPtr segment, SegmentReader& reader,
                                            Offset rot_below, bool trusted) {
  const Offset expected = segment->end_offset;
  const std::uint64_t position = reader.position();
  CO_TRY(const io::FileStatus status, co_await io::status(loop(), segment->path()));
  const bool is_rot = trusted || expected < rot_below;
  if (const auto lost = reader.lost_range();
      lost && lost->end_offset > expected && (is_rot || !journal_covers_)) {
    note_rot(segment, {position, position + kLostRangeBytes, expected, lost->end_offset});
    reader.pass_lost_range();
    co_return true;
  }
  std::optional<std::uint64_t> next;
  if (is_rot || !journal_covers_) {
    CO_TRY(next, co_await reader.skip_to_valid(expected));
  }
  if (!is_rot && !next) co_return false;
  RottenRange range{position, status.size, expected,
                    std::max(expected + 1, rot_below == INT64_MAX ? 0 : rot_below)};
  if (next) {
    CO_TRY(const Step step, co_await reader.fill());
    ASSERT(step == Step::batches);
    CO_TRY(range.end_offset, co_await base_offset_at(segment, *next));
    range.end = *next;
  }
  note_rot(segment, range);
  co_return next.has_value();
}

// The walk has come behind it.
void FileLog::note_rot(const SegmentPtr& segment, const RottenRange& range) {
  segment->add_rotten(range);
  segment->size = range.end;
  segment->end_offset = range.end_offset;
  report_.rotten.push_back(rot_error(*segment, range));
  LOG_ERROR("segments", "{}", report_.rotten.back().message());
}

io::Task<Result<Offset>> FileLog::base_offset_at(SegmentPtr segment, std::uint64_t position) {
  CO_TRY(FilePin pin, co_await segment->open(*services_.files, false));
  std::array<std::uint8_t, protocol::kBatchSizeFieldEnd> head{};
  CO_TRY_VOID(co_await pin.file().read(position, head));
  co_return load_big<Offset>(head.data());
}

// After a sync that failed, the page cache shows bytes that the disk does not have and that no
// later sync writes. What a journal still holds may be such; written again, it is synced before the
// journal goes.
io::Task<Result<void>> FileLog::write_again(SegmentPtr segment, std::uint64_t from) {
  CO_TRY(FilePin pin, co_await segment->open(*services_.files, false));
  while (from < segment->written) {
    const auto size =
        static_cast<std::size_t>(std::min<std::uint64_t>(kScanBytes, segment->written - from));
    const std::shared_ptr<std::uint8_t> buffer = services_.files->read_pool().take(size);
    CO_TRY(const std::size_t got,
           co_await pin.file().read(from, MutableByteView(buffer.get(), size)));
    if (got == 0) break;
    CO_TRY_VOID(co_await pin.file().write(from, ByteView(buffer.get(), got)));
    from += got;
  }
  co_return Result<void>{};
}

io::Task<Result<void>> FileLog::cut_torn(SegmentPtr segment) {
  CO_TRY(const io::FileStatus status, co_await io::status(loop(), segment->path()));
  if (status.size <= segment->written) co_return Result<void>{};
  const auto torn = static_cast<std::int64_t>(status.size - segment->written);
  report_.torn_bytes_cut += torn;
  LOG_WARN("segments", "cutting torn tail file={} position={} bytes={}", segment->path(),
           segment->written, torn);
  CO_TRY(FilePin pin, co_await segment->open(*services_.files, false));
  CO_TRY_VOID(co_await pin.file().truncate(segment->written));
  co_return co_await pin.file().sync();
}

// The newest segment after a clean stop: its indexes, which are loaded, tell all but its end.
io::Task<Result<void>> FileLog::open_active(SegmentPtr segment, Offset state_from) {
  const std::uint64_t file_size = segment->written;
  CO_TRY(FilePin pin, co_await segment->open(*services_.files, false));
  const OffsetPosition last = segment->offset_index.last();
  segment->size = last.position;
  segment->end_offset = segment->base_offset();
  SegmentReader reader(pin.file(), services_.files->read_pool(), last.position, file_size);
  bool usable = state_from >= 0;
  while (usable) {
    CO_TRY(const Step step, co_await reader.fill());
    if (step != Step::batches) {
      usable = step == Step::end;
      break;
    }
    while (auto batch = reader.next()) {
      const bool is_indexed = segment->size == last.position && last.position > 0;
      if (is_indexed && batch->last_offset() != last.offset) usable = false;
      segment->note_batch(*batch, config_.index_interval_bytes);
    }
  }
  usable = usable && segment->size == file_size && state_from >= segment->end_offset;
  if (!usable) {
    segment->written = segment->synced = file_size;
    TransactionIndex aborted = std::move(segment->transaction_index);
    const Offset from = std::max<Offset>(state_from, 0);
    CO_TRY_VOID(co_await scan_segment(segment, INT64_MAX, from, true, true));
    segment->transaction_index = std::move(aborted);
  } else if (file_size >= protocol::kBatchHeaderSize) {
    std::array<std::uint8_t, protocol::kBatchHeaderSize> head{};
    CO_TRY_VOID(co_await pin.file().read(0, head));
    segment->first_batch_timestamp =
        load_big<TimestampMs>(head.data() + protocol::batch_field::kMaxTimestamp);
  }
  segment->complete = segment->indexes_saved = false;
  co_return Result<void>{};
}

// Derives what the log is from the segments that were loaded.
void FileLog::settle(const RecoveryHints& hints) {
  const bool ends_in_rot = !segments_.back()->rotten.empty() &&
                           segments_.back()->rotten.back().end >= segments_.back()->size;
  end_ = segments_.back()->end_offset;
  if (ends_in_rot) {
    segments_.back()->set_complete();
    segments_.push_back(std::make_shared<Segment>(path_, end_, loop().wall_now()));
  }
  Segment& active = *segments_.back();
  active.complete = false;
  active.indexes_saved = false;
  log_start_ = std::max({hints.log_start, segments_.front()->base_offset(), Offset{0}});
  if (epochs_.truncate_from_end(end_)) epochs_changed_ = true;
  if (epochs_.truncate_from_start(log_start_)) epochs_changed_ = true;
  written_at_ = durable_at_ = {active.base_offset(), active.size};
  durable_end_ = end_;
  recovery_point_ = hints.clean ? end_ : std::min(end_, hints.recovery_point);
}

// --- Indexes of a complete segment that are missing or make no sense

io::Task<Result<void>> FileLog::rebuild_indexes(SegmentPtr segment) {
  ++report_.indexes_rebuilt;
  Segment rebuilt(path_, segment->base_offset(), segment->created_ms);
  CO_TRY(ProducerStates states, co_await producers_at(segment->base_offset()));
  CO_TRY(FilePin pin, co_await segment->open(*services_.files, false));
  SegmentReader reader(pin.file(), services_.files->read_pool(), 0, segment->written);
  while (true) {
    CO_TRY(Step step, co_await reader.fill());
    while (step == Step::batches) {
      const std::optional<BatchView> batch = reader.next();
      if (!batch) break;
      rebuilt.note_batch(*batch, config_.index_interval_bytes);
      note_producer(states, &rebuilt.transaction_index, *batch);
    }
    if (step == Step::batches) continue;
    if (step == Step::end) break;
    CO_TRY(const std::optional<std::uint64_t> next,
           co_await reader.skip_to_valid(rebuilt.end_offset));
    if (!next) break;
    rebuilt.size = *next;
  }
  rebuilt.set_complete();
  segment->offset_index = std::move(rebuilt.offset_index);
  segment->time_index = std::move(rebuilt.time_index);
  segment->transaction_index = std::move(rebuilt.transaction_index);
  segment->largest_timestamp = rebuilt.largest_timestamp;
  segment->largest_known = true;
  segment->indexes_present = true;
  segment->indexes_saved = false;  // the next sync writes them
  co_return Result<void>{};
}

}  // namespace drave::segments
