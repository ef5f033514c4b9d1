#include "metadata/config/topic_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"

namespace drave::metadata {
namespace {

std::int64_t factor_of(Unit synonym, Unit own) {
  if (own != Unit::ms) return 1;
  if (synonym == Unit::hours) return 3'600'000;
  if (synonym == Unit::minutes) return 60'000;
  if (synonym == Unit::seconds) return 1000;
  return 1;
}

// A node's value as the topic's: hours become milliseconds, any negative retention is -1.
Result<std::string> as_topic_value(const ConfigDef& def, const ConfigDef& synonym,
                                   std::string_view text) {
  TRY(std::string value, canonical_value(synonym, text));
  if (def.name == "retention.ms") {
    const std::int64_t amount = integer_of(value);
    value = amount < 0 ? "-1" : fmt::format("{}", amount * factor_of(synonym.unit, def.unit));
  } else if (const std::int64_t factor = factor_of(synonym.unit, def.unit); factor != 1) {
    value = fmt::format("{}", integer_of(value) * factor);
  }
  return canonical_value(def, value);
}

class Resolver {
 public:
  Resolver(const ConfigDef& def, std::vector<std::string>* problems)
      : def_(def), problems_(problems) {}

  std::optional<ResolvedConfig> own(const ConfigMap& map, ConfigSource source) const {
    const auto found = map.find(def_.name);
    if (found == map.end()) return std::nullopt;
    return accept(canonical_value(def_, found->second), source, def_.name);
  }

  std::optional<ResolvedConfig> synonym(const ConfigMap& map, ConfigSource source) const {
    std::string_view rest = def_.synonyms;
    while (!rest.empty()) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      const std::string_view name = rest.substr(0, comma);
      rest.remove_prefix(std::min(comma + 1, rest.size()));
      const auto found = map.find(name);
      if (found == map.end()) continue;
      const ConfigDef* key = find_config(ConfigScope::broker, name);
      ASSERT(key != nullptr);
      auto value = accept(as_topic_value(def_, *key, found->second), source, key->name);
      if (value) return value;
    }
    return std::nullopt;
  }

 private:
  std::optional<ResolvedConfig> accept(Result<std::string> value, ConfigSource source,
                                       std::string_view name) const {
    if (value) return ResolvedConfig{std::move(*value), source, name};
    if (problems_ != nullptr) problems_->push_back(value.error().context);
    return std::nullopt;
  }

  const ConfigDef& def_;
  std::vector<std::string>* problems_;
};

CompressionType compression_type_of(std::string_view value) {
  if (value == "uncompressed") return CompressionType::uncompressed;
  if (value == "gzip") return CompressionType::gzip;
  if (value == "snappy") return CompressionType::snappy;
  if (value == "lz4") return CompressionType::lz4;
  if (value == "zstd") return CompressionType::zstd;
  return CompressionType::producer;
}

class Reader {
 public:
  Reader(const ConfigLayers& layers, std::vector<std::string>* problems)
      : layers_(layers), problems_(problems) {}

  std::optional<std::string> text(std::string_view name) const {
    const ConfigDef* def = find_config(ConfigScope::topic, name);
    ASSERT(def != nullptr);
    auto resolved = resolve_config(*def, layers_, problems_);
    if (!resolved) return std::nullopt;
    return std::move(resolved->value);
  }

  // Leaves `field` alone where the key has no value.
  template <class Integer>
  void read(std::string_view name, Integer& field) const {
    if (const auto value = text(name)) field = static_cast<Integer>(integer_of(*value));
  }
  void read(std::string_view name, bool& field) const {
    if (const auto value = text(name)) field = boolean_of(*value);
  }
  void read(std::string_view name, double& field) const {
    if (const auto value = text(name)) field = double_of(*value);
  }

 private:
  const ConfigLayers& layers_;
  std::vector<std::string>* problems_;
};

}  // namespace

std::optional<ResolvedConfig> resolve_config(const ConfigDef& def, const ConfigLayers& layers,
                                             std::vector<std::string>* problems) {
  const Resolver from(def, problems);
  const auto own =
      def.scope == ConfigScope::group ? ConfigSource::group : ConfigSource::dynamic_topic;
  if (auto found = from.own(layers.topic, own)) return found;
  if (auto found = from.synonym(layers.dynamic_broker, ConfigSource::dynamic_broker)) return found;
  if (auto found = from.synonym(layers.dynamic_default, ConfigSource::dynamic_default_broker)) {
    return found;
  }
  if (auto found = from.synonym(layers.fixed, ConfigSource::static_broker)) return found;
  if (!def.default_text) return std::nullopt;
  return ResolvedConfig{std::string(*def.default_text), ConfigSource::default_config, def.name};
}

TopicConfig resolve_topic_config(const ConfigLayers& layers, std::vector<std::string>* problems) {
  const Reader from(layers, problems);
  TopicConfig config;
  const std::vector<std::string> policies = list_of(from.text("cleanup.policy").value_or("delete"));
  config.cleanup_delete = std::find(policies.begin(), policies.end(), "delete") != policies.end();
  config.cleanup_compact = std::find(policies.begin(), policies.end(), "compact") != policies.end();
  config.compression_type = compression_type_of(from.text("compression.type").value_or("producer"));
  if (from.text("message.timestamp.type") == "LogAppendTime") {
    config.message_timestamp_type = TimestampType::log_append_time;
  }
  from.read("compression.gzip.level", config.compression_gzip_level);
  from.read("compression.lz4.level", config.compression_lz4_level);
  from.read("compression.zstd.level", config.compression_zstd_level);
  from.read("delete.retention.ms", config.delete_retention_ms);
  from.read("file.delete.delay.ms", config.file_delete_delay_ms);
  from.read("flush.messages", config.flush_messages);
  from.read("flush.ms", config.flush_ms);
  from.read("index.interval.bytes", config.index_interval_bytes);
  from.read("max.compaction.lag.ms", config.max_compaction_lag_ms);
  from.read("max.message.bytes", config.max_message_bytes);
  from.read("message.timestamp.after.max.ms", config.message_timestamp_after_max_ms);
  from.read("message.timestamp.before.max.ms", config.message_timestamp_before_max_ms);
  from.read("min.cleanable.dirty.ratio", config.min_cleanable_dirty_ratio);
  from.read("min.compaction.lag.ms", config.min_compaction_lag_ms);
  from.read("min.insync.replicas", config.min_insync_replicas);
  from.read("preallocate", config.preallocate);
  from.read("retention.bytes", config.retention_bytes);
  from.read("retention.ms", config.retention_ms);
  from.read("segment.bytes", config.segment_bytes);
  from.read("internal.segment.bytes", config.segment_bytes);
  from.read("segment.index.bytes", config.segment_index_bytes);
  from.read("segment.jitter.ms", config.segment_jitter_ms);
  from.read("segment.ms", config.segment_ms);
  from.read("unclean.leader.election.enable", config.unclean_leader_election_enable);
  return config;
}

}  // namespace drave::metadata
