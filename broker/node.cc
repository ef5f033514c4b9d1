#include "broker/node.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/log.h"
#include "broker/api_table.h"
#include "broker/fetch/fetch_session.h"
#include "broker/reconcile.h"
#include "io/descriptors.h"
#include "io/each.h"
#include "io/file.h"
#include "io/mailbox.h"
#include "raftlog/format.h"

namespace drave::broker {

namespace {
constexpr Duration kCutAgain = milliseconds(50);

// Not: without a directory that another process uses, or that is of another node.
bool may_start_without(const Error& error) {
  return error.code == Errc::io || error.code == Errc::not_found || error.code == Errc::corrupt ||
         error.code == Errc::no_space;
}
}  // namespace

struct Node::Acceptor {
  io::Listener listener;
  const ListenerInfo* info = nullptr;
  Shard* shard = nullptr;
};

std::string_view to_string(NodeState state) {
  switch (state) {
    case NodeState::starting: return "starting";
    case NodeState::recovering: return "recovering";
    case NodeState::running: return "running";
    case NodeState::stopping: return "stopping";
    case NodeState::stopped: return "stopped";
  }
  return "unknown";
}

Node::Node(std::vector<io::Loop*> loops, BrokerConfig config)
    : loops_(std::move(loops)),
      config_(std::move(config)),
      assembly_budget_(config_.request_memory_bytes),
      serving_(ServingImage::empty()),
      scope_(*loops_.front()),
      stopping_(*loops_.front()),
      ids_ready_(*loops_.front()) {
  for (io::Loop* loop : loops_) shards_.push_back(std::make_unique<Shard>(*this, *loop));
  for (const auto& shard : shards_)
    for (const ApiEntry& api : api_table())
      shard->metrics().apis[static_cast<std::size_t>(api.key)].latency_ns =
          std::make_unique<Histogram>();
}

Node::~Node() = default;

// --- Start

io::Task<Result<void>> Node::start() {
  CO_TRY_VOID(co_await format_if_empty());
  state_ = NodeState::recovering;
  CO_TRY_VOID(co_await open_directories());
  CO_TRY_VOID(co_await open_controller());
  CO_TRY_VOID(co_await listen());
  co_await begin_accepting(true);
  start_controller();
  if (config_.has_broker_role) CO_TRY_VOID(co_await start_broker());
  scope_.spawn(
      repeat(milliseconds(config_.log_retention_check_interval_ms), &Node::enforce_retention));
  scope_.spawn(repeat(milliseconds(config_.producer_id_expiration_check_interval_ms),
                      &Node::expire_producers));
  take_sample();
  state_ = NodeState::running;
  co_return Result<void>{};
}

io::Task<Result<void>> Node::format_if_empty() {
  std::vector<std::string> all = config_.log_dirs;
  if (std::find(all.begin(), all.end(), config_.metadata_log_dir) == all.end())
    all.push_back(config_.metadata_log_dir);
  bool any = false;
  std::optional<Error> unreadable;
  for (const std::string& path : all) {
    Result<segments::MetaProperties> meta =
        co_await segments::LogDirectory::read_meta_properties(*loops_.front(), path);
    if (meta)
      any = true;
    else if (meta.error().code != Errc::not_found)
      unreadable = meta.error();
  }
  if (any) co_return Result<void>{};
  if (unreadable.has_value()) co_return std::unexpected(*unreadable);
  // Who is one of several must be told which cluster it is one of.
  if (!config_.is_alone) {
    co_return failure(
        Errc::not_found,
        fmt::format("{}: not formatted. Give all nodes of the cluster the same id: `drave "
                    "random-uuid` makes one, `drave format -t ID -c FILE` writes it",
                    fmt::join(all, ",")));
  }
  raft::FormatOptions options;
  options.node_id = config_.node_id;
  options.directories = all;
  options.metadata_directory = config_.metadata_log_dir;
  options.controller_listener = config_.advertised_controller_listener.listener;
  options.controller_host = config_.advertised_controller_listener.host;
  options.controller_port = config_.advertised_controller_listener.port;
  options.mode = config_.quorum_voters.empty() ? raft::FormatMode::standalone
                                               : raft::FormatMode::static_voters;
  io::Backend& backend = loops_.front()->backend();
  options.cluster_id = Uuid::from_random(backend.entropy(), backend.entropy()).to_string();
  CO_TRY_VOID(co_await raft::format(*loops_.front(), options));
  LOG_INFO("broker", "formatted cluster_id={} directories={}", options.cluster_id,
           fmt::join(all, ","));
  // It may be the file of one of several, which names one of them to begin with, and its disk lost
  // or not mounted.
  if (!config_.quorum_voters.empty() || !config_.quorum_bootstrap_servers.empty()) {
    LOG_WARN(
        "broker",
        "nothing was there, and the file names this controller alone: a new cluster was begun. "
        "If this node belongs to another one, stop it: its disk is not mounted, or lost. Name "
        "all controllers in its file, and nothing is begun unasked cluster_id={}",
        options.cluster_id);
  }
  co_return Result<void>{};
}

io::Task<Result<void>> Node::open_directories() {
  segments::LogDirectoryOptions options;
  options.journal.bytes_max = config_.journal_bytes / static_cast<std::int64_t>(shard_count());
  options.journal.file_bytes = config_.journal_file_bytes;
  options.tail_bytes_max = config_.tail_memory_bytes / static_cast<std::int64_t>(shard_count());
  options.producer_expiration_ms = config_.producer_id_expiration_ms;
  std::vector<std::string> paths = config_.log_dirs;
  if (std::find(paths.begin(), paths.end(), config_.metadata_log_dir) == paths.end())
    paths.push_back(config_.metadata_log_dir);
  std::vector<Error> why;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    auto directory = co_await open_directory(paths[i], options);
    const bool is_metadata = paths[i] == config_.metadata_log_dir;
    if (!directory && (is_metadata || !may_start_without(directory.error())))
      co_return std::unexpected(directory.error());
    if (!directory) {
      missing_directories_.push_back(paths[i]);
      why.push_back(directory.error());
      continue;
    }
    if (is_metadata) metadata_directory_ = directories_.size();
    if (i < config_.log_dirs.size())
      own_directories_.ids.push_back((*directory)->meta().directory_id);
    directories_.push_back(std::move(*directory));
  }
  co_return check_missing(why);
}

