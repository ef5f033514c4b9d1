#include "segments/segment.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/random.h"
#include "io/file.h"

namespace drave::segments {

using protocol::BatchView;

namespace {

constexpr std::size_t kOffsetDigits = 20;

io::Task<Result<void>> write_synced(io::Loop& loop, std::string path,
                                    std::vector<std::uint8_t> bytes) {
  io::OpenOptions options;
  options.write = true;
  options.create = true;
  options.truncate = true;
  CO_TRY(io::File file, co_await io::File::open(loop, std::move(path), options));
  if (!bytes.empty()) CO_TRY_VOID(co_await file.write(0, bytes));
  CO_TRY_VOID(co_await file.sync());
  co_return co_await file.close();
}

}  // namespace

std::string segment_file_name(Offset base_offset, std::string_view suffix) {
  std::string digits = std::to_string(base_offset);
  if (digits.size() < kOffsetDigits) digits.insert(0, kOffsetDigits - digits.size(), '0');
  digits += suffix;
  return digits;
}

std::optional<std::pair<Offset, std::string_view>> parse_segment_file_name(std::string_view name) {
  if (name.size() <= kOffsetDigits || name[kOffsetDigits] != '.') return std::nullopt;
  Offset offset = 0;
  const auto [at, error] = std::from_chars(name.data(), name.data() + kOffsetDigits, offset);
  if (error != std::errc{} || at != name.data() + kOffsetDigits || offset < 0) return std::nullopt;
  return std::pair{offset, name.substr(kOffsetDigits)};
}

Segment::Segment(std::string directory, Offset base_offset, TimestampMs created_at_ms)
    : end_offset(base_offset),
      largest_timestamp{-1, base_offset},
      created_ms(created_at_ms),
      offset_index(base_offset),
      time_index(base_offset),
      directory_(std::move(directory)),
      base_offset_(base_offset) {}

Segment::~Segment() {
  if (droppable_in_ != nullptr) droppable_in_->forget_indexes(*this);
}

std::string Segment::path(std::string_view suffix) const {
  return io::join_path(directory_, segment_file_name(base_offset_, suffix));
}

const RottenRange* Segment::find_rotten(std::uint64_t position) const {
  for (const RottenRange& range : rotten) {
    if (position >= range.begin && position < range.end) return &range;
  }
  return nullptr;
}

const RottenRange* Segment::find_rotten_offset(Offset offset) const {
  for (const RottenRange& range : rotten) {
    if (offset >= range.first_offset && offset < range.end_offset) return &range;
  }
  return nullptr;
}

void Segment::add_rotten(const RottenRange& range) {
  if (find_rotten(range.begin) == nullptr) rotten.push_back(range);
}

void Segment::note_batch(const BatchView& batch, std::int64_t index_interval_bytes) {
  const Offset last_offset = batch.last_offset();
  if (!batch.is_legacy()) {
    const TimestampMs timestamp = batch.max_timestamp();
    if (size == 0) first_batch_timestamp = timestamp;
    if (timestamp > largest_timestamp.timestamp) largest_timestamp = {timestamp, last_offset};
  }
  maybe_index(last_offset, static_cast<std::uint32_t>(size), index_interval_bytes);
  size += batch.size_bytes();
  bytes_since_index_entry_ += batch.size_bytes();
  end_offset = last_offset + 1;
}

void Segment::maybe_index(Offset last_offset, std::uint32_t position, std::int64_t interval) {
  if (static_cast<std::int64_t>(bytes_since_index_entry_) <= interval) return;
  offset_index.append(last_offset, position);
  time_index.maybe_append(largest_timestamp.timestamp, largest_timestamp.offset);
  bytes_since_index_entry_ = 0;
}

// Segments of partitions that were begun together do not roll together: each rolls earlier by its
// own part of the jitter, the same after a restart.
std::int64_t Segment::jitter_ms(const LogConfig& config) const {
  const std::int64_t most = std::min(config.segment_jitter_ms, config.segment_ms);
  if (most <= 0) return 0;
  Random mixed(static_cast<std::uint64_t>(base_offset_) << 32 ^ crc32c(as_bytes(directory_)));
  return static_cast<std::int64_t>(mixed.below(static_cast<std::uint64_t>(most)));
}

bool Segment::must_roll(const BatchView& batch, Offset last_offset, const LogConfig& config,
                        TimestampMs now_ms) const {
  if (last_offset - base_offset_ > INT32_MAX) return true;
  if (size == 0) return false;
  const std::uint64_t limit =
      static_cast<std::uint64_t>(std::min<std::int64_t>(config.segment_bytes, INT32_MAX));
  if (size + batch.size_bytes() > limit) return true;
  const TimestampMs waited = first_batch_timestamp >= 0
                                 ? batch.max_timestamp() - first_batch_timestamp
                                 : now_ms - created_ms;
  return waited > config.segment_ms - jitter_ms(config) ||
         offset_index.is_full(config.segment_index_bytes) ||
         time_index.is_full(config.segment_index_bytes);
}

void Segment::set_complete() {
  if (largest_timestamp.timestamp >= 0) {
    time_index.maybe_append(largest_timestamp.timestamp, largest_timestamp.offset);
  }
  complete = true;
  indexes_saved = false;
}

void Segment::truncate_to(std::uint64_t position, Offset offset) {
  ASSERT(indexes_present);
  if (droppable_in_ != nullptr) std::exchange(droppable_in_, nullptr)->forget_indexes(*this);
  offset_index.truncate_to(offset, static_cast<std::uint32_t>(position));
  time_index.truncate_to(offset);
  transaction_index.truncate_to(offset);
  size = position;
  written = std::min(written, position);
  synced = std::min(synced, position);
  end_offset = offset;
  complete = false;
  indexes_saved = false;
  bytes_since_index_entry_ = 0;
  if (largest_timestamp.offset >= offset) largest_timestamp = time_index.last();
  std::erase_if(rotten, [&](const RottenRange& range) { return range.begin >= position; });
}

void Segment::reset() {
  offset_index = OffsetIndex(base_offset_);
  time_index = TimeIndex(base_offset_);
  transaction_index = TransactionIndex();
  largest_timestamp = {-1, base_offset_};
  largest_known = true;
  first_batch_timestamp = -1;
  bytes_since_index_entry_ = 0;
  size = 0;
  end_offset = base_offset_;
  rotten.clear();
  indexes_saved = false;
  indexes_present = true;
}

io::Task<Result<FilePin>> Segment::open(FileCache& files, bool create) {
  io::OpenOptions options;
  options.write = true;
  options.create = create;
  CO_TRY(FilePin pin, co_await files.open(file_, path(), options));
  file_exists = true;
  co_return std::move(pin);
}

io::Task<Result<FilePin>> Segment::open_direct(FileCache& files) {
  io::OpenOptions options;
  options.write = true;
  options.direct = true;
  co_return co_await files.open(direct_file_, path(), options);
}

io::Task<Result<void>> Segment::sync(FileCache& files) {
  const std::uint64_t covered = written;
  CO_TRY(FilePin pin, co_await open(files, false));
  CO_TRY_VOID(co_await pin.file().sync_data());
  synced = std::max(synced, std::min(covered, written));
  if (written == covered) unsynced_.reset();
  if (complete && written == size && !direct_file_.is_pinned()) direct_file_.close_now();
  co_return Result<void>{};
}

io::Task<Result<void>> Segment::load_indexes(io::Loop& loop) {
  CO_TRY(std::vector<std::uint8_t> offsets, co_await io::read_file(loop, path(".index")));
  CO_TRY(std::vector<std::uint8_t> times, co_await io::read_file(loop, path(".timeindex")));
  Result<std::vector<std::uint8_t>> aborted = co_await io::read_file(loop, path(".txnindex"));
  if (!aborted && aborted.error().code != Errc::not_found) {
    co_return std::unexpected(std::move(aborted).error());
  }
  CO_TRY(OffsetIndex by_offset, OffsetIndex::decode(base_offset_, offsets, size));
  CO_TRY(TimeIndex by_time, TimeIndex::decode(base_offset_, times));
  TransactionIndex transactions;
  if (aborted) {
    CO_TRY(transactions, TransactionIndex::decode(base_offset_, *aborted));
  }
  offset_index = std::move(by_offset);
  time_index = std::move(by_time);
  transaction_index = std::move(transactions);
  largest_timestamp = time_index.last();
  largest_known = true;
  indexes_present = true;
  co_return Result<void>{};
}

io::Task<Result<void>> Segment::save_indexes(io::Loop& loop) {
  CO_TRY_VOID(co_await write_synced(loop, path(".index"), offset_index.encode()));
  CO_TRY_VOID(co_await write_synced(loop, path(".timeindex"), time_index.encode()));
  if (!transaction_index.entries().empty()) {
    CO_TRY_VOID(co_await write_synced(loop, path(".txnindex"), transaction_index.encode()));
  } else {
    Result<void> gone = co_await io::unlink(loop, path(".txnindex"));
    if (!gone && gone.error().code != Errc::not_found) co_return gone;
  }
  co_return Result<void>{};
}

void Segment::set_droppable(FileCache& files) {
  droppable_in_ = &files;
  files.note_indexes(*this, offset_index.memory_bytes() + time_index.memory_bytes());
}

void Segment::drop_indexes() {
  offset_index = OffsetIndex(base_offset_);
  time_index = TimeIndex(base_offset_);
  transaction_index = TransactionIndex();
  indexes_present = false;
  droppable_in_ = nullptr;
}

void Segment::close_files(FileCache& files) {
  unsynced_.reset();
  if (droppable_in_ != nullptr) {
    files.forget_indexes(*this);
    drop_indexes();
  }
  if (!file_.is_pinned()) file_.close_now();
  if (!direct_file_.is_pinned()) direct_file_.close_now();
}

}  // namespace drave::segments
