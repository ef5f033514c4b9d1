#pragma once
// What one shard of the node has: its loop's services, its part of the logs, its replicas, its
// connections, its image, its counters. Everything here is touched on the shard's thread only, but
// for what `metrics()` says.

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/histogram.h"
#include "broker/config/broker_config.h"
#include "broker/limits.h"
#include "broker/memory_budget.h"
#include "broker/replica.h"
#include "broker/serving_image.h"
#include "io/buffer_pool.h"
#include "io/loop.h"
#include "io/mailbox.h"
#include "io/scope.h"
#include "io/sync.h"
#include "protocol/compression.h"
#include "segments/log_directory.h"

namespace drave::broker {

class Connection;
class FetchSessions;
class Node;
struct ListenerInfo;
class ProducePart;
class Response;

// Written by the shard, read by the HTTP listener's thread.
struct ShardMetrics {
  static constexpr std::size_t kApis = 128;
  struct Api {
    std::atomic<std::uint64_t> requests{0};
    std::unique_ptr<Histogram> latency_ns;  // from the frame's arrival to the last byte sent
  };
  std::array<Api, kApis> apis;
  std::atomic<std::uint64_t> refused_frames{0};
  std::atomic<std::uint64_t> connections{0};
  std::atomic<std::uint64_t> connections_accepted{0};
  std::atomic<std::uint64_t> connections_refused{0};

  // Copied from the loop, its backend and the journals once in kGaugePeriod.
  struct Gauges {
    std::atomic<std::uint64_t> ring_enters{0};
    std::atomic<std::uint64_t> operations{0};
    std::atomic<std::uint64_t> punts{0};
    std::atomic<std::uint64_t> doorbells{0};
    std::atomic<std::uint64_t> receive_starved{0};
    std::atomic<std::uint64_t> journal_groups{0};
    std::atomic<std::uint64_t> journal_entries{0};
    std::atomic<std::uint64_t> journal_payload_bytes{0};
    std::atomic<std::uint64_t> journal_written_bytes{0};
    std::atomic<std::uint64_t> journal_files_recycled{0};
    std::atomic<std::uint64_t> journal_used_bytes{0};
    std::atomic<std::uint64_t> journal_bytes_max{0};
    std::atomic<std::uint64_t> journal_write_p50_ns{0};
    std::atomic<std::uint64_t> journal_write_p99_ns{0};
    std::atomic<std::uint64_t> journal_group_entries_p50{0};
    std::atomic<std::uint64_t> tail_bytes{0};
    std::atomic<std::uint64_t> read_cache_bytes{0};
    std::atomic<std::uint64_t> read_ahead_bytes{0};
    std::atomic<std::uint64_t> read_hits{0};
    std::atomic<std::uint64_t> disk_reads{0};
    std::atomic<std::uint64_t> buffer_bytes{0};
    std::atomic<std::uint64_t> replicas{0};
    std::atomic<std::uint64_t> fetch_sessions{0};
  };
  Gauges gauges;
};

class Shard {
 public:
  Shard(Node& node, io::Loop& loop);
  ~Shard();

  Node& node() { return node_; }
  io::Loop& loop() { return loop_; }
  std::uint32_t number() const { return loop_.shard(); }
  std::uint32_t count() const { return loop_.hub() == nullptr ? 1 : loop_.hub()->shard_count(); }
  io::BufferPool& buffers() { return buffers_; }
  io::Scope& scope() { return scope_; }
  const BrokerConfig& config() const;

  // --- Metadata
  const ServingImage& image() const { return *image_; }
  ServingImagePtr image_ptr() const { return image_; }
  void set_image(ServingImagePtr image) { image_ = std::move(image); }