io::Task<Result<std::unique_ptr<segments::LogDirectory>>> Node::open_directory(
    std::string path, segments::LogDirectoryOptions options) {
  // On a small disk the bound is a twentieth of it.
  if (const Result<io::Space> space = co_await io::free_space(*loops_.front(), path); space)
    options.free_bytes_min =
        std::min(options.free_bytes_min, static_cast<std::int64_t>(space->total / 20));
  options.on_failed = [this, path](const Error& error) { directory_failed(path, error); };
  CO_TRY(auto directory, co_await segments::LogDirectory::open(*loops_.front(), path, options));
  const segments::MetaProperties& meta = directory->meta();
  if (meta.node_id != config_.node_id) {
    co_return failure(Errc::invalid,
                      fmt::format("{}: meta.properties says node.id {}, the configuration {}", path,
                                  meta.node_id, config_.node_id));
  }
  if (!cluster_id_.empty() && meta.cluster_id != cluster_id_) {
    co_return failure(Errc::invalid,
                      fmt::format("{}: cluster.id {} differs from {} of the other directories",
                                  path, meta.cluster_id, cluster_id_));
  }
  cluster_id_ = meta.cluster_id;
  const segments::RecoveryReport& report = directory->recovery();
  LOG_INFO("broker",
           "directory opened path={} clean={} logs={} journal_entries={} torn_bytes={} rotten={}",
           path, report.was_clean, report.logs, report.journal_entries_replayed,
           report.torn_bytes_cut, report.rotten.size());
  for (const Error& rot : report.rotten) LOG_ERROR("broker", "rot found {}", rot.message());
  co_return directory;
}

