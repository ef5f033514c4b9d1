#include "broker/http/metrics_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include "broker/api_table.h"
#include "broker/node.h"
#include "io/process.h"

namespace drave::broker {

namespace {

// Upper bounds of latency buckets, in microseconds.
constexpr std::int64_t kBucketsUs[] = {50,    100,    250,    500,     1'000,   2'500,
                                       5'000, 10'000, 50'000, 100'000, 500'000, 1'000'000};

using Gauges = ShardMetrics::Gauges;

struct GaugeInfo {
  std::string_view name;
  std::string_view kind;
  std::string_view help;
  std::atomic<std::uint64_t> Gauges::* value;
};

constexpr GaugeInfo kGauges[] = {
    {"drave_ring_enters_total", "counter", "Calls into the kernel's ring.", &Gauges::ring_enters},
    {"drave_ring_operations_total", "counter", "Operations submitted.", &Gauges::operations},
    {"drave_ring_punts_total", "counter", "Operations given to a worker.", &Gauges::punts},
    {"drave_doorbells_total", "counter", "Wakes of other shards.", &Gauges::doorbells},
    {"drave_receive_starved_total", "counter", "Receives without a buffer.",
     &Gauges::receive_starved},
    {"drave_journal_flushes_total", "counter", "Flushed group writes.", &Gauges::journal_groups},
    {"drave_journal_entries_total", "counter", "Entries.", &Gauges::journal_entries},
    {"drave_journal_payload_bytes_total", "counter", "Record bytes.",
     &Gauges::journal_payload_bytes},
    {"drave_journal_written_bytes_total", "counter", "Bytes with headers and padding.",
     &Gauges::journal_written_bytes},
    {"drave_journal_recycled_total", "counter", "Files recycled.", &Gauges::journal_files_recycled},
    {"drave_journal_used_bytes", "gauge", "Bytes not yet in synced segments.",
     &Gauges::journal_used_bytes},
    {"drave_journal_bytes_max", "gauge", "Bound of the above.", &Gauges::journal_bytes_max},
    {"drave_journal_write_p50_ns", "gauge", "Group write, median.", &Gauges::journal_write_p50_ns},
    {"drave_journal_write_p99_ns", "gauge", "Group write, p99.", &Gauges::journal_write_p99_ns},
    {"drave_journal_group_entries_p50", "gauge", "Entries of a group, median.",
     &Gauges::journal_group_entries_p50},
    {"drave_tail_bytes", "gauge", "Log tails in memory.", &Gauges::tail_bytes},
    {"drave_read_cache_bytes", "gauge", "Pieces of segments in memory, those being sent included.",
     &Gauges::read_cache_bytes},
    {"drave_read_ahead_bytes", "gauge", "Of them: read ahead and not yet asked for.",
     &Gauges::read_ahead_bytes},
    {"drave_read_cache_hits_total", "counter", "Reads behind the tails that memory served.",
     &Gauges::read_hits},
    {"drave_disk_reads_total", "counter", "Reads of segments, read-ahead included.",
     &Gauges::disk_reads},
    {"drave_buffer_bytes", "gauge", "Pooled buffers.", &Gauges::buffer_bytes},
    {"drave_replicas", "gauge", "Partitions served.", &Gauges::replicas},
    {"drave_fetch_sessions", "gauge", "Incremental fetch sessions.", &Gauges::fetch_sessions},
};

class Text {
 public:
  void head(std::string_view name, std::string_view kind, std::string_view help) {
    fmt::format_to(out(), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, kind);
  }
  template <class V>
  void value(std::string_view name, std::string_view labels, V v) {
    if (labels.empty())
      fmt::format_to(out(), "{} {}\n", name, v);
    else
      fmt::format_to(out(), "{}{{{}}} {}\n", name, labels, v);
  }
  void histogram(std::string_view name, std::string_view labels, const Histogram& of) {
    for (const std::int64_t us : kBucketsUs)
      fmt::format_to(out(), "{}_bucket{{{},le=\"{}\"}} {}\n", name, labels,
                     static_cast<double>(us) / 1e6,
                     of.count_at_most(static_cast<std::uint64_t>(us) * 1000));
    fmt::format_to(out(), "{}_bucket{{{},le=\"+Inf\"}} {}\n", name, labels, of.count());
    fmt::format_to(out(), "{}_sum{{{}}} {}\n", name, labels, static_cast<double>(of.sum()) / 1e9);
    fmt::format_to(out(), "{}_count{{{}}} {}\n", name, labels, of.count());
  }
  std::string take() { return std::move(text_); }

 private:
  std::back_insert_iterator<std::string> out() { return std::back_inserter(text_); }
  std::string text_;
};

// Fetch stands in the table twice, for clients and for replicas of the metadata log; what is
// counted is the API.
std::vector<std::size_t> counted_apis() {
  std::vector<std::size_t> keys;
  for (const ApiEntry& api : api_table()) {
    const auto key = static_cast<std::size_t>(api.key);
    if (keys.empty() || keys.back() != key) keys.push_back(key);
  }
  return keys;
}

void requests(Text& text, Node& node) {
  const std::vector<std::size_t> keys = counted_apis();
  text.head("drave_requests_total", "counter", "Requests answered.");
  for (std::uint32_t s = 0; s < node.shard_count(); ++s)
    for (const std::size_t key : keys) {
      text.value("drave_requests_total", fmt::format("api=\"{}\",shard=\"{}\"", key, s),
                 node.shard(s).metrics().apis[key].requests.load(std::memory_order_relaxed));
    }
  text.head("drave_request_seconds", "histogram",
            "From the arrival of a request to the last byte of its answer.");
  for (const std::size_t key : keys) {
    Histogram all;
    for (std::uint32_t s = 0; s < node.shard_count(); ++s)
      all.merge(*node.shard(s).metrics().apis[key].latency_ns);
    if (all.count() > 0)
      text.histogram("drave_request_seconds", fmt::format("api=\"{}\"", key), all);
  }
}

void shards(Text& text, Node& node) {
  const auto each = [&](std::string_view name, std::string_view kind, std::string_view help,
                        auto get) {
    text.head(name, kind, help);
    for (std::uint32_t s = 0; s < node.shard_count(); ++s)
      text.value(name, fmt::format("shard=\"{}\"", s), get(node.shard(s)));
  };
  each("drave_connections", "gauge", "Open connections.",
       [](Shard& shard) { return shard.metrics().connections.load(); });
  each("drave_connections_accepted_total", "counter", "Connections accepted.",
       [](Shard& shard) { return shard.metrics().connections_accepted.load(); });
  each("drave_connections_refused_total", "counter", "Connections refused by a limit.",
       [](Shard& shard) { return shard.metrics().connections_refused.load(); });
  each("drave_refused_frames_total", "counter", "Frames that could not be read as requests.",
       [](Shard& shard) { return shard.metrics().refused_frames.load(); });
  for (const GaugeInfo& gauge : kGauges)
    each(gauge.name, gauge.kind, gauge.help, [&](Shard& shard) {
      return (shard.metrics().gauges.*gauge.value).load(std::memory_order_relaxed);
    });
  text.head("drave_pass_seconds", "histogram",
            "Length of a pass of a shard's loop, without its wait.");
  for (std::uint32_t s = 0; s < node.shard_count(); ++s)
    text.histogram("drave_pass_seconds", fmt::format("shard=\"{}\"", s),
                   node.shard(s).loop().pass_times());
}

// One sample without labels.
template <class V>
void one(Text& text, std::string_view name, std::string_view kind, std::string_view help, V value) {
  text.head(name, kind, help);
  text.value(name, "", value);
}

// Names after those of Kafka's raft-metrics.
void quorum(Text& text, const QuorumSample& of) {
  constexpr raft::Role kRoles[] = {
      raft::Role::unattached, raft::Role::voted,    raft::Role::prospective, raft::Role::candidate,
      raft::Role::leader,     raft::Role::follower, raft::Role::resigned};
  text.head("drave_quorum_current_state", "gauge", "1 for the role that this node has.");
  for (const raft::Role role : kRoles)
    text.value("drave_quorum_current_state", fmt::format("state=\"{}\"", raft::to_string(role)),
               of.status.role == role ? 1 : 0);
  one(text, "drave_quorum_current_leader", "gauge", "Its id; -1: none is known.", of.status.leader);
  one(text, "drave_quorum_current_epoch", "gauge", "Of the leader.", of.status.epoch);
  one(text, "drave_quorum_high_watermark", "gauge",
      "Committed below this, as far as this node knows; -1: unknown.", of.status.high_watermark);
  one(text, "drave_quorum_log_end_offset", "gauge", "Of this node's metadata log.", of.log_end);
  one(text, "drave_quorum_log_start_offset", "gauge", "Of this node's metadata log.", of.log_start);
  one(text, "drave_quorum_voter", "gauge", "1 if this node is a voter.", of.is_voter ? 1 : 0);
  one(text, "drave_quorum_voters", "gauge", "Voters.", of.status.voters.size());
  one(text, "drave_quorum_observers", "gauge", "Replicas that do not vote; 0 but at the leader.",
      of.status.observers.size());
  one(text, "drave_quorum_elections_total", "counter", "Times that a leader became known.",
      of.elections.leaders);
  one(text, "drave_quorum_elections_won_total", "counter", "Of them: this node.", of.elections.led);
  text.head("drave_quorum_election_seconds", "summary",
            "How long no leader was known, until one was.");
  text.value("drave_quorum_election_seconds_sum", "",
             static_cast<double>(of.elections.leaderless.ns) / 1e9);
  text.value("drave_quorum_election_seconds_count", "", of.elections.gaps);
  one(text, "drave_quorum_election_seconds_max", "gauge", "The longest of these.",
      static_cast<double>(of.elections.leaderless_max.ns) / 1e9);
}

// What the leader knows of the other replicas. One that changed its disk stands there as two: the
// newer counts.
void quorum_replicas(Text& text, const QuorumSample& of) {
  std::map<NodeId, std::pair<raft::ReplicaStatus, bool>> newest;
  if (of.status.role == raft::Role::leader) {
    const auto note = [&](const raft::ReplicaStatus& replica, bool votes) {
      const auto at = newest.find(replica.key.id);
      if (at == newest.end() || at->second.first.last_fetch_ms < replica.last_fetch_ms)
        newest[replica.key.id] = {replica, votes};
    };
    for (const raft::ReplicaStatus& voter : of.status.voters) note(voter, true);
    for (const raft::ReplicaStatus& observer : of.status.observers) note(observer, false);
    newest.erase(of.status.leader);
  }
  const auto each = [&](std::string_view name, std::string_view help, auto get) {
    text.head(name, "gauge", help);
    for (const auto& [id, replica] : newest)
      text.value(name,
                 fmt::format("node=\"{}\",role=\"{}\"", id, replica.second ? "voter" : "observer"),
                 get(replica.first));
  };
  each("drave_quorum_replica_lag_records",
       "How much of the leader's log the replica has not yet; only at the leader.",
       [&](const raft::ReplicaStatus& replica) {
         return of.log_end - std::max<Offset>(replica.log_end, 0);
       });
  each("drave_quorum_replica_fetch_age_seconds",
       "Since the replica's last fetch; -1: none in this epoch.",
       [&](const raft::ReplicaStatus& replica) {
         return replica.last_fetch_ms < 0
                    ? -1.0
                    : static_cast<double>(of.taken_ms - replica.last_fetch_ms) / 1e3;
       });
}

// Names after those of Kafka's KafkaController and MetadataLoader.
void controller(Text& text, const QuorumSample& of) {
  one(text, "drave_controller_active", "gauge", "1 on the active controller.",
      of.is_active ? 1 : 0);
  one(text, "drave_controller_active_brokers", "gauge", "Registered and in service.",
      of.brokers_active);
  one(text, "drave_controller_fenced_brokers", "gauge", "Registered and not in service.",
      of.brokers_fenced);
  one(text, "drave_controller_topics", "gauge", "Topics.", of.topics);
  one(text, "drave_metadata_last_applied_offset", "gauge",
      "The last record that this node applied.", of.applied);
  one(text, "drave_metadata_last_applied_timestamp_seconds", "gauge",
      "Of the last record that changed something.", static_cast<double>(of.applied_ms) / 1e3);
  if (!of.has_broker_role) return;
  one(text, "drave_broker_in_service", "gauge",
      "1 if the active controller, when it last answered, sent clients here.",
      of.in_service ? 1 : 0);
}

}  // namespace

std::string metrics_text(Node& node) {
  Text text;
  text.head("drave_up", "gauge", "1 while the node serves clients.");
  text.value("drave_up", "", node.state() == NodeState::running ? 1 : 0);
  if (const std::shared_ptr<const QuorumSample> sample = node.quorum_sample()) {
    quorum(text, *sample);
    quorum_replicas(text, *sample);
    controller(text, *sample);
  }
  requests(text, node);
  shards(text, node);
  text.head("drave_memory_bytes", "gauge", "Memory held for clients, by pool.");
  text.value("drave_memory_bytes", "pool=\"assembly\"", node.assembly_budget().held());
  text.value("drave_memory_bytes", "pool=\"response\"", node.response_budget().held());
  return text.take();
}

}  // namespace drave::broker
