#include "segments/log_flusher.h"

#include <algorithm>

#include "io/descriptors.h"
#include "segments/file_cache.h"
#include "segments/tail.h"

namespace drave::segments {
namespace {

constexpr int kWriters = 3;
constexpr int kSyncers = 4;
// How often the flusher looks around while there is something to do. 10 ms of the fastest disk are
// a small part of the tails' memory.
constexpr Duration kActiveTick = milliseconds(10);
// A log that is appended to all the time waits no longer than this with a small piece.
constexpr std::int64_t kWriteAgeFactor = 4;     // times idle_write_ms
constexpr std::int64_t kSyncBytes = 16 * kMiB;  // unsynced bytes of one log that are enough
constexpr Duration kSyncAge = seconds(5);
constexpr std::int64_t kPauseFactor = 3;
constexpr Duration kPauseMax = milliseconds(250);
constexpr Duration kSpaceRetry = seconds(1);
// After so many pieces the next log has its turn.
constexpr int kPiecesPerTurn = 16;

template <class Tag>
bool is_on(const OpenLog& log) {
  return static_cast<const ListLink<Tag>&>(log).is_linked();
}
template <class Tag>
void take_off(OpenLog& log) {
  static_cast<ListLink<Tag>&>(log).unlink();
}

}  // namespace

LogFlusher::LogFlusher(io::Loop& loop, Journal& journal, TailBudget& tails, FileCache& files,
                       const LogDirectoryOptions& options, LogFlusherOwner& owner)
    : loop_(loop),
      journal_(journal),
      tails_(tails),
      files_(files),
      options_(options),
      owner_(owner),
      scope_(loop),
      tick_(loop),
      write_work_(loop),
      sync_work_(loop),
      pause_(loop),
      unpinned_(loop) {}

void LogFlusher::start() {
  scope_.spawn(run_ticker());
  for (int i = 0; i < kWriters; ++i) scope_.spawn(run_writer());
  for (int i = 0; i < kSyncers; ++i) scope_.spawn(run_syncer(i));
}

io::Task<void> LogFlusher::stop() {
  scope_.request_stop();
  tick_.wake_all();
  write_work_.wake_all();
  sync_work_.wake_all();
  pause_.wake_all();
  co_await scope_.join();
  dirty_.clear();
  to_write_.clear();
  to_sync_.clear();
}

io::Task<void> LogFlusher::retire(OpenLog& log) {
  log.is_retired = true;
  take_off<DirtyTag>(log);
  take_off<WriteTag>(log);
  take_off<SyncTag>(log);
  while (log.pins > 0) co_await unpinned_.wait();
}

void LogFlusher::unpin(OpenLog& log) {
  ASSERT(log.pins > 0);
  if (--log.pins == 0) unpinned_.wake_all();
}

bool LogFlusher::is_pressed() const {
  return journal_.used_bytes() * 2 >= journal_.bytes_max() || journal_.is_full() ||
         files_.pinned_count() > files_.files_max();
}

// A quarter is room for what comes until the next look.
bool LogFlusher::is_memory_scarce() const {
  return (tails_.used_bytes() - tails_.evictable_bytes()) * 4 >= tails_.bytes_max() * 3;
}

bool LogFlusher::is_aged(const OpenLog& log, Instant now) const {
  const auto since = log.log->unwritten_since();
  if (!since.has_value()) return false;
  const Duration idle = now - std::max(log.appended_at, *since);
  return idle >= milliseconds(options_.idle_write_ms / 2) ||
         now - *since >= milliseconds(options_.idle_write_ms * kWriteAgeFactor);
}

bool LogFlusher::wants_write(const OpenLog& log, Instant now) const {
  const std::int64_t bytes = log.log->unwritten_bytes();
  if (bytes == 0 || now < no_space_until_) return false;
  return bytes >= options_.segment_piece_bytes || log.is_urgent || is_aged(log, now) ||
         is_memory_scarce();
}

bool LogFlusher::wants_sync(const OpenLog& log, Instant now) const {
  if (log.is_urgent) return now >= no_space_until_;
  if (!log.unsynced_since.has_value()) return false;
  return log.log->unsynced_bytes() >= kSyncBytes || now - *log.unsynced_since >= kSyncAge ||
         files_.pinned_count() > files_.files_max();
}

void LogFlusher::collect_dirty() {
  journal_.take_touched(touched_);
  was_active_ = !touched_.empty();
  for (JournalClient* client : touched_) {
    OpenLog* log = owner_.log_of(*client);
    if (log == nullptr || log->is_retired) continue;
    log->appended_at = loop_.now();
    if (!is_on<DirtyTag>(*log)) dirty_.push_back(*log);
  }
  touched_.clear();
}

void LogFlusher::look_at_journal() {
  if (journal_.used_bytes() * 2 < journal_.bytes_max() && !journal_.is_full()) return;
  for (JournalClient* client : journal_.oldest_clients()) {
    OpenLog* log = owner_.log_of(*client);
    // One that is being synced will have released the file, or is asked again.
    if (log == nullptr || log->is_retired || log->is_syncing) continue;
    log->is_urgent = true;
    if (!is_on<DirtyTag>(*log)) dirty_.push_back(*log);
  }
}

void LogFlusher::look_at_dirty() {
  const Instant now = loop_.now();
  dirty_.for_each([this, now](OpenLog& log) {
    PartitionLogImpl& of = *log.log;
    if (of.is_fenced() ||
        (of.unwritten_bytes() == 0 && !of.needs_sync() && of.oldest_sequence() == 0)) {
      take_off<DirtyTag>(log);
      log.is_urgent = false;
      log.unsynced_since.reset();
      return;
    }
    if (!is_on<WriteTag>(log) && !log.is_writing && wants_write(log, now)) to_write_.push_back(log);
    if (of.needs_sync() && !log.unsynced_since.has_value()) log.unsynced_since = now;
    if (log.is_urgent && of.unwritten_bytes() == 0 && !of.needs_sync())
      owner_.on_checkpoint_wanted();
    if (!is_on<SyncTag>(log) && !log.is_syncing && wants_sync(log, now)) {
      if (log.is_urgent) {
        to_sync_.push_front(log);
      } else {
        to_sync_.push_back(log);
      }
    }
  });
  if (!to_write_.empty()) write_work_.wake_all();
  if (!to_sync_.empty()) sync_work_.wake_all();
}

io::Task<void> LogFlusher::run_ticker() {
  const Duration idle_tick = milliseconds(std::max<std::int64_t>(options_.idle_write_ms / 4, 1));
  while (!scope_.is_stopping()) {
    collect_dirty();
    look_at_journal();
    look_at_dirty();
    tails_.announce_room();
    const bool active = was_active_ || !to_write_.empty() || is_pressed() || is_memory_scarce();
    co_await tick_.wait_until(loop_.now() + std::min(active ? kActiveTick : idle_tick, idle_tick));
  }
}

io::Task<void> LogFlusher::run_writer() {
  while (!scope_.is_stopping()) {
    if (to_write_.empty()) {
      co_await write_work_.wait();
      continue;
    }
    OpenLog& log = to_write_.pop_front();
    ++log.pins;
    log.is_writing = true;
    co_await write_out(log, log.is_urgent || is_aged(log, loop_.now()));
    log.is_writing = false;
    unpin(log);
  }
}

io::Task<void> LogFlusher::write_out(OpenLog& log, bool everything) {
  for (int i = 0; i < kPiecesPerTurn || everything; ++i) {
    if (log.is_retired || scope_.is_stopping() || log.log->is_fenced()) co_return;
    if (!everything && log.log->unwritten_bytes() < options_.segment_piece_bytes &&
        !is_memory_scarce())
      co_return;
    const bool whole_blocks_only = !everything && !is_memory_scarce();
    auto written = co_await log.log->write_tail_piece(
        static_cast<std::size_t>(options_.segment_piece_bytes), whole_blocks_only);
    if (!written) {
      if (io::is_shortage(written.error())) {
        no_space_until_ = loop_.now() + kSpaceRetry;
        owner_.on_no_space();
      }
      co_return;
    }
    if (*written == 0) co_return;
    // Where memory is scarce all logs want to be written and few are: each in its turn.
    if (is_on<DirtyTag>(log)) {
      take_off<DirtyTag>(log);
      dirty_.push_back(log);
    }
    ++counters_.pieces;
    counters_.piece_bytes += *written;
    // One that is hot would never end: what came meanwhile is the next turn's.
    if (everything && i >= kPiecesPerTurn && !is_aged(log, loop_.now())) co_return;
  }
}

Duration LogFlusher::pause_after(Duration sync) const {
  if (is_pressed()) return {};
  const std::int64_t half = std::max<std::int64_t>(journal_.bytes_max() / 2, 1);
  const std::int64_t free = std::max<std::int64_t>(half - journal_.used_bytes(), 0);
  const auto pause =
      static_cast<std::int64_t>(static_cast<double>(sync.ns * kPauseFactor) *
                                static_cast<double>(free) / static_cast<double>(half));
  return std::min(nanoseconds(pause), kPauseMax);
}

io::Task<void> LogFlusher::run_syncer(int number) {
  while (!scope_.is_stopping()) {
    // Alone, but for times of pressure.
    if (to_sync_.empty() || (number > 0 && !is_pressed())) {
      co_await sync_work_.wait();
      continue;
    }
    OpenLog& log = to_sync_.pop_front();
    ++log.pins;
    log.is_syncing = true;
    const bool was_urgent = log.is_urgent;
    if (was_urgent) co_await write_out(log, true);
    Duration took;
    if (!log.is_retired && !log.log->is_fenced()) {
      log.unsynced_since.reset();
      log.is_urgent = false;
      const Instant started = loop_.now_precise();
      auto synced = co_await log.log->sync_segments();
      took = loop_.now_precise() - started;
      ++counters_.syncs;
      if (was_urgent) ++counters_.pressed_syncs;
      if (!synced && io::is_shortage(synced.error())) {
        no_space_until_ = loop_.now() + kSpaceRetry;
        owner_.on_no_space();
      }
    }
    log.is_syncing = false;
    unpin(log);
    const Duration pause = pause_after(took);
    if (pause.ns > 0 && !scope_.is_stopping())
      co_await pause_.wait_until(loop_.now_precise() + pause);
  }
}

}  // namespace drave::segments