// A node goes on without what fails while it runs, and likewise starts without it. An empty one is
// not taken as new: a disk that is not mounted looks the same.
Result<void> Node::check_missing(const std::vector<Error>& why) {
  if (why.empty()) return {};
  if (own_directories_.ids.empty()) return std::unexpected(why.front());
  own_directories_.is_one_missing = true;
  for (std::size_t i = 0; i < why.size(); ++i) {
    LOG_ERROR(
        "broker",
        "a log directory cannot be used: the node starts without it, and nobody serves what "
        "is in it path={} error={}{}",
        missing_directories_[i], why[i].message(),
        why[i].code == Errc::not_found
            ? fmt::format(". Is its disk mounted? A new one: `drave format -g {}-t {} -c FILE`",
                          config_.quorum_voters.empty() ? "-N " : "", cluster_id_)
            : "");
  }
  return {};
}

// Its logs are fenced and answer KAFKA_STORAGE_ERROR. A node goes on with the others; without the
// metadata log, or any log at all, it has nothing to go on with.
void Node::directory_failed(const std::string& path, const Error& error) {
  LOG_ERROR("broker", "directory failed, its partitions are not served any more path={} error={}",
            path, error.message());
  failed_directories_.insert(path);
  // By their paths: some may not be open yet.
  const bool has_metadata = !failed_directories_.contains(config_.metadata_log_dir);
  const bool has_logs = std::ranges::any_of(config_.log_dirs, [this](const std::string& one) {
    return !failed_directories_.contains(one) && std::ranges::count(missing_directories_, one) == 0;
  });
  if ((has_metadata && has_logs) || failed_handler_ == nullptr) return;
  const auto handler = std::exchange(failed_handler_, nullptr);
  handler(fmt::format(
      "{} {} failed ({}). Look at the disk and its mount (dmesg), repair or replace them, and "
      "start "
      "the node again: it recovers what it had acknowledged",
      has_metadata ? "the last of the log directories" : "the directory of the metadata log", path,
      error.message()));
}

io::Task<void> Node::start_shard(Shard& shard, ServingImagePtr image, std::string* problem) {
  const std::uint32_t count = shard_count();
  for (std::size_t index = 0; index < data_directory_count(); ++index) {
    const auto& directory = directories_[index];
    auto is_mine = [this, &shard, count, image](const segments::PartitionToOpen& found) {
      const ServedTopic* topic = image->find(found.id.topic_id);
      if (topic == nullptr || !is_here(*topic, found.id.partition, config_.node_id)) return false;
      const auto& partition = topic->topic->partitions.at(found.id.partition);
      return shard_of(found.id, count) == shard.number() &&
             !own_directories_.withholds(assigned_directory(partition, config_.node_id));
    };
    auto config_of = [image](const segments::PartitionToOpen& found) {
      const ServedTopic* topic = image->find(found.id.topic_id);
      return topic == nullptr ? segments::LogConfig{} : topic->log_config;
    };
    Result<std::unique_ptr<segments::LogShard>> started =
        co_await directory->start_shard(shard.loop(), is_mine, config_of);
    if (!started) {
      *problem = started.error().message();
      co_return;
    }
    for (segments::PartitionLog* log : (*started)->logs()) {
      const ServedTopic* topic = image->find(log->id().topic_id);
      if (topic == nullptr) continue;
      const auto partition = topic->topic->partitions.find(log->id().partition);
      if (partition == topic->topic->partitions.end()) continue;
      shard.add_replica(**started, *log, partition->second.leader_epoch);
    }
    shard.directories().push_back(std::move(*started));
    shard.directory_ids().push_back(directory->meta().directory_id);
  }
  co_await reconcile(shard, image, true);
  shard.start();
}

