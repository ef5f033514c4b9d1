#include "segments/log_shard.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/canary.h"
#include "base/log.h"
#include "io/file.h"
#include "io/mailbox.h"
#include "segments/log_directory_impl.h"
#include "segments/partition_metadata.h"

namespace drave::segments {
namespace {

constexpr Duration kUpkeep = seconds(1);
constexpr int kUnlinkEvery = 10;  // upkeeps
constexpr int kUnlinkFilesMax = 16;
constexpr Duration kReapRetry = seconds(60);
constexpr std::int64_t kClosesAtOnce = 8;
// A stop gives up after so long without progress on a disk that has no space.
constexpr Duration kStopWithoutSpace = seconds(3);

// Has one `remove` entry in the journal until the partition's directory is gone.
struct RemovalClient final : JournalClient {
  explicit RemovalClient(io::Loop& loop) : changed(loop) {}
  void on_journal_durable(JournalSequence sequence) override {
    durable = sequence;
    changed.wake_all();
  }
  void on_journal_failed(const Error&) override {
    failed = true;
    changed.wake_all();
  }
  io::WaitQueue changed;
  JournalSequence durable = 0;
  bool failed = false;
};

io::Task<void> close_one(OpenLog& open, io::Semaphore& permits, Result<void>& outcome) {
  co_await permits.acquire();
  auto closed = co_await open.log->close();
  permits.release();
  if (!closed && outcome) outcome = std::move(closed);
}

}  // namespace

LogShardImpl::LogShardImpl(io::Loop& loop, LogDirectoryImpl& directory, int part, bool checkpointed)
    : loop_(loop),
      directory_(directory),
      options_(directory.options()),
      part_(part),
      checkpointed_(checkpointed),
      tails_(loop, options_.tail_bytes_max),
      files_(loop, options_.open_files_max),
      scope_(loop),
      upkeep_(loop),
      reaper_work_(loop),
      opened_(loop),
      link_(std::make_shared<ShardLink>(ShardLink{this, loop.shard()})) {
  files_.read_cache().set_lender(tails_);
}

LogShardImpl::~LogShardImpl() {
  link_->shard = nullptr;
}

LogServices LogShardImpl::services() {
  return {.loop = &loop_,
          .journal = journal_.get(),
          .tails = &tails_,
          .files = &files_,
          .on_fault = [this](const Error& error) { fence(error); }};
}

ReadCounters LogShardImpl::read_counters() const {
  const ReadCache& cache = files_.read_cache();
  return {.hits = cache.counters().hits,
          .disk_reads = cache.counters().disk_reads,
          .cache_bytes = cache.held_bytes(),
          .ahead_bytes = cache.ahead_bytes()};
}

io::Task<Result<void>> LogShardImpl::start_journal(std::string name, JournalOptions options) {
  CO_TRY(journal_, co_await Journal::create(loop_, directory_.path(), std::move(name), options));
  journal_->set_failure_handler([this](const Error& error) { fence(error); });
  flusher_ = std::make_unique<LogFlusher>(loop_, *journal_, tails_, files_, options_, *this);
  co_return Result<void>{};
}

void LogShardImpl::start(std::vector<std::unique_ptr<PartitionLogImpl>> logs) {
  for (auto& log : logs) adopt(std::move(log));
  patience_.emplace(loop_, [this] { files_.close_idle(); });
  flusher_->start();
  scope_.spawn(run_upkeep());
  scope_.spawn(run_reaper());
}

PartitionLog* LogShardImpl::adopt(std::unique_ptr<PartitionLogImpl> log) {
  auto open = std::make_unique<OpenLog>();
  open->log = std::move(log);
  PartitionLogImpl* adopted = open->log.get();
  if (fenced_) adopted->fence(fence_reason_);
  logs_[adopted->id()] = std::move(open);
  return adopted;
}

PartitionLog* LogShardImpl::find(const TopicIdPartition& id) {
  const auto found = logs_.find(id);
  return found == logs_.end() || found->second->is_retired ? nullptr : found->second->log.get();
}

std::vector<PartitionLog*> LogShardImpl::logs() {
  std::vector<PartitionLog*> all;
  for (const auto& [id, open] : logs_)
    if (!open->is_retired) all.push_back(open->log.get());
  return all;
}

OpenLog* LogShardImpl::log_of(JournalClient& client) {
  auto* log = dynamic_cast<PartitionLogImpl*>(&client);
  if (log == nullptr) return nullptr;
  const auto found = logs_.find(log->id());
  return found == logs_.end() ? nullptr : found->second.get();
}

// --- Creating and removing

io::Task<Result<void>> LogShardImpl::sync_names() {
  if (DRAVE_CANARY("missing-directory-sync")) co_return Result<void>{};
  LogDirectoryImpl* directory = &directory_;
  co_return co_await io::call_on(loop_, directory_.home_shard(),
                                 [directory] { return directory->sync_names(); });
}

io::Task<Result<PartitionLog*>> LogShardImpl::open_or_create(PartitionToOpen partition) {
  while (busy_.contains(partition.id)) co_await opened_.wait();
  if (PartitionLog* there = find(partition.id); there != nullptr) co_return there;
  if (fenced_) co_return std::unexpected(fence_reason_);
  if (stopping_) co_return failure(Errc::closed, "the log directory is closing");
  busy_.insert(partition.id);
  const TopicIdPartition id = partition.id;
  auto created = co_await create(std::move(partition));
  busy_.erase(id);
  opened_.wake_all();
  if (!created) co_return std::unexpected(std::move(created).error());
  co_return adopt(std::move(*created));
}

io::Task<Result<std::unique_ptr<PartitionLogImpl>>> LogShardImpl::create(
    PartitionToOpen partition) {
  const std::string path =
      directory_.path_of(partition_directory_name(partition.topic, partition.id.partition));
  auto there = co_await read_partition_metadata(loop_, path);
  if (there && *there != partition.id.topic_id) {
    co_return failure(Errc::already_exists,
                      path + " holds another topic of that name, id " + there->to_string());
  }
  if (!there && there.error().code != Errc::not_found)
    co_return std::unexpected(std::move(there).error());
  auto made = co_await make(std::move(partition), path, there.has_value());
  // A sync that failed may have lost what it covered, and the next one would say nothing of it: in
  // this process it is not tried again.
  if (!made && !io::is_shortage(made.error())) fence(made.error());
  co_return made;
}

io::Task<Result<std::unique_ptr<PartitionLogImpl>>> LogShardImpl::make(PartitionToOpen partition,
                                                                       std::string path,
                                                                       bool is_there) {
  if (is_there) {
    // Perhaps of a creation that ended before this was durable.
    CO_TRY_VOID(co_await io::sync_directory(loop_, path));
  } else {
    CO_TRY_VOID(co_await io::make_directories(loop_, path));
    CO_TRY_VOID(co_await write_partition_metadata(loop_, path, partition.id.topic_id));
  }
  CO_TRY_VOID(co_await sync_names());
  LogServices recovering = services();
  recovering.journal = nullptr;
  CO_TRY(auto log,
         co_await PartitionLogImpl::open(std::move(recovering), path, partition.topic, partition.id,
                                         partition.config, RecoveryHints{.clean = true}));
  CO_TRY_VOID(co_await log->attach(services()));
  co_return log;
}

io::Task<Result<void>> LogShardImpl::remove(TopicIdPartition id) {
  while (busy_.contains(id)) co_await opened_.wait();
  const auto found = logs_.find(id);
  if (found == logs_.end()) co_return failure(Errc::not_found, "no such partition here");
  if (fenced_) co_return std::unexpected(fence_reason_);
  if (stopping_) co_return failure(Errc::closed, "the log directory is closing");
  busy_.insert(id);
  OpenLog& open = *found->second;
  co_await flusher_->retire(open);
  // Until the removal is durable the next start must find what the journal says of this log, and
  // the checkpoint files keep naming it.
  journal_->hold_files();
  co_await open.log->discard();
  const std::string path = open.log->path();
  const std::string topic = open.log->topic();
  const Duration delay = milliseconds(open.log->config().file_delete_delay_ms);
  auto removed = co_await remove_from_disk(path, topic, id, delay);
  busy_.erase(id);
  opened_.wake_all();
  if (!removed) fence(removed.error());
  co_return removed;
}

// A directory that is being removed loses its name, durably, and then its checkpoints. Waits for
// space, or a descriptor, until the shard is to end.
io::Task<Result<void>> LogShardImpl::take_name(std::string path, std::string doomed,
                                               TopicPartitionName name) {
  LogDirectoryImpl* directory = &directory_;
  bool is_renamed = false;
  while (true) {
    Result<void> done;
    if (!is_renamed) done = co_await io::rename(loop_, path, doomed);
    is_renamed = done.has_value();
    if (done) done = co_await sync_names();
    if (done) {
      done = co_await io::call_on(loop_, directory_.home_shard(), [directory, part = part_, name] {
        return directory->drop_from_checkpoints(part, name);
      });
    }
    if (done || !io::is_shortage(done.error()) || ending_ || fenced_) co_return done;
    co_await io::sleep_for(loop_, kUpkeep);
  }
}

io::Task<Result<void>> LogShardImpl::remove_from_disk(std::string path, std::string topic,
                                                      TopicIdPartition id, Duration delay) {
  RemovalClient client(loop_);
  const JournalSequence sequence =
      journal_->append(client, {JournalEntryType::remove, id, 0, 0, {}});
  while (client.durable < sequence && !client.failed && !journal_->is_fenced())
    co_await client.changed.wait();
  journal_->unhold_files();
  logs_.erase(id);
  if (journal_->is_fenced()) {
    journal_->forget(client);
    co_return std::unexpected(journal_->fence_reason());
  }
  // The entry stands until the name is gone for good.
  const Uuid unique = Uuid::from_random(loop_.backend().entropy(), loop_.backend().entropy());
  const std::string doomed =
      directory_.path_of(renamed_directory_name(topic, id.partition, unique, "delete"));
  auto done = co_await take_name(path, doomed, {topic, id.partition});
  if (!done) journal_->hold_files();  // for good: the next start finds the entry
  journal_->forget(client);
  if (!done) co_return done;
  doom(doomed, delay);
  co_return Result<void>{};
}

// --- In the background

void LogShardImpl::doom(std::string path, Duration delay) {
  const Instant due = loop_.now() + delay;
  const auto behind = std::upper_bound(doomed_.begin(), doomed_.end(), due,
                                       [](Instant at, const Doomed& one) { return at < one.due; });
  doomed_.insert(behind, {std::move(path), due});
  reaper_work_.wake_all();
}

io::Task<void> LogShardImpl::run_reaper() {
  while (!scope_.is_stopping()) {
    if (doomed_.empty()) {
      co_await reaper_work_.wait();
      continue;
    }
    // On a disk that is full nobody wants to wait for the space.
    if (has_space_ && doomed_.front().due > loop_.now()) {
      co_await reaper_work_.wait_until(doomed_.front().due);
      continue;
    }
    std::string path = std::move(doomed_.front().path);
    doomed_.pop_front();
    auto removed = co_await io::remove_tree(loop_, path);
    if (removed || removed.error().code == Errc::not_found) continue;
    LOG_WARN("segments", "cannot remove {}: {}", path, removed.error().message());
    doom(std::move(path), kReapRetry);
    if (!has_space_) co_await reaper_work_.wait_until(loop_.now() + kReapRetry);
  }
}

io::Task<void> LogShardImpl::run_upkeep() {
  Instant checkpoint_due = loop_.now() + milliseconds(options_.checkpoint_interval_ms);
  for (int round = 0; !scope_.is_stopping(); ++round) {
    co_await watch_space();
    if (round % kUnlinkEvery == 0 || !has_space_) co_await unlink_deleted();
    if (wants_checkpoint_ || loop_.now() >= checkpoint_due) {
      wants_checkpoint_ = false;
      checkpoint_due = loop_.now() + milliseconds(options_.checkpoint_interval_ms);
      auto written = co_await checkpoint();
      if (!written && !io::is_shortage(written.error())) fence(written.error());
    }
    if (!scope_.is_stopping()) co_await upkeep_.wait_until(loop_.now() + kUpkeep);
  }
}

io::Task<void> LogShardImpl::watch_space() {
  const std::uint64_t entries = journal_->counters().entries;
  if (has_space_ && entries == entries_at_space_check_ && entries > 0) co_return;
  entries_at_space_check_ = entries;
  auto space = co_await io::free_space(loop_, directory_.path());
  if (!space) co_return;
  const bool has = space->available >= static_cast<std::uint64_t>(options_.free_bytes_min);
  if (has != has_space_) {
    LOG_WARN("segments", "directory={} free_bytes={} bound={}: produce is {}", directory_.path(),
             space->available, options_.free_bytes_min, has ? "accepted again" : "refused");
  }
  if (!has) co_return on_no_space();
  has_space_ = true;
}

void LogShardImpl::on_no_space() {
  has_space_ = false;
  reaper_work_.wake_all();
  wake_who_wait_for_room();
}

// They are to hear that there will be none, or not soon.
void LogShardImpl::wake_who_wait_for_room() {
  journal_->room().wake_all();
  tails_.room().wake_all();
}

io::Task<void> LogShardImpl::unlink_deleted() {
  std::vector<TopicIdPartition> ids;
  for (const auto& [id, open] : logs_) ids.push_back(id);
  for (std::size_t i = 0; i < ids.size() && !scope_.is_stopping(); ++i) {
    const auto found = logs_.find(ids[i]);
    if (found == logs_.end() || found->second->is_retired) continue;
    OpenLog& open = *found->second;
    ++open.pins;
    [[maybe_unused]] auto unlinked = co_await open.log->unlink_deleted(kUnlinkFilesMax);
    flusher_->unpin(open);
  }
}

void LogShardImpl::on_checkpoint_wanted() {
  wants_checkpoint_ = true;
  upkeep_.wake_all();
}

CheckpointPart LogShardImpl::collect_offsets() const {
  CheckpointPart part;
  if (!checkpointed_) return part;
  for (const auto& [id, open] : logs_) {
    const PartitionLogImpl& log = *open->log;
    const TopicPartitionName name{log.topic(), id.partition};
    part.recovery_points[name] = log.recovery_point();
    if (log.log_start() > 0) part.log_starts[name] = log.log_start();
    const Offset high_watermark =
        high_watermark_of_ && !open->is_retired ? high_watermark_of_(log) : log.durable_end();
    part.high_watermarks[name] = std::min(high_watermark, log.recovery_point());
  }
  return part;
}

io::Task<Result<void>> LogShardImpl::checkpoint() {
  std::vector<std::pair<TopicIdPartition, Offset>> log_starts;
  for (const auto& [id, open] : logs_)
    if (!open->is_retired) log_starts.emplace_back(id, open->log->log_start());
  if (checkpointed_) {
    LogDirectoryImpl* directory = &directory_;
    CO_TRY_VOID(
        co_await io::call_on(loop_, directory_.home_shard(),
                             [directory, part = part_, offsets = collect_offsets()]() mutable {
                               return directory->checkpoint(part, std::move(offsets));
                             }));
  }
  for (const auto& [id, log_start] : log_starts) {
    const auto found = logs_.find(id);
    if (found != logs_.end() && !found->second->is_retired)
      found->second->log->on_log_start_checkpointed(log_start);
  }
  co_return Result<void>{};
}

// --- The end

void LogShardImpl::fence(const Error& error) {
  if (fenced_) return;
  fenced_ = true;
  fence_reason_ = error;
  LOG_ERROR("segments", "directory={} shard={} fenced: {}", directory_.path(), loop_.shard(),
            error.message());
  if (!stopping_) scope_.spawn(fence_all(error));
}

io::Task<void> LogShardImpl::fence_all(Error error) {
  std::vector<PartitionLogImpl*> all;
  for (const auto& [id, open] : logs_) all.push_back(open->log.get());
  for (PartitionLogImpl* log : all) log->fence(error);
  journal_->fence(error);
  wake_who_wait_for_room();
  LogDirectoryImpl* directory = &directory_;
  co_await io::call_on(loop_, directory_.home_shard(),
                       [directory, error] { directory->fence(error); });
}

io::Task<Result<void>> LogShardImpl::close_logs() {
  Result<void> outcome;
  io::Semaphore permits(loop_, kClosesAtOnce);
  io::Scope closing(loop_);
  for (const auto& [id, open] : logs_) closing.spawn(close_one(*open, permits, outcome));
  co_await closing.join();
  co_return outcome;
}

// While the flusher can still make room for what the journal has not written. On a full disk, or
// without a descriptor, it cannot: what comes of waiting there was not acknowledged, and is given
// up.
io::Task<void> LogShardImpl::settle() {
  ending_ = true;
  io::end_descriptor_waits(loop_);
  JournalSequence reached = journal_->durable_sequence();
  Instant since = loop_.now();
  while (!journal_->is_fenced() && journal_->durable_sequence() < journal_->last_sequence()) {
    co_await journal_->room().wait_until(loop_.now() + kUpkeep);
    if (std::exchange(reached, journal_->durable_sequence()) != journal_->durable_sequence())
      since = loop_.now();
    const bool has_room = has_space_ && !io::lacks_descriptors(loop_);
    if (!has_room && loop_.now() - since >= kStopWithoutSpace)
      journal_->fence({Errc::no_space, 0, directory_.path() + ": stopped without room to write"});
  }
}

io::Task<Result<void>> LogShardImpl::stop() {
  co_await settle();
  while (!busy_.empty()) co_await opened_.wait();
  stopping_ = true;
  scope_.request_stop();
  upkeep_.wake_all();
  reaper_work_.wake_all();
  co_await flusher_->stop();
  co_await scope_.join();
  Result<void> outcome;
  // Log starts are durable before the logs give up their journal entries; recovery points after.
  if (!fenced_) outcome = co_await checkpoint();
  if (!outcome) {
    // Then they keep them for the next start.
    fenced_ = true;
    fence_reason_ = outcome.error();
    co_await fence_all(outcome.error());
  }
  auto closed = co_await close_logs();
  if (outcome) outcome = std::move(closed);
  if (!fenced_ && outcome) outcome = co_await checkpoint();
  if (fenced_ && outcome) outcome = std::unexpected(fence_reason_);
  auto ended = co_await journal_->close();
  if (outcome) outcome = std::move(ended);
  LogDirectoryImpl* directory = &directory_;
  co_await io::call_on(loop_, directory_.home_shard(),
                       [directory, link = link_, clean = outcome.has_value()] {
                         directory->note_stopped(link, clean);
                       });
  co_return outcome;
}

}  // namespace drave::segments
