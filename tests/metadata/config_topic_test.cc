#include <gtest/gtest.h>

#include <algorithm>

#include "metadata/config/describe.h"
#include "metadata/config/topic_config.h"
#include "metadata/config/validate.h"

namespace drave::metadata {
namespace {

// One node's view: what each layer gives.
struct Layers {
  ConfigMap topic;
  ConfigMap node;
  ConfigMap cluster;
  ConfigMap fixed;

  ConfigLayers view() const { return {topic, node, cluster, fixed}; }
};

std::string error_of(const Result<void>& result) {
  return result ? "" : result.error().context;
}

const ConfigEntry& entry(const std::vector<ConfigEntry>& entries, std::string_view name) {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [name](const ConfigEntry& e) { return e.name == name; });
  EXPECT_NE(found, entries.end()) << name;
  return *found;
}

TEST(TopicConfigResolve, without_any_setting_it_is_the_default_of_the_struct) {
  const Layers layers;
  std::vector<std::string> problems;
  EXPECT_EQ(resolve_topic_config(layers.view(), &problems), TopicConfig{});
  EXPECT_TRUE(problems.empty());
  EXPECT_TRUE(TopicConfig{}.flush_each());
}

TEST(TopicConfigResolve, the_first_layer_that_has_a_value_counts) {
  Layers layers;
  const auto retention = [&] { return resolve_topic_config(layers.view()).retention_ms; };
  layers.fixed["log.retention.hours"] = "1";
  EXPECT_EQ(retention(), 3'600'000);
  layers.fixed["log.retention.minutes"] = "2";
  EXPECT_EQ(retention(), 120'000);
  layers.fixed["log.retention.ms"] = "3";
  EXPECT_EQ(retention(), 3);
  layers.cluster["log.retention.ms"] = "4";
  EXPECT_EQ(retention(), 4);
  layers.node["log.retention.ms"] = "5";
  EXPECT_EQ(retention(), 5);
  layers.topic["retention.ms"] = "6";
  EXPECT_EQ(retention(), 6);
}

TEST(TopicConfigResolve, any_negative_retention_of_a_node_is_for_ever) {
  Layers layers;
  layers.fixed["log.retention.hours"] = "-1";
  EXPECT_EQ(resolve_topic_config(layers.view()).retention_ms, -1);
  layers.fixed["log.retention.ms"] = "-5";
  EXPECT_EQ(resolve_topic_config(layers.view()).retention_ms, -1);
}

TEST(TopicConfigResolve, every_field_follows_its_key) {
  Layers layers;
  layers.topic = {{"cleanup.policy", "compact"},
                  {"compression.type", "zstd"},
                  {"compression.gzip.level", "5"},
                  {"compression.lz4.level", "6"},
                  {"compression.zstd.level", "7"},
                  {"delete.retention.ms", "1"},
                  {"file.delete.delay.ms", "2"},
                  {"flush.messages", "3"},
                  {"flush.ms", "4"},
                  {"index.interval.bytes", "5"},
                  {"max.compaction.lag.ms", "60"},
                  {"max.message.bytes", "7"},
                  {"message.timestamp.after.max.ms", "8"},
                  {"message.timestamp.before.max.ms", "9"},
                  {"message.timestamp.type", "LogAppendTime"},
                  {"min.cleanable.dirty.ratio", "0.25"},
                  {"min.compaction.lag.ms", "10"},
                  {"min.insync.replicas", "2"},
                  {"preallocate", "true"},
                  {"retention.bytes", "11"},
                  {"retention.ms", "12"},
                  {"segment.bytes", "1048576"},
                  {"segment.index.bytes", "13"},
                  {"segment.jitter.ms", "14"},
                  {"segment.ms", "15"},
                  {"unclean.leader.election.enable", "true"}};
  TopicConfig wanted;
  wanted.cleanup_delete = false;
  wanted.cleanup_compact = true;
  wanted.compression_type = CompressionType::zstd;
  wanted.compression_gzip_level = 5;
  wanted.compression_lz4_level = 6;
  wanted.compression_zstd_level = 7;
  wanted.delete_retention_ms = 1;
  wanted.file_delete_delay_ms = 2;
  wanted.flush_messages = 3;
  wanted.flush_ms = 4;
  wanted.index_interval_bytes = 5;
  wanted.max_compaction_lag_ms = 60;
  wanted.max_message_bytes = 7;
  wanted.message_timestamp_after_max_ms = 8;
  wanted.message_timestamp_before_max_ms = 9;
  wanted.message_timestamp_type = TimestampType::log_append_time;
  wanted.min_cleanable_dirty_ratio = 0.25;
  wanted.min_compaction_lag_ms = 10;
  wanted.min_insync_replicas = 2;
  wanted.preallocate = true;
  wanted.retention_bytes = 11;
  wanted.retention_ms = 12;
  wanted.segment_bytes = 1'048'576;
  wanted.segment_index_bytes = 13;
  wanted.segment_jitter_ms = 14;
  wanted.segment_ms = 15;
  wanted.unclean_leader_election_enable = true;
  EXPECT_EQ(resolve_topic_config(layers.view()), wanted);
  EXPECT_EQ(error_of(validate_topic_configs(layers.view())), "");
  // A segment size below Kafka's least, for its own tests.
  layers.topic["internal.segment.bytes"] = "100";
  EXPECT_EQ(resolve_topic_config(layers.view()).segment_bytes, 100);
}

TEST(TopicConfigResolve, a_stored_value_that_breaks_its_rule_is_passed_over) {
  Layers layers;
  layers.topic["retention.ms"] = "soon";
  layers.topic["of.another.version"] = "x";
  layers.fixed["log.retention.ms"] = "9";
  std::vector<std::string> problems;
  EXPECT_EQ(resolve_topic_config(layers.view(), &problems).retention_ms, 9);
  EXPECT_EQ(problems,
            (std::vector<std::string>{"Invalid value soon for configuration retention.ms: "
                                      "Not a number of type LONG"}));
}

TEST(TopicConfigDescribe, an_entry_names_its_source_and_all_synonyms) {
  Layers layers;
  layers.topic["retention.ms"] = "6";
  layers.node["log.retention.ms"] = "5";
  layers.fixed["log.retention.hours"] = "24";
  const auto entries = describe_topic_configs(layers.view());
  const ConfigEntry& retention = entry(entries, "retention.ms");
  EXPECT_EQ(retention.value, "6");
  EXPECT_EQ(retention.source, ConfigSource::dynamic_topic);
  EXPECT_EQ(retention.type, ConfigType::int64);
  EXPECT_FALSE(retention.read_only);
  ASSERT_EQ(retention.synonyms.size(), 4U);
  EXPECT_EQ(retention.synonyms[0].name, "retention.ms");
  EXPECT_EQ(retention.synonyms[1].name, "log.retention.ms");
  EXPECT_EQ(retention.synonyms[1].source, ConfigSource::dynamic_broker);
  EXPECT_EQ(retention.synonyms[2].name, "log.retention.hours");
  EXPECT_EQ(retention.synonyms[2].value, "24");
  EXPECT_EQ(retention.synonyms[2].source, ConfigSource::static_broker);
  EXPECT_EQ(retention.synonyms[3].value, "168");
  EXPECT_EQ(retention.synonyms[3].source, ConfigSource::default_config);
  EXPECT_EQ(entries.size(), 33U);  // 34 keys, one internal
}

TEST(TopicConfigDescribe, a_default_has_the_default_as_source) {
  const Layers layers;
  const auto entries = describe_topic_configs(layers.view());
  for (const ConfigEntry& e : entries) EXPECT_EQ(e.source, ConfigSource::default_config) << e.name;
  EXPECT_EQ(entry(entries, "flush.messages").value, "1");
  EXPECT_EQ(entry(entries, "segment.ms").value, "604800000");
  EXPECT_EQ(entry(entries, "leader.replication.throttled.replicas").value, "");
  const ConfigEntry& bytes = entry(entries, "max.message.bytes");
  ASSERT_EQ(bytes.synonyms.size(), 1U);
  EXPECT_EQ(bytes.synonyms[0].name, "message.max.bytes");
}

TEST(TopicConfigDescribe, group_values_come_from_the_group_or_the_node) {
  Layers layers;
  layers.topic["consumer.session.timeout.ms"] = "46000";
  layers.fixed["group.consumer.heartbeat.interval.ms"] = "4000";
  const auto entries = describe_group_configs(layers.view());
  EXPECT_EQ(entry(entries, "consumer.session.timeout.ms").source, ConfigSource::group);
  EXPECT_EQ(entry(entries, "consumer.heartbeat.interval.ms").value, "4000");
  EXPECT_EQ(entry(entries, "consumer.heartbeat.interval.ms").source, ConfigSource::static_broker);
}

TEST(BrokerConfigDescribe, passwords_are_hidden_and_layers_named) {
  Layers layers;
  layers.fixed["log.segment.bytes"] = "2000000";
  layers.cluster["log.segment.bytes"] = "3000000";
  layers.cluster["log.cleaner.threads"] = "2";
  layers.fixed["ssl.key.password"] = "secret";
  layers.node["listener.name.internal.ssl.keystore.password"] = "secret";
  layers.node["somebody.elses"] = "secret";
  const auto entries = describe_broker_configs(layers.view());
  const ConfigEntry& segment = entry(entries, "log.segment.bytes");
  EXPECT_EQ(segment.value, "3000000");
  EXPECT_EQ(segment.source, ConfigSource::dynamic_default_broker);
  EXPECT_FALSE(segment.read_only);
  ASSERT_EQ(segment.synonyms.size(), 3U);
  EXPECT_EQ(segment.synonyms[1].value, "2000000");
  EXPECT_TRUE(entry(entries, "log.dirs").read_only);
  EXPECT_EQ(entry(entries, "log.dirs").value, std::nullopt);
  for (const ConfigEntry& e : entries) {
    EXPECT_NE(e.value, "secret") << e.name;
    for (const ConfigSynonym& synonym : e.synonyms) EXPECT_NE(synonym.value, "secret") << e.name;
  }
  EXPECT_TRUE(entry(entries, "ssl.key.password").sensitive);
  EXPECT_TRUE(entry(entries, "somebody.elses").sensitive);
  const auto defaults = describe_default_broker_configs(layers.cluster);
  ASSERT_EQ(defaults.size(), 2U);
  EXPECT_EQ(entry(defaults, "log.cleaner.threads").value, "2");
}

TEST(TopicConfigValidate, has_kafkas_sentences) {
  Layers layers;
  const auto verdict = [&](std::string_view key, std::string_view value) {
    layers.topic = {{std::string(key), std::string(value)}};
    return error_of(validate_topic_configs(layers.view()));
  };
  EXPECT_EQ(verdict("foo", "1"), "Unknown topic config name: foo");
  EXPECT_EQ(verdict("retention.ms", "x"),
            "Invalid value x for configuration retention.ms: Not a number of type LONG");
  EXPECT_EQ(verdict("retention.ms", "7d"),
            "Invalid value 7d for configuration retention.ms: Not a number of type LONG");
  EXPECT_EQ(verdict("message.format.version", "2.8"),
            "Unknown topic config name: message.format.version");
  EXPECT_EQ(
      verdict("remote.storage.enable", "true"),
      "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with "
      "remote log storage.");
  EXPECT_EQ(verdict("remote.storage.enable", "false"), "");
  EXPECT_EQ(verdict("cleanup.policy", "compact,delete"), "");
  // The unknown name is told before the bad value.
  layers.topic = {{"cleanup.policy", "x"}, {"zoo", "1"}};
  EXPECT_EQ(error_of(validate_topic_configs(layers.view())), "Unknown topic config name: zoo");
  layers.topic = {{"min.compaction.lag.ms", "10"}, {"max.compaction.lag.ms", "5"}};
  EXPECT_EQ(error_of(validate_topic_configs(layers.view())),
            "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)");
  // The other half of a pair may come from the node; a pair of the node's own is not the topic's
  // fault.
  layers.fixed["log.cleaner.max.compaction.lag.ms"] = "3";
  EXPECT_NE(verdict("min.compaction.lag.ms", "4"), "");
  layers.fixed["log.cleaner.min.compaction.lag.ms"] = "5";
  EXPECT_EQ(verdict("retention.ms", "1"), "");
}

TEST(BrokerConfigValidate, has_kafkas_sentences) {
  const auto verdict = [](BrokerResource resource, ConfigMap wanted) {
    return error_of(validate_broker_configs(wanted, resource));
  };
  const auto node = BrokerResource::node;
  EXPECT_EQ(verdict(node, {{"log.dirs", "x"}}),
            "Cannot update these configs dynamically: [log.dirs]");
  EXPECT_EQ(verdict(node, {{"log.dirs", "x"}, {"node.id", "1"}}),
            "Cannot update these configs dynamically: [log.dirs, node.id]");
  EXPECT_EQ(
      verdict(node, {{"ssl.keystore.location", "x"}}),
      "These security configs can be dynamically updated only per-listener using the listener "
      "prefix: [ssl.keystore.location]");
  EXPECT_EQ(verdict(BrokerResource::cluster_default, {{"cordoned.log.dirs", "x"}}),
            "Cannot update these configs at default cluster level, broker id must be specified: "
            "[cordoned.log.dirs]");
  EXPECT_EQ(verdict(node, {{"log.retention.ms", "x"}}),
            "Invalid value x for configuration log.retention.ms: Not a number of type LONG");
  EXPECT_EQ(verdict(node, {{"log.retention.ms", "5"}, {"foo", "1"}}), "");
  EXPECT_EQ(verdict(BrokerResource::cluster_default, {{"max.connections", "5"}}), "");
  EXPECT_NE(verdict(node, {{"config.providers", "file"}}), "");
}

TEST(GroupConfigValidate, unknown_names_and_bad_values_are_refused) {
  EXPECT_EQ(error_of(validate_group_configs({{"consumer.session.timeout.ms", "45000"}})), "");
  EXPECT_EQ(error_of(validate_group_configs({{"x", "1"}})), "Unknown group config name: x");
  EXPECT_NE(error_of(validate_group_configs({{"consumer.session.timeout.ms", "0"}})), "");
  EXPECT_EQ(error_of(validate_client_metrics_configs({{"x", "1"}})),
            "Unknown client metrics configuration: x");
  EXPECT_EQ(error_of(validate_client_metrics_configs({{"interval.ms", "1000"}})), "");
}

TEST(ConfigRecords, hold_canonical_values) {
  const ConfigMap canonical =
      canonical_configs(ConfigScope::topic, {{"cleanup.policy", " compact , delete"},
                                             {"min.cleanable.dirty.ratio", "0.50"},
                                             {"preallocate", "TRUE"},
                                             {"unknown", " x "}});
  EXPECT_EQ(canonical, (ConfigMap{{"cleanup.policy", "compact,delete"},
                                  {"min.cleanable.dirty.ratio", "0.5"},
                                  {"preallocate", "true"},
                                  {"unknown", " x "}}));
  EXPECT_TRUE(is_list_config(ConfigScope::topic, "cleanup.policy"));
  EXPECT_FALSE(is_list_config(ConfigScope::topic, "retention.ms"));
  EXPECT_FALSE(is_list_config(ConfigScope::topic, "unknown"));
}

}  // namespace
}  // namespace drave::metadata