io::Task<void> Node::begin_accepting(bool controllers) {
  for (const auto& acceptor : acceptors_) {
    if (acceptor->info->is_controller != controllers) continue;
    Shard* shard = acceptor->shard;
    Acceptor* accepting = acceptor.get();
    co_await io::call_on(*loops_.front(), shard->number(), [this, shard, accepting] {
      shard->scope().spawn(accept_loop(*shard, *accepting));
    });
  }
}

namespace {

using Directories = std::vector<std::unique_ptr<segments::LogDirectory>>;

// Partitions that no metadata knows, or that are others' now, are set aside, not served and not
// deleted.
io::Task<Result<void>> set_strays_aside(io::Loop& loop, const Directories& directories,
                                        const ServingImage& image, NodeId node) {
  for (const auto& directory : directories) {
    for (const segments::PartitionToOpen& found : directory->found()) {
      if (found.id.topic_id == kMetadataTopicId) continue;  // the controller's
      const ServedTopic* topic = image.find(found.id.topic_id);
      if (topic != nullptr && is_here(*topic, found.id.partition, node)) continue;
      LOG_WARN("broker", "stray partition set aside directory={} topic={} partition={}",
               directory->path(), found.topic, found.id.partition);
      CO_TRY_VOID(co_await directory->set_stray(loop, found.id));
    }
  }
  co_return Result<void>{};
}

// A directory that was taken out of log.dirs and has come back has partitions that were begun anew
// in another one: the one that the metadata names is served. What there is, is in the image.
io::Task<Result<void>> set_twins_aside(io::Loop& loop, const Directories& directories,
                                       const OwnDirectories& own, const ServingImage& image,
                                       NodeId node) {
  std::map<TopicIdPartition, std::vector<segments::LogDirectory*>> homes;
  for (const auto& directory : directories)
    for (const segments::PartitionToOpen& found : directory->found())
      if (found.id.topic_id != kMetadataTopicId) homes[found.id].push_back(directory.get());
  for (const auto& [id, twins] : homes) {
    if (twins.size() < 2) continue;
    const metadata::TopicImage& topic = *image.find(id.topic_id)->topic;
    const Uuid assigned = assigned_directory(topic.partitions.at(id.partition), node);
    if (own.withholds(assigned)) continue;
    const auto kept = std::ranges::find(twins, assigned, [](const segments::LogDirectory* one) {
      return one->meta().directory_id;
    });
    if (kept == twins.end()) {
      co_return failure(
          Errc::invalid,
          fmt::format("{}-{} is in {} and in {}, and the metadata names neither: move the one away "
                      "that is not to be served",
                      topic.name, id.partition, twins[0]->path(), twins[1]->path()));
    }
    for (segments::LogDirectory* twin : twins) {
      if (twin == *kept) continue;
      LOG_WARN("broker",
               "partition is in two directories, that of the metadata is served topic={} "
               "partition={} served={} set_aside={}",
               topic.name, id.partition, (*kept)->path(), twin->path());
      CO_TRY_VOID(co_await twin->set_stray(loop, id));
    }
  }
  co_return Result<void>{};
}

}  // namespace

void Node::note_withheld(const ServingImage& image) const {
  if (!own_directories_.is_one_missing) return;
  std::size_t count = 0;
  for (const auto& [name, topic] : image.metadata().topics().by_name())
    for (const auto& [index, partition] : topic->partitions)
      if (has_replica(partition, config_.node_id) &&
          own_directories_.withholds(assigned_directory(partition, config_.node_id)))
        ++count;
  if (count > 0)
    LOG_WARN("broker",
             "partitions are in log directories that are not open: they are not served, nor begun "
             "anew, while one of log.dirs cannot be used partitions={} missing={}",
             count, fmt::join(missing_directories_, ","));
}

