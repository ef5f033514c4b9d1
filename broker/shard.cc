#include "broker/shard.h"

#include <algorithm>

#include "broker/fetch/fetch_session.h"
#include "broker/net/connection.h"
#include "broker/node.h"
#include "broker/produce/produce_operation.h"

namespace drave::broker {

namespace {
// Freed buffers that a shard keeps for the next use.
constexpr std::size_t kIdleBufferBytesMax = 4 * kMiB;
}  // namespace

Shard::Shard(Node& node, io::Loop& loop)
    : node_(node),
      loop_(loop),
      buffers_(kIdleBufferBytesMax),
      scope_(loop),
      image_(ServingImage::empty()),
      fetch_sessions_(std::make_unique<FetchSessions>(*this)),
      memory_room_(loop),
      stopping_(loop),
      connection_ended_(loop) {
  news_hook_.shard = this;
  news_hook_.run = [](io::PassEndHook& hook) {
    static_cast<NewsHook&>(hook).shard->wake_readers();
  };
}

Shard::~Shard() {
  news_hook_.unlink();
}

const BrokerConfig& Shard::config() const {
  return node_.config();
}

Replica* Shard::replica(const TopicIdPartition& id) {
  const auto found = replicas_.find(id);
  return found == replicas_.end() ? nullptr : found->second.get();
}

Replica& Shard::add_replica(segments::LogShard& directory, segments::PartitionLog& log,
                            LeaderEpoch epoch) {
  auto& slot = replicas_[log.id()];
  ASSERT(slot == nullptr);
  slot = std::make_unique<Replica>(*this, directory, log, epoch);
  return *slot;
}

void Shard::remove_replica(const TopicIdPartition& id) {
  const auto found = replicas_.find(id);
  if (found == replicas_.end()) return;
  found->second->log().set_observer(nullptr);
  replicas_.erase(found);
}

bool Shard::may_log_denial() {
  constexpr Duration kInterval = seconds(1);
  const Instant now = loop_.now();
  if (now < denial_logged_ + kInterval && denial_logged_ != Instant()) return false;
  denial_logged_ = now;
  return true;
}

void Shard::note_visible(Replica& replica) {
  if (!replica.is_linked()) news_.push_back(replica);
  loop_.at_pass_end(news_hook_);
}

void Shard::wake_readers() {
  while (!news_.empty()) news_.pop_front().wake_waiters();
}

void Shard::block(ProducePart& part) {
  blocked_.push_back(&part);
  if (retrying_) return;
  retrying_ = true;
  scope_.spawn(retry_blocked());
}

io::Task<void> Shard::retry_blocked() {
  while (!blocked_.empty()) {
    if (blocked_.front()->try_append()) {
      blocked_.erase(blocked_.begin());
      continue;
    }
    co_await blocked_.front()->room().wait();
  }
  retrying_ = false;
}

io::Task<void> Shard::take_memory(MemoryBudget& budget, std::int64_t bytes, const void* who) {
  if (budget.try_take(bytes, who)) co_return;
  budget.begin_wait();
  while (!budget.try_take(bytes, who))
    co_await memory_room_.wait_until(loop_.now() + MemoryBudget::kRetry);
  budget.end_wait();
}

void Shard::give_back_memory(MemoryBudget& budget, std::int64_t bytes, const void* who, bool all) {
  budget.give_back(bytes, who, all);
  memory_room_.wake_all();
}

void Shard::serve(io::Handle handle, io::SocketAddress peer, const ListenerInfo& listener) {
  if (listener.is_controller) ++controller_connections_;
  if (is_draining(listener)) {
    loop_.close_detached(handle);
    node_.connection_closed(peer.host);
    return connection_gone(listener);
  }
  scope_.spawn(serve_connection(*this, handle, std::move(peer), listener));
}

void Shard::add_connection(Connection& connection) {
  connections_.push_back(&connection);
  bump(metrics_.connections_accepted);
  metrics_.connections.store(connections_.size(), std::memory_order_relaxed);
}

void Shard::remove_connection(Connection& connection) {
  std::erase(connections_, &connection);
  metrics_.connections.store(connections_.size(), std::memory_order_relaxed);
  node_.connection_closed(connection.peer().host);
  connection_gone(connection.listener());
}

bool Shard::is_draining(const ListenerInfo& listener) const {
  return listener.is_controller ? draining_controllers_ : draining_;
}

void Shard::connection_gone(const ListenerInfo& listener) {
  if (listener.is_controller)
    --controller_connections_;
  else
    expected_connections_.fetch_sub(1, std::memory_order_relaxed);
  connection_ended_.wake_all();
}

io::Task<void> Shard::drain() {
  draining_ = true;
  const std::vector<Connection*> all = connections_;
  for (Connection* connection : all)
    if (!connection->listener().is_controller) connection->drain();
  while (expected_connections() > 0) co_await connection_ended_.wait();
}

io::Task<void> Shard::drain_controllers() {
  draining_controllers_ = true;
  const std::vector<Connection*> all = connections_;
  for (Connection* connection : all) connection->drain();
  while (controller_connections_ > 0) co_await connection_ended_.wait();
}

void Shard::cut_connections() {
  const std::vector<Connection*> all = connections_;
  for (Connection* connection : all)
    if (is_draining(connection->listener())) connection->cut();
}

void Shard::count_response(const Response& response) {
  const auto key = static_cast<std::size_t>(response.api_key());
  if (key >= ShardMetrics::kApis) return;
  ShardMetrics::Api& api = metrics_.apis[key];
  if (api.latency_ns == nullptr) return;
  bump(api.requests);
  api.latency_ns->record((loop_.now() - response.received()).ns);
}

void Shard::start() {
  scope_.spawn(gauge_loop());
}

io::Task<void> Shard::gauge_loop() {
  while (!scope_.is_stopping()) {
    read_gauges();
    co_await stopping_.wait_until(loop_.now() + kGaugePeriod);
  }
}

void Shard::read_gauges() {
  ShardMetrics::Gauges& to = metrics_.gauges;
  const auto set = [](std::atomic<std::uint64_t>& gauge, auto value) {
    gauge.store(static_cast<std::uint64_t>(value), std::memory_order_relaxed);
  };
  const io::BackendCounters& ring = loop_.backend().counters();
  set(to.ring_enters, ring.waits);
  set(to.operations, ring.submitted);
  set(to.punts, ring.punts);
  set(to.doorbells, ring.doorbells);
  set(to.receive_starved, ring.receive_starved);
  set(to.buffer_bytes, buffers_.used_bytes() + buffers_.idle_bytes());
  set(to.replicas, replicas_.size());
  set(to.fetch_sessions, fetch_sessions_->count());
  segments::JournalCounters sum;
  segments::ReadCounters reads;
  std::int64_t used = 0, most = 0, tail = 0;
  for (const auto& directory : directories_) {
    segments::Journal& journal = directory->journal();
    const segments::JournalCounters& of = journal.counters();
    sum.groups += of.groups;
    sum.entries += of.entries;
    sum.payload_bytes += of.payload_bytes;
    sum.written_bytes += of.written_bytes;
    sum.files_recycled += of.files_recycled;
    used += journal.used_bytes();
    most += journal.bytes_max();
    tail += directory->tail_bytes();
    const segments::ReadCounters read = directory->read_counters();
    reads.hits += read.hits;
    reads.disk_reads += read.disk_reads;
    reads.cache_bytes += read.cache_bytes;
    reads.ahead_bytes += read.ahead_bytes;
    set(to.journal_write_p50_ns, journal.write_ns().percentile(0.5));
    set(to.journal_write_p99_ns, journal.write_ns().percentile(0.99));
    set(to.journal_group_entries_p50, journal.group_entries().percentile(0.5));
  }
  set(to.journal_groups, sum.groups);
  set(to.journal_entries, sum.entries);
  set(to.journal_payload_bytes, sum.payload_bytes);
  set(to.journal_written_bytes, sum.written_bytes);
  set(to.journal_files_recycled, sum.files_recycled);
  set(to.journal_used_bytes, used);
  set(to.journal_bytes_max, most);
  set(to.tail_bytes, tail);
  set(to.read_cache_bytes, reads.cache_bytes);
  set(to.read_ahead_bytes, reads.ahead_bytes);
  set(to.read_hits, reads.hits);
  set(to.disk_reads, reads.disk_reads);
}

io::Task<void> Shard::stop() {
  scope_.request_stop();
  stopping_.wake_all();
  co_await scope_.join();
}

}  // namespace drave::broker
