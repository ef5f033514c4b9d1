#include "broker/controller/quorum_controller.h"

#include <algorithm>
#include <set>

#include "base/assert.h"
#include "base/canary.h"
#include "base/log.h"
#include "base/mark.h"
#include "broker/controller/controller_impl.h"
#include "broker/controller/raft_options.h"
#include "io/file.h"
#include "metadata/controller/batching.h"
#include "metadata/controller/bootstrap.h"
#include "metadata/controller/brokers.h"
#include "metadata/delta.h"
#include "metadata/features.h"
#include "metadata/image_records.h"
#include "raftlog/raft_limits.h"
#include "raftlog/raft_log.h"

namespace drave::broker {

using metadata::ImagePtr;
using metadata::RecordList;

namespace {

constexpr Duration kSnapshotCheckInterval = seconds(60);
// A piece of a sweep waits for its publication, so that the next ones are not in the way of what
// others decide; but not for this node's files.
constexpr Duration kPieceWaitMax = milliseconds(10);
constexpr Duration kPrepareAgain = milliseconds(20);
// Of a batch, applied before others run: some two milliseconds.
constexpr std::size_t kRecordsPerPass = 2000;

// As configured; what cannot be cut is as large as the log takes.
metadata::BatchLimits batch_limits(const BrokerConfig& config) {
  return {.bytes_max = std::min(static_cast<std::size_t>(config.metadata_batch_bytes_max),
                                raft::kBatchBytesMax),
          .uncut_bytes_max = raft::kBatchBytesMax};
}

// The records [from, to) of the list, as many as there are.
Result<void> apply(metadata::Delta& delta, const RecordList& records, std::size_t from,
                   std::size_t to) {
  for (std::size_t index = from; index < std::min(to, records.size()); ++index)
    TRY_VOID(delta.apply(records[index]));
  return {};
}

// `image` with what a control batch says; it still ends where it ended, or where what is committed
// by now does.
ImagePtr with_control(const ImagePtr& image, const protocol::BatchView& batch,
                      const metadata::Image& committed) {
  metadata::Loader patched;
  patched.set_images(image, nullptr);
  if (!patched.apply(batch)) return image;
  const metadata::Image& newer =
      image->last_contained() < committed.last_contained() ? committed : *image;
  return std::make_shared<const metadata::Image>(
      metadata::Delta(*patched.image())
          .finish(newer.last_contained(), newer.last_contained_timestamp()));
}

}  // namespace

Controller::Controller(io::Loop& loop, ControllerOptions options, Publisher& publisher)
    : loop_(loop),
      options_(std::move(options)),
      config_(*options_.config),
      publisher_(publisher),
      random_(loop.backend().entropy()),
      ahead_(loader_.image()),
      published_(loader_.image()),
      tracker_(milliseconds(config_.broker_session_timeout_ms)),
      no_ops_(milliseconds(config_.metadata_idle_interval_ms_max)),
      sweeping_(loop, 1),
      deciding_(loop, 1),
      commit_(loop),
      changed_(loop),
      tending_(loop),
      scope_(loop) {}

// --- Start

io::Task<Result<void>> Controller::open_log(segments::LogDirectory& directory) {
  directory_path_ = directory.path();
  CO_TRY(raft_,
         co_await raft::RaftLog::open(
             loop_, directory,
             raft_options(config_, options_.cluster_id, options_.metadata_directory_id), *this));
  snapshot_ms_ = loop_.wall_now();
  published_ = loader_.image();
  published_end_ = committed_end_;
  co_await publisher_.publish(published_);
  co_return Result<void>{};
}

void Controller::start() {
  publishing_ = true;
  scope_.spawn(publish_loop());
  raft_->start();
}

std::optional<raft::Voter> Controller::leader() const {
  return raft_ == nullptr ? std::nullopt : raft_->leader_node();
}

metadata::ControllerContext Controller::context() {
  metadata::ControllerContext context{*ahead_,
                                      config_.given,
                                      config_.node_id,
                                      config_.num_partitions,
                                      config_.default_replication_factor,
                                      config_.delete_topic_enable,
                                      random_,
                                      options_.cluster_id};
  context.leaving = leaving_;
  return context;
}

// --- What the quorum says

Result<void> Controller::on_snapshot(ByteView batches, OffsetAndEpoch id) {
  ASSERT(pending_.empty());
  TRY_VOID(loader_.load_snapshot(batches, id));
  committed_end_ = id.offset;
  ahead_ = loader_.image();
  ahead_end_ = committed_end_;
  commit_.wake_all();
  return {};
}

Result<bool> Controller::on_batch(const protocol::BatchView& batch) {
  note_committed(batch.base_offset());
  TRY(const bool whole, loader_.apply_piece(batch, kRecordsPerPass));
  if (!whole) return false;
  committed_end_ = batch.last_offset() + 1;
  if (!leads_) {
    ahead_ = loader_.image();
  } else {
    // Voters changed. What was decided meanwhile was made without it; that may be committed, too,
    // and no part of loader_.image(), of a transaction that goes on.
    const metadata::Image& committed = *loader_.image();
    ahead_ = with_control(ahead_, batch, committed);
    for (Pending& pending : pending_) {
      pending.visible = with_control(pending.visible, batch, committed);
      if (pending.working != nullptr)
        pending.working = with_control(pending.working, batch, committed);
    }
  }
  ahead_end_ = std::max(ahead_end_, committed_end_);
  commit_.wake_all();
  return true;
}

void Controller::on_high_watermark(Offset high_watermark) {
  note_committed(high_watermark);
}

void Controller::note_committed(Offset high_watermark) {
  bool moved = false;
  const bool all = DRAVE_CANARY("publishes-uncommitted");
  while (!pending_.empty() && (pending_.front().end <= high_watermark || all)) {
    Pending& first = pending_.front();
    if (first.working != nullptr && DRAVE_CANARY("shows-half-of-transaction"))
      first.visible = first.working;
    loader_.set_images(std::move(first.visible), std::move(first.working));
    committed_end_ = first.end;
    pending_.pop_front();
    moved = true;
  }
  // What the quorum appends by itself, the first batch of an epoch, is in no image.
  if (leads_ && pending_.empty() && committed_end_ < high_watermark) {
    committed_end_ = high_watermark;
    ahead_end_ = std::max(ahead_end_, committed_end_);
    moved = true;
  }
  if (moved) commit_.wake_all();
}

void Controller::on_leading(LeaderEpoch epoch) {
  ASSERT(pending_.empty());
  if (loader_.in_transaction()) DRAVE_MARK("transactions_cut_short");
  leads_ = true;
  ahead_ = loader_.image();
  ahead_end_ = committed_end_;
  scope_.spawn(take_over(epoch));
}

void Controller::on_resigned(Offset committed) {
  note_committed(committed);
  if (active_) LOG_INFO("controller", "not active any more, committed={}", committed);
  leads_ = active_ = false;
  pending_.clear();
  ahead_ = loader_.image();
  ahead_end_ = committed_end_;
  tending_.wake_all();
  changed_.wake_all();
}

void Controller::on_leader_changed(NodeId leader, LeaderEpoch epoch) {
  LOG_INFO("controller", "leader of the quorum id={} epoch={}", leader, epoch);
  changed_.wake_all();
}

void Controller::on_failed(const Error& error) {
  LOG_ERROR("controller", "the metadata log failed error={}", error.message());
  leads_ = active_ = false;
  tending_.wake_all();
  changed_.wake_all();
  commit_.wake_all();
  if (options_.on_failed != nullptr) std::exchange(options_.on_failed, nullptr)(error);
}

// --- Becoming active

io::Task<void> Controller::take_over(LeaderEpoch epoch) {
  co_await sweeping_.acquire();
  co_await deciding_.acquire();
  bool aborts = loader_.in_transaction();
  Result<void> ready;
  while (leads(epoch)) {
    ready = co_await prepare(aborts);
    if (ready || ready.error().code != Errc::closed) break;
    // The log takes nothing in as long as this node hands over, and that may come to nothing.
    co_await changed_.wait_until(loop_.now() + kPrepareAgain);
  }
  if (leads(epoch) && ready) {
    tracker_.activate(*ahead_, config_.node_id, options_.incarnation_id, loop_.now());
    no_ops_.appended(loop_.now());
    active_ = true;
    LOG_INFO("controller", "active epoch={} topics={} metadata_version={}", epoch,
             ahead_->topics().by_name().size(), ahead_->feature(metadata::kMetadataVersion));
    changed_.wake_all();
    scope_.spawn(tend(epoch));
  } else if (leads(epoch)) {
    on_failed(ready.error());
  }
  deciding_.release();
  sweeping_.release();
}

io::Task<Result<void>> Controller::prepare(bool& aborts) {
  if (aborts) {
    RecordList records;
    protocol::AbortTransactionRecord abort;
    abort.reason = "The controller that began it is gone";
    records.add(abort);
    CO_TRY_VOID(co_await append(std::move(records), metadata::Atomicity::all, "abort"));
    aborts = false;
  }
  if (ahead_->feature(metadata::kMetadataVersion) == 0) {
    CO_TRY(RecordList records, co_await read_bootstrap());
    CO_TRY_VOID(co_await append(std::move(records), metadata::Atomicity::all, "bootstrap"));
  }
  const std::int16_t level = ahead_->feature(metadata::kMetadataVersion);
  if (level < metadata::metadata_level::kMin || level > metadata::metadata_level::kNewest) {
    co_return failure(
        Errc::unsupported,
        fmt::format("the cluster's metadata.version is {}; this version can hold {} to {}", level,
                    metadata::metadata_level::kMin, metadata::metadata_level::kNewest));
  }
  co_return co_await finish_left_over();
}

io::Task<Result<void>> Controller::finish_left_over() {
  for (metadata::PartitionSweep& each : metadata::left_over(*ahead_)) {
    Result<void> done = co_await sweep(std::move(each), "take-over");
    if (done) continue;
    if (done.error().code == Errc::closed) co_return done;
    LOG_WARN("controller", "partitions and brokers may not go together error={}",
             done.error().message());
    break;
  }
  co_return Result<void>{};
}

io::Task<Result<RecordList>> Controller::read_bootstrap() {
  const std::string path = io::join_path(directory_path_, raft::kBootstrapFile);
  Result<std::vector<std::uint8_t>> bytes = co_await io::read_file(loop_, path);
  if (!bytes && bytes.error().code != Errc::not_found) co_return std::unexpected(bytes.error());
  if (bytes) {
    if (const Result<void> whole = raft::check_snapshot(*bytes); !whole)
      co_return failure(Errc::corrupt, path + ": " + whole.error().context);
  }
  co_return metadata::bootstrap_records(bytes ? ByteView(*bytes) : ByteView(),
                                        config_.topic_defaults.min_insync_replicas);
}

// What the active controller does by itself: brokers that are silent are fenced, and in a quorum of
// several a NoOp goes through the log when nothing else does, so that everybody sees that it works.
io::Task<void> Controller::tend(LeaderEpoch epoch) {
  while (leads(epoch) && !scope_.is_stopping()) {
    const bool has_others = raft_->voters().size() > 1;
    Instant next = loop_.now() + tracker_.check_interval();
    if (has_others) next = std::min(next, no_ops_.next());
    co_await tending_.wait_until(next);
    if (leads(epoch) && !scope_.is_stopping()) co_await fence_silent(epoch);
    if (!has_others || !no_ops_.is_due(loop_.now())) continue;
    co_await deciding_.acquire();
    if (leads(epoch)) [[maybe_unused]]
      const Result<void> appended =
          co_await append(metadata::NoOpClock::records(), metadata::Atomicity::each, "NoOp");
    no_ops_.appended(loop_.now());
    deciding_.release();
  }
}

io::Task<void> Controller::fence_silent(LeaderEpoch epoch) {
  while (leads(epoch)) {
    co_await sweeping_.acquire();
    co_await deciding_.acquire();
    std::optional<NodeId> silent;
    Result<void> done;
    if (leads(epoch)) silent = metadata::next_to_fence(context(), tracker_, loop_.now());
    if (silent.has_value()) {
      const auto planned = metadata::plan_fencing(context(), *silent);
      if (planned.has_value()) done = co_await sweep(*planned, "fencing");
      RecordList records;
      if (done) metadata::fence_broker(context(), *silent, records, planned.has_value());
      if (!records.empty())
        done = co_await append_own(std::move(records), "fencing", planned.has_value());
    }
    deciding_.release();
    sweeping_.release();
    if (!silent.has_value()) break;
    if (!done) {
      LOG_WARN("controller", "a broker could not be fenced id={} error={}", *silent,
               done.error().message());
      tracker_.not_fenced(*silent, loop_.now());
      break;
    }
    LOG_WARN("controller", "broker fenced, it was silent id={} session_ms={}", *silent,
             config_.broker_session_timeout_ms);
  }
}

// --- Changing

io::Task<Result<void>> Controller::take(Change how, RecordList records) {
  Result<void> done;
  if (!active_)
    done = failure(Errc::closed, "this node is not the active controller");
  else if (!how.validate_only && !records.empty())
    done = co_await append(std::move(records), how.atomicity, how.what);
  // Also what only looked must not tell of changes that could still be lost.
  const Offset end = ahead_end_;
  deciding_.release();
  if (how.is_of_sweepers) sweeping_.release();
  if (done) done = co_await (how.is_of_node ? committed(end) : visible(end, how.publication_wait));
  co_return done;
}

io::Task<Result<void>> Controller::append(RecordList records, metadata::Atomicity atomicity,
                                          std::string_view what) {
  CO_TRY(const std::vector<RecordList> batches,
         metadata::cut_records(std::move(records), atomicity, what,
                               ahead_->feature(metadata::kMetadataVersion), batch_limits(config_)));
  const bool in_transaction = atomicity == metadata::Atomicity::all && batches.size() > 1;
  if (in_transaction) DRAVE_MARK("transactions");
  const LeaderEpoch epoch = raft_->epoch();
  for (const RecordList& batch : batches) {
    if (&batch != &batches.front()) co_await io::next_pass(loop_);
    const bool goes_on = in_transaction && &batch != &batches.back();
    const Result<void> appended = co_await append_batch(batch, epoch, goes_on);
    if (appended) continue;
    // A transaction would stay open under all that follows.
    if (&batch != &batches.front()) leave_half_done(epoch, what, appended.error());
    co_return appended;
  }
  co_return Result<void>{};
}

void Controller::leave_half_done(LeaderEpoch epoch, std::string_view what, const Error& error) {
  if (!leads(epoch) || stopping_) return;
  LOG_WARN("controller", "resigns, a change was cut short what={} error={}", what, error.message());
  raft_->step_down();
}

io::Task<Result<void>> Controller::sweep(metadata::PartitionSweep sweep, std::string_view what) {
  const LeaderEpoch epoch = raft_->epoch();
  leaving_ = sweep.leaving();
  bool begun = false;
  const Result<void> done = co_await sweep_pieces(std::move(sweep), what, epoch, begun);
  leaving_.reset();
  if (!done && begun) leave_half_done(epoch, what, done.error());
  co_return done;
}

io::Task<Result<void>> Controller::sweep_pieces(metadata::PartitionSweep sweep,
                                                std::string_view what, LeaderEpoch epoch,
                                                bool& begun) {
  std::set<std::string> changed_meanwhile;
  for (bool more = true; more;) {
    RecordList records;
    more = sweep.next(context(), records);
    if (!records.empty()) {
      CO_TRY_VOID(co_await append(std::move(records), metadata::Atomicity::each, what));
      begun = true;
    }
    const ImagePtr before = ahead_;
    const Offset end = ahead_end_;
    deciding_.release();
    Result<void> seen = co_await visible(end, kPieceWaitMax);
    if (seen) co_await io::next_pass(loop_);
    co_await deciding_.acquire();
    CO_TRY_VOID(std::move(seen));
    if (!leads(epoch)) co_return failure(Errc::closed, "this node does not lead any more");
    metadata::add_changed_topics(*before, *ahead_, changed_meanwhile);
  }
  // What the image says of the partitions from here on, whoever asked for the sweep decides by.
  for (bool more = true; more;) {
    RecordList records;
    more = sweep.revisit(context(), changed_meanwhile, records);
    if (!records.empty()) {
      CO_TRY_VOID(co_await append(std::move(records), metadata::Atomicity::each, what));
      begun = true;
    }
    if (more) co_await io::next_pass(loop_);
    if (!leads(epoch)) co_return failure(Errc::closed, "this node does not lead any more");
  }
  co_return Result<void>{};
}

io::Task<Result<void>> Controller::append_own(RecordList records, std::string_view what,
                                              bool is_swept) {
  const LeaderEpoch epoch = raft_->epoch();
  const Result<void> done = co_await append(std::move(records), metadata::Atomicity::each, what);
  // What is too large would be refused by the next one, too, again and again.
  if (!done && is_swept && done.error().code != Errc::too_large)
    leave_half_done(epoch, what, done.error());
  co_return done;
}

io::Task<Result<void>> Controller::append_batch(const RecordList& records, LeaderEpoch epoch,
                                                bool goes_on) {
  std::vector<ByteView> values;
  for (std::size_t index = 0; index < records.size(); ++index) values.push_back(records[index]);
  // Nothing is appended that cannot be applied.
  const ImagePtr base = ahead_;
  metadata::Delta delta(*base);
  for (std::size_t from = 0; from < records.size(); from += kRecordsPerPass) {
    if (from > 0) co_await io::next_pass(loop_);
    CO_TRY_VOID(apply(delta, records, from, from + kRecordsPerPass));
  }
  if (!leads(epoch)) co_return failure(Errc::closed, "this node does not lead any more");
  CO_TRY(const Offset end, co_await raft_->append(std::move(values)));
  ASSERT(leads(epoch));
  if (ahead_ != base) {
    // Voters have changed meanwhile. Nobody runs before this is known: it may be committed already.
    delta = metadata::Delta(*ahead_);
    const Result<void> again = apply(delta, records, 0, records.size());
    ASSERT(again.has_value());
  }
  ahead_ = std::make_shared<const metadata::Image>(
      std::move(delta).finish({end - 1, epoch}, loop_.wall_now()));
  ahead_end_ = end;
  no_ops_.appended(loop_.now());
  // What is visible stays what it is as long as the transaction goes on.
  const ImagePtr before = pending_.empty() ? loader_.image() : pending_.back().visible;
  if (goes_on)
    pending_.push_back({end, before, ahead_});
  else
    pending_.push_back({end, ahead_, nullptr});
  co_return Result<void>{};
}

io::Task<Result<void>> Controller::committed(Offset end) {
  if (DRAVE_CANARY("answers-uncommitted")) co_return Result<void>{};
  const Result<void> done = co_await raft_->committed(end);
  if (!done && DRAVE_CANARY("deposed-acknowledges")) co_return Result<void>{};
  co_return done;
}

io::Task<Result<void>> Controller::visible(Offset end, Duration publication_wait) {
  CO_TRY_VOID(co_await committed(end));
  const Instant until = loop_.now() + publication_wait;
  // Other nodes take no answer any more from one that has handed over: it comes at once.
  while (published_end_ < end && publishing_ && leads_ && loop_.now() < until)
    co_await changed_.wait_until(until);
  co_return Result<void>{};
}

io::Task<void> Controller::publish_loop() {
  while (true) {
    if (published_end_ < committed_end_) {
      const Offset end = committed_end_;
      const ImagePtr image = loader_.image();
      // NoOps, for example, are nobody's business.
      if (!image->has_same_content(*published_)) co_await publisher_.publish(image);
      published_ = image;
      published_end_ = end;
      changed_.wake_all();
    } else if (scope_.is_stopping()) {
      break;
    } else {
      co_await commit_.wait_until(loop_.now() + kSnapshotCheckInterval);
    }
    if (wants_snapshot()) {
      snapshot_running_ = true;
      scope_.spawn(write_snapshot(published_));
    }
  }
  publishing_ = false;
  changed_.wake_all();
}

// --- Snapshots

bool Controller::wants_snapshot() const {
  if (snapshot_running_ || stopping_ || loop_.now() < snapshot_again_ || loader_.in_transaction() ||
      published_->last_contained().offset + 1 <= raft_->latest_snapshot().offset)
    return false;
  if (raft_->bytes_since_snapshot() >= config_.metadata_bytes_between_snapshots_max) return true;
  return config_.metadata_snapshot_interval_ms_max > 0 &&
         loop_.wall_now() - snapshot_ms_ >= config_.metadata_snapshot_interval_ms_max;
}

io::Task<void> Controller::write_snapshot(ImagePtr image) {
  const OffsetAndEpoch last = image->last_contained();
  raft::SnapshotBuilder snapshot(last.epoch, image->last_contained_timestamp(),
                                 raft_->kraft_version_at(last.offset + 1),
                                 raft_->voters_at(last.offset + 1), loop_.wall_now());
  metadata::ImageRecords source(image);
  RecordList records;
  while (!stopping_ && source.next(records)) {
    for (std::size_t index = 0; index < records.size(); ++index) snapshot.add(records[index]);
    records.cut(0);
    co_await io::yield(loop_);
  }
  Result<void> written;
  if (!stopping_)
    written =
        co_await raft_->write_snapshot({last.offset + 1, last.epoch}, std::move(snapshot).finish());
  if (stopping_) {
    LOG_DEBUG("controller", "a snapshot was given up, the node stops");
  } else if (!written) {
    LOG_ERROR("controller", "no snapshot was written error={}", written.error().message());
    snapshot_again_ = loop_.now() + kSnapshotCheckInterval;
  } else {
    snapshot_ms_ = loop_.wall_now();
  }
  snapshot_running_ = false;
  changed_.wake_all();
}

// --- Stop

io::Task<void> Controller::stop() {
  // Nothing new is decided; what was appended is committed and answered, or refused. The next one
  // does not wait for what this one has still to write.
  active_ = false;
  stopping_ = true;
  if (raft_ != nullptr) {
    if (const Result<void> stopped = co_await raft_->stop(); !stopped)
      LOG_ERROR("controller", "the metadata log did not stop cleanly error={}",
                stopped.error().message());
  }
  while (snapshot_running_) co_await changed_.wait();  // it is given up
  leads_ = false;
  stopped_ = true;
  scope_.request_stop();
  tending_.wake_all();
  commit_.wake_all();
  co_await scope_.join();
}

io::Task<Result<std::unique_ptr<QuorumController>>> QuorumController::open(
    io::Loop& loop, segments::LogDirectory& directory, ControllerOptions options,
    Publisher& publisher) {
  auto opened = std::make_unique<Controller>(loop, std::move(options), publisher);
  if (Result<void> started = co_await opened->open_log(directory); !started) {
    co_await opened->stop();
    co_return std::unexpected(started.error());
  }
  co_return std::unique_ptr<QuorumController>(std::move(opened));
}

}  // namespace drave::broker