// Images that are published meanwhile are caught up with at the end.
io::Task<Result<void>> Node::start_shards() {
  shards_state_ = ShardsState::starting;
  ServingImagePtr image = serving_;
  io::Loop& home = *loops_.front();
  CO_TRY_VOID(co_await set_strays_aside(home, directories_, *image, config_.node_id));
  if (directories_.size() > 1)
    CO_TRY_VOID(
        co_await set_twins_aside(home, directories_, own_directories_, *image, config_.node_id));
  note_withheld(*image);
  for (const auto& shard : shards_) {
    std::string problem;
    std::string* said = &problem;
    Shard* starting = shard.get();
    co_await io::call_on(*loops_.front(), shard->number(), [this, starting, image, said] {
      return start_shard(*starting, image, said);
    });
    if (!problem.empty()) co_return failure(Errc::io, problem);
  }
  while (image != serving_) {
    image = serving_;
    for (const auto& shard : shards_) {
      Shard* there = shard.get();
      co_await io::call_on(*loops_.front(), shard->number(),
                           [there, image] { return reconcile(*there, image, true); });
    }
  }
  shards_state_ = ShardsState::started;
  co_return Result<void>{};
}

io::Task<Result<void>> Node::listen() {
  advertised_ = config_.advertised_listeners;
  std::vector<Endpoint> all = config_.listeners;
  if (config_.controller_listener.has_value()) all.push_back(*config_.controller_listener);
  for (Endpoint& endpoint : all) {
    const bool is_controller = endpoint.listener == config_.controller_listener_name;
    listener_infos_.push_back(
        std::make_unique<ListenerInfo>(ListenerInfo{endpoint.listener, is_controller}));
    const ListenerInfo* info = listener_infos_.back().get();
    for (const auto& shard : shards_) {
      // What controllers ask each other is answered by shard 0.
      if (is_controller && shard != shards_.front()) continue;
      // The first shard may be given any port; the others take the same.
      const io::SocketAddress address{endpoint.host, endpoint.port};
      Shard* there = shard.get();
      const io::ListenOptions options{.backlog = config_.socket_listen_backlog_size,
                                      .send_buffer_bytes = config_.socket_send_buffer_bytes,
                                      .receive_buffer_bytes = config_.socket_receive_buffer_bytes};
      Result<io::Listener> bound =
          co_await io::call_on(*loops_.front(), shard->number(), [there, address, options] {
            return io::Listener::open(there->loop(), address, options);
          });
      if (!bound) {
        co_return failure(Errc::io,
                          fmt::format("listener {} cannot bind {}:{}: {}", endpoint.listener,
                                      endpoint.host, endpoint.port, bound.error().message()));
      }
      endpoint.port = bound->port();
      acceptors_.push_back(std::make_unique<Acceptor>(Acceptor{std::move(*bound), info, there}));
    }
    for (Endpoint& told : advertised_)
      if (told.listener == endpoint.listener && told.port == 0) told.port = endpoint.port;
    LOG_INFO("broker", "listening listener={} address={}:{}", endpoint.listener, endpoint.host,
             endpoint.port);
  }
  co_return Result<void>{};
}

io::Task<void> Node::accept_loop(Shard& shard, Acceptor& acceptor) {
  while (!shard.scope().is_stopping()) {
    Result<io::Listener::Accepted> accepted = co_await acceptor.listener.accept();
    if (!accepted) {
      if (accepted.error().code == Errc::canceled || accepted.error().code == Errc::closed) break;
      // Out of descriptors, most likely: whoever waits in the backlog is served when some are free.
      if (accepted.error().code == Errc::busy) io::note_no_descriptor(shard.loop(), "a connection");
      co_await io::sleep_for(shard.loop(), kAcceptPause);
      continue;
    }
    const bool controllers = acceptor.info->is_controller;
    // A file that waits for a descriptor comes before a new client.
    const bool is_refused = !controllers && io::lacks_descriptors(shard.loop());
    if (is_refused || !admit_connection(accepted->peer.host, shard.image().config(), controllers)) {
      Shard::bump(shard.metrics().connections_refused);
      shard.loop().close_detached(accepted->handle);
      continue;
    }
    if (controllers) {
      shard.serve(accepted->handle, std::move(accepted->peer), *acceptor.info);
      continue;
    }
    Shard& home = quietest_shard(shard);
    home.expect_connection();
    co_await io::call_on(shard.loop(), home.number(), [&home, &acceptor, &accepted] {
      home.serve(accepted->handle, std::move(accepted->peer), *acceptor.info);
    });
  }
}