  // --- Logs and replicas
  std::vector<std::unique_ptr<segments::LogShard>>& directories() { return directories_; }
  std::vector<Uuid>& directory_ids() { return directory_ids_; }  // of directories()
  // Null: this shard has no such replica.
  Replica* replica(const TopicIdPartition& id);
  Replica& add_replica(segments::LogShard& directory, segments::PartitionLog& log,
                       LeaderEpoch epoch);
  void remove_replica(const TopicIdPartition& id);
  std::unordered_map<TopicIdPartition, std::unique_ptr<Replica>, TopicIdPartitionHash>& replicas() {
    return replicas_;
  }
  // A replica has data that its waiters may see: they are woken at the end of the pass.
  void note_visible(Replica& replica);
  // A part that could not be appended whole (journal or tail full) waits in line.
  void block(ProducePart& part);
  bool has_blocked() const { return !blocked_.empty(); }

  FetchSessions& fetch_sessions() { return *fetch_sessions_; }
  protocol::DecompressorPool& decompressors() { return decompressors_; }

  // --- Memory
  // Where takers of a MemoryBudget that did not fit wait.
  io::WaitQueue& memory_room() { return memory_room_; }
  // Takes from `budget`, waiting while it must.
  io::Task<void> take_memory(MemoryBudget& budget, std::int64_t bytes, const void* who);
  void give_back_memory(MemoryBudget& budget, std::int64_t bytes, const void* who, bool all);

  // --- Connections
  // Any shard may call these two: connections of clients that are served here or on their way.
  void expect_connection() { expected_connections_.fetch_add(1, std::memory_order_relaxed); }
  std::int64_t expected_connections() const {
    return expected_connections_.load(std::memory_order_relaxed);
  }
  // Serves an expected connection until its end; closes it at once if the shard is draining.
  void serve(io::Handle handle, io::SocketAddress peer, const ListenerInfo& listener);
  void add_connection(Connection& connection);
  void remove_connection(Connection& connection);
  // The node stops: who comes is closed, and every connection ends when all that it asked is
  // answered. Returns when none is left, on its way neither; nobody accepts any more.
  io::Task<void> drain();
  bool is_draining() const { return draining_; }
  bool is_draining(const ListenerInfo& listener) const;
  // The same for connections of other controllers, which drain() leaves alone.
  io::Task<void> drain_controllers();
  // Ends what drain() or drain_controllers() waits for: those connections end without regard for
  // their peers.
  void cut_connections();
  std::size_t connection_count() const { return connections_.size(); }

  // True at most once a second: a denial is to be logged.
  bool may_log_denial();

  // --- Counters
  void count_response(const Response& response);
  void count_refused_frame() { bump(metrics_.refused_frames); }
  ShardMetrics& metrics() { return metrics_; }
  static void bump(std::atomic<std::uint64_t>& counter, std::uint64_t by = 1) {
    counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }

  // Begins what the shard runs by itself.
  void start();
  // Ends it. After drain().
  io::Task<void> stop();

 private:
  struct NewsHook : io::PassEndHook {
    Shard* shard = nullptr;
  };
  void connection_gone(const ListenerInfo& listener);
  io::Task<void> retry_blocked();
  void wake_readers();
  io::Task<void> gauge_loop();
  void read_gauges();

  Node& node_;
  io::Loop& loop_;
  std::atomic<std::int64_t> expected_connections_{0};
  io::BufferPool buffers_;
  io::Scope scope_;
  ServingImagePtr image_;
  std::vector<std::unique_ptr<segments::LogShard>> directories_;
  std::vector<Uuid> directory_ids_;
  std::unordered_map<TopicIdPartition, std::unique_ptr<Replica>, TopicIdPartitionHash> replicas_;
  IntrusiveList<Replica, ReplicaNewsTag> news_;
  NewsHook news_hook_;
  std::vector<ProducePart*> blocked_;  // first come, first served
  bool retrying_ = false;
  std::unique_ptr<FetchSessions> fetch_sessions_;
  protocol::DecompressorPool decompressors_;

  io::WaitQueue memory_room_;
  io::WaitQueue stopping_;
  std::vector<Connection*> connections_;
  bool draining_ = false;
  bool draining_controllers_ = false;
  std::size_t controller_connections_ = 0;
  io::WaitQueue connection_ended_;
  Instant denial_logged_;
  ShardMetrics metrics_;
};

}  // namespace drave::broker
