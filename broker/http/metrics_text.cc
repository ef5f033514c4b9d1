#include "broker/http/metrics_text.h"

#include <fmt/format.h>

#include <iterator>

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

void requests(Text& text, Node& node) {
  text.head("drave_requests_total", "counter", "Requests answered.");
  for (std::uint32_t s = 0; s < node.shard_count(); ++s)
    for (const ApiEntry& api : api_table()) {
      const auto key = static_cast<std::size_t>(api.key);
      text.value("drave_requests_total", fmt::format("api=\"{}\",shard=\"{}\"", key, s),
                 node.shard(s).metrics().apis[key].requests.load(std::memory_order_relaxed));
    }
  text.head("drave_request_seconds", "histogram",
            "From the arrival of a request to the last byte of its answer.");
  for (const ApiEntry& api : api_table()) {
    Histogram all;
    const auto key = static_cast<std::size_t>(api.key);
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

}  // namespace

std::string metrics_text(Node& node) {
  Text text;
  text.head("drave_up", "gauge", "1 while the node serves clients.");
  text.value("drave_up", "", node.state() == NodeState::running ? 1 : 0);
  requests(text, node);
  shards(text, node);
  text.head("drave_memory_bytes", "gauge", "Memory held for clients, by pool.");
  text.value("drave_memory_bytes", "pool=\"assembly\"", node.assembly_budget().held());
  text.value("drave_memory_bytes", "pool=\"response\"", node.response_budget().held());
  return text.take();
}

}  // namespace drave::broker