// The kernel spreads connections by a hash: of a few, most may come to one shard, and a client with
// four of them would see a node of one core.
Shard& Node::quietest_shard(Shard& accepting) {
  Shard* quietest = &accepting;
  for (const auto& shard : shards_)
    if (shard->expected_connections() < quietest->expected_connections()) quietest = shard.get();
  return *quietest;
}

bool Node::admit_connection(const std::string& host, const BrokerConfig& limits, bool always) {
  const std::lock_guard hold(connections_mutex_);
  std::int32_t per_host = limits.connections_max_per_ip;
  if (const auto own = limits.connections_max_per_ip_overrides.find(host);
      own != limits.connections_max_per_ip_overrides.end())
    per_host = own->second;
  if (!always && connection_count_ >= std::min(limits.connections_max, limits.connections_possible))
    return false;
  std::int32_t& of_host = connections_by_host_[host];
  if (!always && of_host >= per_host) return false;
  ++of_host;
  ++connection_count_;
  return true;
}

void Node::connection_closed(const std::string& host) {
  const std::lock_guard hold(connections_mutex_);
  --connection_count_;
  if (--connections_by_host_[host] == 0) connections_by_host_.erase(host);
}

const Endpoint* Node::advertised(std::string_view name) const {
  for (const Endpoint& endpoint : advertised_)
    if (endpoint.listener == name) return &endpoint;
  return advertised_.empty() ? nullptr : &advertised_.front();
}

// --- Upkeep

io::Task<void> Node::repeat(Duration interval, io::Task<void> (Node::*work)(Shard&)) {
  while (!stop_requested_) {
    const bool woken = co_await stopping_.wait_until(loops_.front()->now() + interval);
    if (woken || stop_requested_) break;
    for (const auto& shard : shards_) co_await on_shard(*shard, work);
  }
}

io::Task<void> Node::expire_producers(Shard& shard) {
  const std::int32_t expiration_ms = shard.image().config().producer_id_expiration_ms;
  for (const auto& [id, replica] : shard.replicas())
    replica->log().expire_producers(shard.loop().wall_now(), expiration_ms);
  co_return;
}

io::Task<void> Node::enforce_retention(Shard& shard) {
  // Few segments of one log at a time: one wrong clock must not empty a topic in one go.
  constexpr int kSegmentsPerPass = 16;
  std::vector<TopicIdPartition> ids;
  for (const auto& [id, replica] : shard.replicas()) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  for (const TopicIdPartition& id : ids) {
    Replica* replica = shard.replica(id);
    if (replica == nullptr || shard.is_draining()) continue;
    const TimestampMs now = shard.loop().wall_now();
    const Result<int> deleted =
        co_await replica->log().enforce_retention(now, replica->high_watermark(), kSegmentsPerPass);
    if (!deleted) {
      LOG_WARN("broker", "retention failed error={}", deleted.error().message());
    }
  }
}

// --- Stop

void Node::hurry() {
  hurry_ = true;
  if (lifecycle_ != nullptr) lifecycle_->hurry();
  stopping_.wake_all();
}

io::Task<void> Node::on_shard(Shard& shard, io::Task<void> (Node::*work)(Shard&)) {
  Shard* there = &shard;
  co_await io::call_on(*loops_.front(), shard.number(),
                       [this, there, work] { return (this->*work)(*there); });
}

