#pragma once
// What a topic's configuration amounts to on this node, and where each value comes from.
//
// A value is looked for in layers, the first that has it counts: the topic's own records, the
// records of this node (BROKER resource with its id), the records of the cluster default (BROKER
// resource with an empty name), the node's file, the default. In the layers of the node the key has
// other names (retention.ms: log.retention.ms, log.retention.minutes, log.retention.hours, the
// first of them wins within a layer). Pure.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "metadata/config/config_def.h"

namespace drave::metadata {

// The numbers of DescribeConfigs.
enum class ConfigSource : std::int8_t {
  unknown = 0,
  dynamic_topic = 1,
  dynamic_broker = 2,
  dynamic_default_broker = 3,
  static_broker = 4,
  default_config = 5,
  dynamic_broker_logger = 6,
  client_metrics = 7,
  group = 8,
};

// The maps that decide, none of them owned; `fixed` holds the canonical values of the keys that the
// node's file gives (BrokerConfig::given). All four outlive the call they are passed to, no more.
struct ConfigLayers {
  const ConfigMap& topic;            // of a topic or group; empty when a node is described
  const ConfigMap& dynamic_broker;   // this node's records
  const ConfigMap& dynamic_default;  // the cluster default's records
  const ConfigMap& fixed;            // the node's file
};

enum class CompressionType : std::uint8_t { producer, uncompressed, gzip, snappy, lz4, zstd };
enum class TimestampType : std::uint8_t { create_time, log_append_time };

// Defaults are those of a node without a file. -1 in retention means for ever.
struct TopicConfig {
  bool cleanup_delete = true;  // neither: nothing is ever deleted
  bool cleanup_compact = false;
  CompressionType compression_type = CompressionType::producer;
  std::int32_t compression_gzip_level = -1;
  std::int32_t compression_lz4_level = 9;
  std::int32_t compression_zstd_level = 3;
  std::int64_t delete_retention_ms = 86'400'000;
  std::int64_t file_delete_delay_ms = 60'000;
  std::int64_t flush_messages = 1;  // 1: acknowledged means on disk (Kafka's default: never)
  std::int64_t flush_ms = INT64_MAX;
  std::int32_t index_interval_bytes = 4096;
  std::int64_t max_compaction_lag_ms = INT64_MAX;
  std::int32_t max_message_bytes = 1'048'588;
  std::int64_t message_timestamp_after_max_ms = 3'600'000;
  std::int64_t message_timestamp_before_max_ms = INT64_MAX;
  TimestampType message_timestamp_type = TimestampType::create_time;
  double min_cleanable_dirty_ratio = 0.5;
  std::int64_t min_compaction_lag_ms = 0;
  std::int32_t min_insync_replicas = 1;
  bool preallocate = false;
  std::int64_t retention_bytes = -1;
  std::int64_t retention_ms = 604'800'000;
  std::int32_t segment_bytes = 1'073'741'824;  // internal.segment.bytes, where given, goes first
  std::int32_t segment_index_bytes = 10'485'760;
  std::int64_t segment_jitter_ms = 0;  // at most segment_ms counts
  std::int64_t segment_ms = 604'800'000;
  bool unclean_leader_election_enable = false;

  // A write is acknowledged only when it is on disk.
  bool flush_each() const { return flush_messages == 1; }

  bool operator==(const TopicConfig&) const = default;
};

struct ResolvedConfig {
  std::string value;  // canonical, in the topic key's unit
  ConfigSource source = ConfigSource::default_config;
  std::string_view name;  // of the key that gave it: the topic's own or a synonym
};

// One key. Nullopt: it has no value in any layer. A stored value that breaks the key's rule
// (another version wrote it) is passed over, and a sentence about it appended to `problems` unless
// that is null.
std::optional<ResolvedConfig> resolve_config(const ConfigDef& def, const ConfigLayers& layers,
                                             std::vector<std::string>* problems = nullptr);

// All of them.
TopicConfig resolve_topic_config(const ConfigLayers& layers,
                                 std::vector<std::string>* problems = nullptr);

}  // namespace drave::metadata
