// Every key that CONFIG.md calls honoured has somebody who reads it: the table names the file and
// the expression, the test finds it there. A key that becomes honoured, or whose reader goes,
// fails.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "metadata/config/config_def.h"

namespace drave::broker {
namespace {

using metadata::ConfigDef;
using metadata::ConfigScope;
using metadata::Treatment;

struct Reader {
  const char* file;
  const char* expression;
};
using Readers = std::map<std::string, Reader, std::less<>>;

// Keys that give topics their default: read through the topic's key, which has its own reader.
constexpr Reader kTopicDefault{"metadata/config/topic_config.cc", "resolve_topic_config"};
// Keys whose whole meaning is which configurations are refused at the start, while a cluster has
// one node.
constexpr Reader kCheckedAtStart{"broker/config/listeners.cc", "settings_.error"};

const Readers kOfNodes = {
    {"allow.everyone.if.no.acl.found",
     {"broker/serving_image.cc", "config.allow_everyone_if_no_acl_found"}},
    {"authorizer.class.name", {"broker/serving_image.cc", "config.has_authorizer"}},
    {"advertised.listeners", {"broker/node.cc", "config_.advertised_listeners"}},
    {"auto.create.topics.enable", {"broker/handlers/metadata.cc", "auto_create_topics_enable"}},
    {"broker.heartbeat.interval.ms",
     {"broker/lifecycle/broker_lifecycle.cc", "broker_heartbeat_interval_ms"}},
    {"broker.id", {"broker/config/broker_config.cc", "\"broker.id\""}},
    {"broker.rack", {"broker/lifecycle/broker_lifecycle.cc", "config_.rack"}},
    {"broker.session.timeout.ms",
     {"broker/controller/quorum_controller.cc", "broker_session_timeout_ms"}},
    {"compression.gzip.level", kTopicDefault},
    {"compression.lz4.level", kTopicDefault},
    {"compression.type", kTopicDefault},
    {"compression.zstd.level", kTopicDefault},
    {"connections.max.idle.ms", {"broker/net/connection.cc", "connections_idle_ms_max"}},
    {"controller.listener.names", {"broker/node.cc", "config_.controller_listener_name"}},
    {"controlled.shutdown.enable",
     {"broker/lifecycle/broker_lifecycle.cc", "controlled_shutdown_enable"}},
    {"controller.quorum.auto.join.enable",
     {"broker/controller/raft_options.cc", "quorum_auto_join_enable"}},
    {"controller.quorum.bootstrap.servers",
     {"broker/controller/raft_options.cc", "quorum_bootstrap_servers"}},
    {"controller.quorum.election.backoff.max.ms",
     {"broker/controller/raft_options.cc", "quorum_election_backoff_ms_max"}},
    {"controller.quorum.election.timeout.ms",
     {"broker/controller/raft_options.cc", "quorum_election_timeout_ms"}},
    {"controller.quorum.fetch.max.bytes",
     {"broker/controller/raft_options.cc", "quorum_fetch_bytes_max"}},
    {"controller.quorum.fetch.snapshot.max.bytes",
     {"broker/controller/raft_options.cc", "quorum_snapshot_bytes_max"}},
    {"controller.quorum.fetch.timeout.ms",
     {"broker/controller/raft_options.cc", "quorum_fetch_timeout_ms"}},
    {"controller.quorum.request.timeout.ms",
     {"broker/controller/raft_options.cc", "quorum_request_timeout_ms"}},
    {"controller.quorum.retry.backoff.ms",
     {"broker/controller/raft_options.cc", "quorum_retry_backoff_ms"}},
    {"controller.quorum.voters", {"broker/controller/raft_options.cc", "quorum_voters"}},
    {"default.replication.factor",
     {"broker/controller/quorum_controller.cc", "config_.default_replication_factor"}},
    {"delete.topic.enable",
     {"broker/controller/quorum_controller.cc", "config_.delete_topic_enable"}},
    {"drave.http.listener", {"broker/main.cc", "config.http_listener"}},
    {"drave.journal.bytes", {"broker/node.cc", "config_.journal_bytes"}},
    {"drave.journal.file.bytes", {"broker/node.cc", "config_.journal_file_bytes"}},
    {"drave.log.level", {"broker/main.cc", "log_level"}},
    {"drave.memory.request.bytes", {"broker/node.cc", "config_.request_memory_bytes"}},
    {"drave.memory.tail.bytes", {"broker/node.cc", "config_.tail_memory_bytes"}},
    {"drave.shards", {"broker/main.cc", "config.shards"}},
    {"fetch.max.bytes", {"broker/handlers/fetch.cc", "fetch_bytes_max"}},
    {"initial.broker.registration.timeout.ms",
     {"broker/lifecycle/broker_lifecycle.cc", "initial_broker_registration_timeout_ms"}},
    {"inter.broker.listener.name", kCheckedAtStart},
    {"internal.metadata.log.segment.bytes",
     {"broker/controller/raft_options.cc", "config.metadata_segment_bytes"}},
    {"internal.metadata.max.batch.size.in.bytes",
     {"broker/controller/quorum_controller.cc", "config.metadata_batch_bytes_max"}},
    {"listener.security.protocol.map", kCheckedAtStart},
    {"listeners", {"broker/node.cc", "config_.listeners"}},
    {"log.cleanup.policy", kTopicDefault},
    {"log.dir", {"broker/node.cc", "config_.log_dirs"}},
    {"log.dirs", {"broker/node.cc", "config_.log_dirs"}},
    {"log.flush.interval.messages", kTopicDefault},
    {"log.index.interval.bytes", kTopicDefault},
    {"log.index.size.max.bytes", kTopicDefault},
    {"log.message.timestamp.after.max.ms", kTopicDefault},
    {"log.message.timestamp.before.max.ms", kTopicDefault},
    {"log.message.timestamp.type", kTopicDefault},
    {"log.retention.bytes", kTopicDefault},
    {"log.retention.check.interval.ms",
     {"broker/node.cc", "config_.log_retention_check_interval_ms"}},
    {"log.retention.hours", kTopicDefault},
    {"log.retention.minutes", kTopicDefault},
    {"log.retention.ms", kTopicDefault},
    {"log.roll.hours", kTopicDefault},
    {"log.roll.jitter.hours", kTopicDefault},
    {"log.roll.jitter.ms", kTopicDefault},
    {"log.roll.ms", kTopicDefault},
    {"log.segment.bytes", kTopicDefault},
    {"log.segment.delete.delay.ms", kTopicDefault},
    {"max.connections", {"broker/node.cc", "limits.connections_max,"}},
    {"max.connections.per.ip", {"broker/node.cc", "limits.connections_max_per_ip;"}},
    {"max.connections.per.ip.overrides",
     {"broker/node.cc", "limits.connections_max_per_ip_overrides"}},
    {"max.incremental.fetch.session.cache.slots",
     {"broker/fetch/fetch_session.cc", "fetch_sessions_max"}},
    {"max.request.partition.size.limit",
     {"broker/handlers/describe_topic_partitions.cc", "request_partitions_max"}},
    {"message.max.bytes", kTopicDefault},
    {"metadata.log.dir", {"broker/node.cc", "config_.metadata_log_dir"}},
    {"metadata.log.max.record.bytes.between.snapshots",
     {"broker/controller/quorum_controller.cc", "config_.metadata_bytes_between_snapshots_max"}},
    {"metadata.log.max.snapshot.interval.ms",
     {"broker/controller/quorum_controller.cc", "config_.metadata_snapshot_interval_ms_max"}},
    {"metadata.log.segment.bytes",
     {"broker/controller/raft_options.cc", "config.metadata_segment_bytes"}},
    {"metadata.log.segment.ms",
     {"broker/controller/raft_options.cc", "config.metadata_segment_ms"}},
    {"metadata.max.idle.interval.ms",
     {"broker/controller/quorum_controller.cc", "metadata_idle_interval_ms_max"}},
    {"metadata.max.retention.bytes",
     {"broker/controller/raft_options.cc", "config.metadata_retention_bytes"}},
    {"metadata.max.retention.ms",
     {"broker/controller/raft_options.cc", "config.metadata_retention_ms"}},
    {"min.insync.replicas",
     {"broker/controller/quorum_controller.cc", "topic_defaults.min_insync_replicas"}},
    {"node.id", {"broker/node.cc", "config_.node_id"}},
    {"num.partitions", {"broker/controller/quorum_controller.cc", "config_.num_partitions"}},
    {"process.roles", {"broker/config/broker_config.cc", "\"process.roles\""}},
    {"producer.id.expiration.check.interval.ms",
     {"broker/node.cc", "config_.producer_id_expiration_check_interval_ms"}},
    {"producer.id.expiration.ms", {"broker/node.cc", "config().producer_id_expiration_ms"}},
    {"queued.max.request.bytes", {"broker/node.cc", "config_.request_memory_bytes"}},
    {"security.inter.broker.protocol", kCheckedAtStart},
    {"super.users", {"broker/serving_image.cc", "config.super_users"}},
    {"socket.listen.backlog.size", {"broker/node.cc", "config_.socket_listen_backlog_size"}},
    {"socket.receive.buffer.bytes", {"broker/node.cc", "config_.socket_receive_buffer_bytes"}},
    {"socket.request.max.bytes", {"broker/net/connection.cc", "socket_request_bytes_max"}},
    {"socket.send.buffer.bytes", {"broker/node.cc", "config_.socket_send_buffer_bytes"}},
};

const Readers kOfTopics = {
    {"cleanup.policy", {"segments/retention.cc", "config.cleanup_delete"}},
    {"compression.gzip.level", {"broker/produce/produce_operation.cc", "compression_gzip_level"}},
    {"compression.lz4.level", {"broker/produce/produce_operation.cc", "compression_lz4_level"}},
    {"compression.type", {"broker/produce/produce_operation.cc", "config.compression_type"}},
    {"compression.zstd.level", {"broker/produce/produce_operation.cc", "compression_zstd_level"}},
    {"file.delete.delay.ms", {"segments/log_shard.cc", "file_delete_delay_ms"}},
    {"flush.messages", {"segments/file_log.cc", "config_.flush_messages"}},
    {"index.interval.bytes", {"segments/file_log.cc", "config_.index_interval_bytes"}},
    {"internal.segment.bytes", {"segments/segment.cc", "config.segment_bytes"}},
    {"max.message.bytes", {"broker/produce/produce_operation.cc", "max_message_bytes"}},
    {"message.timestamp.after.max.ms",
     {"broker/produce/produce_operation.cc", "message_timestamp_after_max_ms"}},
    {"message.timestamp.before.max.ms",
     {"broker/produce/produce_operation.cc", "message_timestamp_before_max_ms"}},
    {"message.timestamp.type", {"broker/produce/produce_operation.cc", "message_timestamp_type"}},
    {"min.insync.replicas", {"metadata/controller/configs.cc", "kMinInsyncReplicas"}},
    {"retention.bytes", {"segments/retention.cc", "config.retention_bytes"}},
    {"retention.ms", {"segments/retention.cc", "config.retention_ms"}},
    {"segment.bytes", {"segments/segment.cc", "config.segment_bytes"}},
    {"segment.index.bytes", {"segments/segment.cc", "config.segment_index_bytes"}},
    {"segment.jitter.ms", {"segments/segment.cc", "config.segment_jitter_ms"}},
    {"segment.ms", {"segments/segment.cc", "config.segment_ms"}},
};

std::string source(const std::string& file) {
  const char* root = std::getenv("DRAVE_SOURCE_DIR");
  std::ifstream in(std::string(root == nullptr ? "." : root) + "/" + file);
  EXPECT_TRUE(in.is_open()) << file;
  return {std::istreambuf_iterator<char>(in), {}};
}

void expect_readers(ConfigScope scope, const Readers& readers) {
  for (const ConfigDef& def : metadata::all_configs(scope)) {
    if (def.treatment != Treatment::honoured) continue;
    const auto reader = readers.find(def.name);
    EXPECT_NE(reader, readers.end()) << def.name << " is honoured, but by whom?";
    if (reader == readers.end()) continue;
    EXPECT_NE(source(reader->second.file).find(reader->second.expression), std::string::npos)
        << def.name << ": " << reader->second.file << " does not say " << reader->second.expression;
    // What is a topic's default is honoured if the topic's key is.
    if (reader->second.expression != kTopicDefault.expression) continue;
    bool read_by_topics = false;
    for (const ConfigDef& topic : metadata::all_configs(ConfigScope::topic)) {
      const auto synonyms = metadata::list_of(topic.synonyms);
      read_by_topics |= topic.treatment == Treatment::honoured &&
                        std::find(synonyms.begin(), synonyms.end(), def.name) != synonyms.end();
    }
    EXPECT_TRUE(read_by_topics) << def.name;
  }
  for (const auto& [name, reader] : readers) {
    const ConfigDef* def = metadata::find_config(scope, name);
    EXPECT_TRUE(def != nullptr && def->treatment == Treatment::honoured) << name;
  }
}

TEST(HonouredKeys, of_nodes_are_read) {
  expect_readers(ConfigScope::broker, kOfNodes);
}

TEST(HonouredKeys, of_topics_are_read) {
  expect_readers(ConfigScope::topic, kOfTopics);
}

}  // namespace
}  // namespace drave::broker