io::Task<void> Node::on_all_shards(io::Task<void> (Node::*work)(Shard&)) {
  return io::for_each(*loops_.front(), shards_.size(), shards_.size(),
                      [this, work](std::size_t i) { return on_shard(*shards_[i], work); });
}

io::Task<void> Node::drain_shard(Shard& shard) {
  return shard.drain();
}

io::Task<void> Node::drain_controllers(Shard& shard) {
  return shard.drain_controllers();
}

io::Task<void> Node::stop_accepting(bool controllers) {
  for (const auto& acceptor : acceptors_) {
    if (acceptor->info->is_controller != controllers) continue;
    Acceptor* closing = acceptor.get();
    co_await io::call_on(*loops_.front(), acceptor->shard->number(),
                         [closing] { return closing->listener.close(); });
  }
}

io::Task<void> Node::cut_shard(Shard& shard) {
  shard.cut_connections();
  // Nor does anybody wait for a disk that has no space.
  for (std::size_t i = 0; i < shard.directories().size(); ++i)
    co_await shard.directories()[i]->settle();
}

// A request may need every shard: none ends anything before all have answered.
io::Task<void> Node::drain(io::Task<void> (Node::*work)(Shard&)) {
  const int drain = ++drains_;
  scope_.spawn(cut_stragglers(drain));
  co_await on_all_shards(work);
  drained_ = drain;
  stopping_.wake_all();
}

io::Task<void> Node::cut_stragglers(int drain) {
  const Instant end = loops_.front()->now() + kStopDrainMax;
  while (drained_ < drain && !hurry_ && loops_.front()->now() < end)
    co_await stopping_.wait_until(end);
  if (drained_ >= drain) co_return;
  LOG_INFO("broker", "stopping: connections are cut reason={}",
           hurry_ ? "asked again" : "peers do not take their answers");
  // Also those that only begin to be served.
  while (drained_ < drain) {
    co_await on_all_shards(&Node::cut_shard);
    if (drained_ < drain) co_await stopping_.wait_until(loops_.front()->now() + kCutAgain);
  }
}

io::Task<void> Node::end_shard(Shard& shard) {
  return shard.stop();
}

io::Task<void> Node::stop_logs(Shard& shard) {
  for (const auto& directory : shard.directories()) {
    if (const Result<void> stopped = co_await directory->stop(); !stopped)
      LOG_ERROR("broker", "a log directory did not stop cleanly error={}",
                stopped.error().message());
  }
  const auto& replicas = shard.replicas();
  while (!replicas.empty()) shard.remove_replica(replicas.begin()->first);
  shard.directories().clear();
}

io::Task<void> Node::stop() {
  state_ = NodeState::stopping;
  stop_requested_ = true;
  stopping_.wake_all();
  co_await leave_cluster();
  co_await stop_accepting(false);
  co_await drain(&Node::drain_shard);
  // Logs that are being made or removed are waited for below, but not for space or descriptors.
  co_await on_all_shards(&Node::cut_shard);
  // Other controllers are served until this one has handed over. It publishes no image to shards
  // whose logs are gone.
  const std::int64_t epoch = lifecycle_ == nullptr ? -1 : lifecycle_->epoch();
  co_await stop_controller();
  co_await stop_accepting(true);
  co_await drain(&Node::drain_controllers);
  co_await scope_.join();
  co_await on_all_shards(&Node::end_shard);
  co_await on_all_shards(&Node::stop_logs);
  const bool clean = shards_state_ == ShardsState::started || !config_.has_broker_role;
  for (const auto& directory : directories_) {
    if (const Result<void> closed = co_await directory->close(*loops_.front(), epoch, clean);
        !closed)
      LOG_ERROR("broker", "directory did not close cleanly path={} error={}", directory->path(),
                closed.error().message());
  }
  directories_.clear();
  acceptors_.clear();
  state_ = NodeState::stopped;
}

}  // namespace drave::broker
