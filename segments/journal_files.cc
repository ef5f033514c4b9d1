#include "segments/journal_files.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/canary.h"
#include "base/log.h"
#include "io/buffer_pool.h"
#include "io/descriptors.h"
#include "segments/journal_format.h"

namespace drave::segments {
namespace {

constexpr std::size_t kZeroPiece = 256 * kKiB;
constexpr std::int64_t kGrowth = 4;  // each new file is that many times the one before
constexpr std::int64_t kBeyondBoundBytes = 64 * kKiB;
constexpr Duration kSpaceRetry = seconds(1);

std::int64_t round_up(std::int64_t size) {
  constexpr auto kBlock = static_cast<std::int64_t>(kJournalBlock);
  return (size + kBlock - 1) / kBlock * kBlock;
}

}  // namespace

JournalFiles::JournalFiles(io::Loop& loop, std::string directory, JournalFileName first,
                           JournalOptions& options, JournalCounters& counters,
                           JournalFilesObserver& observer)
    : loop_(loop),
      directory_(std::move(directory)),
      next_name_(std::move(first)),
      options_(options),
      counters_(counters),
      observer_(observer),
      scope_(loop),
      work_(loop) {}

JournalFiles::~JournalFiles() {
  ASSERT_EQUAL(scope_.running_count(), 0U);
}

io::Task<Result<void>> JournalFiles::start() {
  auto prepared = co_await prepare(options_.first_file_bytes);
  if (!prepared) {
    [[maybe_unused]] auto ended = co_await stop(true);
    co_return prepared;
  }
  live_.push_back(std::move(ready_.front()));
  ready_.pop_front();
  scope_.spawn(run_steward());
  co_return Result<void>{};
}

io::Task<Result<void>> JournalFiles::stop(bool unlink) {
  stopping_ = true;
  work_.wake_all();
  co_await scope_.join();
  Result<void> outcome;
  if (unlink && !failed_) outcome = co_await unlink_all();
  for (auto* files : {&live_, &ready_, &useless_}) {
    while (!files->empty()) {
      std::unique_ptr<JournalFile> file = std::move(files->front());
      files->pop_front();
      if (!file->file.is_open()) continue;
      auto closed = co_await file->file.close();
      if (!closed && outcome) outcome = std::move(closed);
    }
  }
  co_return outcome;
}

// Ready files hold nothing and come last, so their order does not matter; of the others the useless
// ones, then the oldest must be gone for good before the next one goes.
io::Task<Result<void>> JournalFiles::unlink_all() {
  while (!useless_.empty()) CO_TRY_VOID(co_await remove_useless());
  for (std::size_t i = 0; i < ready_.size(); ++i)
    CO_TRY_VOID(co_await unlink_if_there(ready_[i]->path));
  for (std::size_t i = 0; i < live_.size(); ++i) {
    CO_TRY_VOID(co_await unlink_if_there(live_[i]->path));
    CO_TRY_VOID(co_await io::sync_directory(loop_, directory_));
  }
  co_return Result<void>{};
}

bool JournalFiles::make_room(std::uint64_t length, bool beyond_bound) {
  beyond_bound_ = beyond_bound;
  const auto wanted = static_cast<std::int64_t>(length);
  if (live_.back()->position + wanted <= live_.back()->size) {
    // The next file is prepared while this one fills.
    if (wants_file()) work_.wake_all();
    return true;
  }
  if (!ready_.empty() && ready_.front()->size >= wanted) {
    live_.push_back(std::move(ready_.front()));
    ready_.pop_front();
    needed_ = 0;
    look_for_released();
    work_.wake_all();
    return true;
  }
  needed_ = wanted;
  work_.wake_all();
  return false;
}

void JournalFiles::note(JournalClient& client, JournalSequence sequence) {
  JournalFile& file = *live_.back();
  if (client.noted_file_ == &file && client.noted_in_file_ < file.clients.size() &&
      file.clients[client.noted_in_file_].client == &client) {
    file.clients[client.noted_in_file_].last = sequence;
    return;
  }
  client.noted_file_ = &file;
  client.noted_in_file_ = file.clients.size();
  file.clients.push_back({&client, sequence});
}

void JournalFiles::forget(JournalClient& client) {
  for (auto& file : live_)
    for (JournalFile::Client& at : file->clients)
      if (at.client == &client) at.client = nullptr;
  client.noted_file_ = nullptr;
  look_for_released();
}

bool JournalFiles::is_recyclable(JournalFile& file) const {
  if (DRAVE_CANARY("journal-recycled-early")) return true;
  while (file.released_count < file.clients.size()) {
    const JournalFile::Client& at = file.clients[file.released_count];
    if (at.client != nullptr && at.client->released_ < at.last) return false;
    ++file.released_count;
  }
  return true;
}

bool JournalFiles::oldest_is_recyclable() {
  return holds_ == 0 && !recycling_waits_ && live_.size() > 1 && is_recyclable(*live_.front());
}

void JournalFiles::look_for_released() {
  if (!failed_ && oldest_is_recyclable()) work_.wake_all();
}

std::int64_t JournalFiles::used_bytes() const {
  std::int64_t used = 0;
  for (const auto& file : live_) used += file == live_.back() ? file->position : file->size;
  return used;
}

std::vector<JournalClient*> JournalFiles::oldest_clients() {
  std::vector<JournalClient*> found;
  JournalFile& oldest = *live_.front();
  for (std::size_t i = oldest.released_count; i < oldest.clients.size(); ++i) {
    const JournalFile::Client& at = oldest.clients[i];
    if (at.client != nullptr && at.client->released_ < at.last) found.push_back(at.client);
  }
  return found;
}

// Two files at least, else nothing could ever be recycled.
bool JournalFiles::is_at_bound() const {
  const std::int64_t grown = std::min(last_size_ * kGrowth, options_.file_bytes);
  return live_.size() + ready_.size() >= 2 && allocated_bytes_ + grown > options_.bytes_max;
}

std::int64_t JournalFiles::next_size() const {
  const std::int64_t grown = is_at_bound() ? std::min(kBeyondBoundBytes, options_.file_bytes)
                                           : std::min(last_size_ * kGrowth, options_.file_bytes);
  return std::max(grown, round_up(needed_));
}

bool JournalFiles::wants_file() const {
  if (stopping_ || failed_ || waits_for_space_ || !useless_.empty()) return false;
  if (needed_ > 0) {
    if (!ready_.empty() && ready_.front()->size >= needed_) return false;
  } else if (!ready_.empty() || live_.back()->position == 0) {
    return false;
  }
  if (!is_at_bound()) return true;
  // What frees the journal may wait for an entry itself; and what no file can hold gets one.
  return needed_ > 0 && (beyond_bound_ || holds_ > 0 || needed_ > options_.file_bytes);
}

// While no file can be made, others may still be freed; what found no space waits a while.
io::Task<void> JournalFiles::run_steward() {
  while (!stopping_ && !failed_) {
    Result<void> done;
    bool* waits = nullptr;
    if (!useless_.empty() && !recycling_waits_) {
      done = co_await remove_useless();
      waits = &recycling_waits_;
    } else if (oldest_is_recyclable()) {
      done = co_await recycle_oldest();
      waits = &recycling_waits_;
    } else if (wants_file()) {
      done = co_await prepare(next_size());
      waits = &waits_for_space_;
    } else if (waits_for_space_ || recycling_waits_) {
      co_await work_.wait_until(retry_at_);
      if (loop_.now() >= retry_at_) waits_for_space_ = recycling_waits_ = false;
    } else {
      co_await work_.wait();
    }
    if (done || stopping_) continue;
    if (io::is_shortage(done.error())) {
      *waits = true;
      retry_at_ = loop_.now() + kSpaceRetry;
      LOG_WARN("journal", "no room for a journal file: {}", done.error().message());
    } else {
      failed_ = true;
      observer_.on_files_failed(done.error());
    }
  }
}

// A file that is not gone for good stays the oldest: until then no newer one may go.
io::Task<Result<void>> JournalFiles::recycle_oldest() {
  std::unique_ptr<JournalFile> file = std::move(live_.front());
  live_.pop_front();
  for (JournalFile::Client& at : file->clients)
    if (at.client != nullptr && at.client->noted_file_ == file.get())
      at.client->noted_file_ = nullptr;
  file->clients.clear();
  file->released_count = 0;
  // One of the small first ones, or one that a very large entry needed, goes.
  const bool goes = file->size != options_.file_bytes;
  Result<void> done = goes ? co_await remove(*file) : co_await rename_to_next(*file);
  if (!done) {
    live_.push_front(std::move(file));
    co_return done;
  }
  if (goes) {
    allocated_bytes_ -= file->size;
  } else {
    file->position = 0;
    ++counters_.files_recycled;
    ready_.push_back(std::move(file));
  }
  observer_.on_file_ready();
  co_return Result<void>{};
}

io::Task<Result<void>> JournalFiles::remove(JournalFile& file) {
  if (file.file.is_open()) CO_TRY_VOID(co_await file.file.close());
  CO_TRY_VOID(co_await unlink_if_there(file.path));
  co_return co_await io::sync_directory(loop_, directory_);
}

// One that an earlier try has removed may come back in a crash all the same.
io::Task<Result<void>> JournalFiles::unlink_if_there(std::string path) {
  Result<void> gone = co_await io::unlink(loop_, std::move(path));
  if (!gone && gone.error().code == Errc::not_found) co_return Result<void>{};
  co_return gone;
}

// A file without groups before one with groups: as long as older ones are there, too, that is
// plain. Without them it looks like groups that are lost, so it goes before the oldest does.
io::Task<Result<void>> JournalFiles::remove_useless() {
  CO_TRY_VOID(co_await remove(*useless_.front()));
  useless_.pop_front();
  co_return Result<void>{};
}

// Nobody else gets the name of a file that was renamed, whether it is there to stay or not.
io::Task<Result<void>> JournalFiles::rename_to_next(JournalFile& file) {
  std::string path = io::join_path(directory_, journal_file_name(next_name_));
  CO_TRY_VOID(co_await io::rename(loop_, file.path, path));
  file.path = std::move(path);
  file.generation = next_name_.generation++;
  if (DRAVE_CANARY("missing-directory-sync")) co_return Result<void>{};
  co_return co_await io::sync_directory(loop_, directory_);
}

io::Task<Result<void>> JournalFiles::prepare(std::int64_t size) {
  std::string preparing =
      io::join_path(directory_, preparing_file_name(next_name_.journal, next_preparing_++));
  auto made = co_await make_zeroed(preparing, size);
  if (!made) {
    // What is left of it gives its space back; recovery removes it should that fail, too.
    [[maybe_unused]] auto ignored = co_await io::unlink(loop_, preparing);
    co_return std::unexpected(std::move(made).error());
  }
  std::unique_ptr<JournalFile> file = std::move(*made);
  file->path = std::move(preparing);
  Result<void> named = co_await rename_to_next(*file);
  if (!named) {
    useless_.push_back(std::move(file));
    co_return named;
  }
  allocated_bytes_ += size;
  last_size_ = std::max(last_size_, std::min(size, options_.file_bytes));
  ++counters_.files_created;
  // A ready file that is too small for what waits is of no use before this one.
  if (needed_ > 0 && !ready_.empty() && ready_.front()->size < needed_) {
    allocated_bytes_ -= ready_.front()->size;
    useless_.push_back(std::move(ready_.front()));
    ready_.pop_front();
  }
  ready_.push_back(std::move(file));
  observer_.on_file_ready();
  co_return Result<void>{};
}

io::Task<Result<io::File>> JournalFiles::open_new(std::string path) {
  io::OpenOptions how;
  how.write = true;
  how.create = true;
  how.truncate = true;
  how.direct = options_.direct;
  auto opened = co_await io::File::open(loop_, path, how);
  if (opened || !options_.direct || opened.error().system != EINVAL) co_return opened;
  LOG_WARN("journal",
           "directory={} has no O_DIRECT: journal writes are buffered and followed by fdatasync",
           directory_);
  options_.direct = false;
  how.direct = false;
  co_return co_await io::File::open(loop_, path, how);
}

io::Task<Result<std::unique_ptr<JournalFile>>> JournalFiles::make_zeroed(std::string path,
                                                                         std::int64_t size) {
  ASSERT_EQUAL(size % static_cast<std::int64_t>(kJournalBlock), 0);
  auto file = std::make_unique<JournalFile>();
  CO_TRY(file->file, co_await open_new(path));
  file->size = size;
  auto written = co_await write_zeroes(*file);
  if (!written) {
    [[maybe_unused]] auto ignored = co_await file->file.close();
    co_return std::unexpected(std::move(written).error());
  }
  co_return file;
}

// Written, not only allocated: unwritten extents would be converted in the way of every group.
io::Task<Result<void>> JournalFiles::write_zeroes(JournalFile& file) {
  const auto size = static_cast<std::uint64_t>(file.size);
  auto allocated = co_await file.file.allocate(0, size);
  if (!allocated && allocated.error().code == Errc::no_space) co_return allocated;
  io::BufferPool pool(0);
  io::PooledBuffer zeroes = pool.take(std::min<std::size_t>(kZeroPiece, size));
  std::memset(zeroes.data(), 0, zeroes.capacity());
  for (std::uint64_t at = 0; at < size; at += zeroes.capacity()) {
    if (stopping_) co_return failure(Errc::closed, "journal is closing");
    const std::size_t n = std::min<std::uint64_t>(zeroes.capacity(), size - at);
    CO_TRY_VOID(co_await file.file.write(at, ByteView(zeroes.data(), n)));
  }
  co_return co_await file.file.sync();
}

}  // namespace drave::segments
