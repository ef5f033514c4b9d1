#include "broker/config/broker_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/assert.h"
#include "broker/config/listeners.h"
#include "broker/config/settings.h"
#include "raftlog/raft_limits.h"

namespace drave::broker {
namespace {

using metadata::ConfigMap;
using metadata::ConfigScope;
using metadata::list_of;

constexpr std::int64_t kJournalFilesMin = 4;
constexpr std::int64_t kJournalAlignment = 4096;
// A timer of the loop is not finer; and a quorum whose timeouts end at once never has a leader.
constexpr std::int64_t kQuorumTimeoutMsMin = 10;
constexpr auto kMetadataBatchBytesMax = static_cast<std::int32_t>(raft::kBatchBytesMax);
// "For ever", as people write it, is longer than clocks of nanoseconds can count.
constexpr std::int64_t kWaitMsMax = 100LL * 365 * 24 * 3600 * 1000;

std::int32_t small(const Settings& settings, std::string_view key) {
  return static_cast<std::int32_t>(settings.integer(key));
}

void read_identity(Settings& settings, BrokerConfig& config) {
  const bool has_node_id = settings.given("node.id");
  const bool has_broker_id = settings.given("broker.id");
  config.node_id = small(settings, has_node_id || !has_broker_id ? "node.id" : "broker.id");
  if (has_broker_id && small(settings, "broker.id") != config.node_id) {
    settings.error("broker.id", "You must set `node.id` to the same value as `broker.id`.");
  } else if (config.node_id < 0) {
    settings.error("broker.id", "broker.id must be 0 or greater; better give node.id");
  }
  if (settings.given("broker.rack")) config.rack = settings.text("broker.rack");
  const std::vector<std::string> roles = list_of(settings.text("process.roles"));
  const auto has = [&roles](std::string_view role) {
    return std::find(roles.begin(), roles.end(), role) != roles.end();
  };
  config.has_broker_role = has("broker");
  config.has_controller_role = has("controller");
}

void read_cluster(Settings& settings, BrokerConfig& config) {
  constexpr std::string_view kAutoJoin = "controller.quorum.auto.join.enable";
  config.quorum_auto_join_enable = settings.boolean(kAutoJoin);
  if (config.quorum_auto_join_enable && !config.quorum_voters.empty()) {
    settings.error(kAutoJoin, fmt::format("{} is only supported when controller.quorum.voters is "
                                          "not set, for a static quorum cannot be joined",
                                          kAutoJoin));
  } else if (config.quorum_auto_join_enable && !config.has_controller_role) {
    settings.error(kAutoJoin,
                   fmt::format("{} is only for nodes with the controller role", kAutoJoin));
  }
  config.quorum_election_timeout_ms = small(settings, "controller.quorum.election.timeout.ms");
  config.quorum_fetch_timeout_ms = small(settings, "controller.quorum.fetch.timeout.ms");
  config.quorum_fetch_bytes_max = small(settings, "controller.quorum.fetch.max.bytes");
  config.quorum_snapshot_bytes_max = small(settings, "controller.quorum.fetch.snapshot.max.bytes");
  config.quorum_election_backoff_ms_max =
      small(settings, "controller.quorum.election.backoff.max.ms");
  config.quorum_request_timeout_ms = small(settings, "controller.quorum.request.timeout.ms");
  config.quorum_retry_backoff_ms = small(settings, "controller.quorum.retry.backoff.ms");
  for (const std::string_view key :
       {"controller.quorum.election.timeout.ms", "controller.quorum.fetch.timeout.ms",
        "controller.quorum.request.timeout.ms"}) {
    if (settings.integer(key) < kQuorumTimeoutMsMin)
      settings.error(key, fmt::format("{} must be at least {}", key, kQuorumTimeoutMsMin));
  }
  config.broker_session_timeout_ms = small(settings, "broker.session.timeout.ms");
  config.broker_heartbeat_interval_ms = small(settings, "broker.heartbeat.interval.ms");
  config.initial_broker_registration_timeout_ms =
      small(settings, "initial.broker.registration.timeout.ms");
  config.controlled_shutdown_enable = settings.boolean("controlled.shutdown.enable");
  config.metadata_idle_interval_ms_max = small(settings, "metadata.max.idle.interval.ms");
  for (const std::string_view key : {"broker.session.timeout.ms", "broker.heartbeat.interval.ms",
                                     "initial.broker.registration.timeout.ms"}) {
    if (settings.integer(key) < 1) settings.error(key, fmt::format("{} must be at least 1", key));
  }
  // The session is what the controllers' files say.
  constexpr std::string_view kHeartbeat = "broker.heartbeat.interval.ms";
  const std::int64_t session = config.broker_session_timeout_ms;
  if (config.has_controller_role && config.broker_heartbeat_interval_ms >= session) {
    settings.error(kHeartbeat,
                   "broker.heartbeat.interval.ms must be less than broker.session.timeout.ms, or "
                   "the broker is fenced between two heartbeats");
  } else if (2LL * config.broker_heartbeat_interval_ms > session) {
    settings.warning(kHeartbeat,
                     fmt::format("broker.heartbeat.interval.ms is more than half of "
                                 "broker.session.timeout.ms ({}): one heartbeat that is lost "
                                 "fences the broker",
                                 session));
  }
}

// The same for two ways to write one path: without "//", "/./" and a slash at the end.
std::string plain_path(std::string_view path) {
  std::string plain;
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    if (at == 0 && part.empty()) plain = "/";
    if (!part.empty() && part != ".") {
      if (!plain.empty() && plain != "/") plain += '/';
      plain += part;
    }
    at = end + 1;
  }
  return plain;
}

void read_directories(Settings& settings, BrokerConfig& config) {
  const std::string_view key = settings.given("log.dirs") ? "log.dirs" : "log.dir";
  config.log_dirs = list_of(settings.text(key));
  config.metadata_log_dir = settings.given("metadata.log.dir") ? settings.text("metadata.log.dir")
                                                               : config.log_dirs.front();
  std::set<std::string> places;
  for (const std::string& path : config.log_dirs) {
    if (!places.insert(plain_path(path)).second)
      settings.error(key, fmt::format("{} is named twice in {}", plain_path(path), key));
    if (plain_path(path) == plain_path(config.metadata_log_dir)) config.metadata_log_dir = path;
  }
}

// "host:count,host:count"
void read_connection_overrides(Settings& settings, BrokerConfig& config) {
  constexpr std::string_view kKey = "max.connections.per.ip.overrides";
  config.connections_max_per_ip_overrides.clear();
  for (const std::string& text : list_of(settings.text(kKey))) {
    const std::string_view item = metadata::trim(text);
    const std::size_t colon = item.rfind(':');
    const metadata::ConfigDef* def =
        metadata::find_config(ConfigScope::broker, "max.connections.per.ip");
    const auto count = colon == std::string_view::npos || colon == 0
                           ? failure(Errc::invalid, "")
                           : metadata::canonical_value(*def, item.substr(colon + 1));
    if (!count) {
      settings.error(kKey, fmt::format("'{}' is not host:count", item));
      continue;
    }
    config.connections_max_per_ip_overrides[std::string(metadata::trim(item.substr(0, colon)))] =
        static_cast<std::int32_t>(metadata::integer_of(*count));
  }
  if (config.connections_max_per_ip == 0 && config.connections_max_per_ip_overrides.empty()) {
    settings.error("max.connections.per.ip",
                   "max.connections.per.ip can be set to zero only if "
                   "max.connections.per.ip.overrides property is set.");
  }
}

void read_request_memory(Settings& settings, BrokerConfig& config) {
  constexpr std::string_view kKafkaKey = "queued.max.request.bytes";
  constexpr std::string_view kOwnKey = "drave.memory.request.bytes";
  const std::int64_t queued = settings.integer(kKafkaKey);
  const std::int64_t largest = config.socket_request_bytes_max;
  const bool use_queued = queued > 0;
  config.request_memory_bytes = use_queued ? queued : settings.integer(kOwnKey);
  if (use_queued && queued < largest) {
    settings.error(kKafkaKey, fmt::format("{} must be larger or equal to socket.request.max.bytes",
                                          kKafkaKey));
  }
}

void read_sockets(Settings& settings, BrokerConfig& config) {
  config.socket_request_bytes_max = small(settings, "socket.request.max.bytes");
  config.socket_send_buffer_bytes = small(settings, "socket.send.buffer.bytes");
  config.socket_receive_buffer_bytes = small(settings, "socket.receive.buffer.bytes");
  config.socket_listen_backlog_size = small(settings, "socket.listen.backlog.size");
  config.connections_max = small(settings, "max.connections");
  config.connections_max_per_ip = small(settings, "max.connections.per.ip");
  config.connections_idle_ms_max =
      std::min(settings.integer("connections.max.idle.ms"), kWaitMsMax);
  config.fetch_bytes_max = small(settings, "fetch.max.bytes");
  config.fetch_sessions_max = small(settings, "max.incremental.fetch.session.cache.slots");
  config.request_partitions_max = small(settings, "max.request.partition.size.limit");
  read_connection_overrides(settings, config);
  read_request_memory(settings, config);
}

void read_topics(Settings& settings, BrokerConfig& config) {
  config.auto_create_topics_enable = settings.boolean("auto.create.topics.enable");
  config.delete_topic_enable = settings.boolean("delete.topic.enable");
  config.num_partitions = small(settings, "num.partitions");
  // As Kafka warns.
  if (!config.has_controller_role)
    for (const std::string_view key : {"num.partitions", "default.replication.factor"})
      if (settings.given(key))
        settings.warning(key,
                         fmt::format("{} of a node that is no controller counts for topics that "
                                     "it makes by itself only: set it on the controllers",
                                     key));
  config.default_replication_factor = small(settings, "default.replication.factor");
  if (config.default_replication_factor < 1) {
    settings.error("default.replication.factor", "default.replication.factor must be at least 1");
  }
  config.log_retention_check_interval_ms =
      std::min(settings.integer("log.retention.check.interval.ms"), kWaitMsMax);
  config.producer_id_expiration_ms = small(settings, "producer.id.expiration.ms");
  config.producer_id_expiration_check_interval_ms =
      small(settings, "producer.id.expiration.check.interval.ms");
  for (const std::string_view key :
       {"log.retention.ms", "log.retention.minutes", "log.retention.hours"}) {
    if (!settings.given(key)) continue;
    if (settings.integer(key) == 0) {
      settings.error(key, "log.retention.ms must be unlimited (-1) or, greater than or equal to 1");
    }
    break;
  }
  if (settings.given("log.roll.ms") && settings.integer("log.roll.ms") < 1) {
    settings.error("log.roll.ms", "log.roll.ms must be greater than or equal to 1");
  }
  if (settings.given("log.roll.jitter.ms") && settings.integer("log.roll.jitter.ms") < 0) {
    settings.error("log.roll.jitter.ms", "log.roll.jitter.ms must be greater than or equal to 0");
  }
  if (settings.given("log.flush.interval.ms") && settings.integer("log.flush.interval.ms") < 0) {
    settings.error("log.flush.interval.ms", "log.flush.interval.ms must be 0 or greater");
  }
}

void read_metadata_log(Settings& settings, BrokerConfig& config) {
  config.metadata_bytes_between_snapshots_max =
      settings.integer("metadata.log.max.record.bytes.between.snapshots");
  config.metadata_snapshot_interval_ms_max =
      settings.integer("metadata.log.max.snapshot.interval.ms");
  constexpr std::string_view kBatchKey = "internal.metadata.max.batch.size.in.bytes";
  config.metadata_batch_bytes_max = small(settings, kBatchKey);
  if (config.metadata_batch_bytes_max < 1)
    settings.error(kBatchKey, fmt::format("{} must be at least 1", kBatchKey));
  if (config.metadata_batch_bytes_max > kMetadataBatchBytesMax)
    settings.warning(kBatchKey, fmt::format("{} counts as {}, the most that a batch may have",
                                            kBatchKey, kMetadataBatchBytesMax));
  config.metadata_segment_bytes =
      small(settings, settings.given("internal.metadata.log.segment.bytes")
                          ? "internal.metadata.log.segment.bytes"
                          : "metadata.log.segment.bytes");
  config.metadata_segment_ms = settings.integer("metadata.log.segment.ms");
  config.metadata_retention_bytes = settings.integer("metadata.max.retention.bytes");
  config.metadata_retention_ms = settings.integer("metadata.max.retention.ms");
}

void read_authorizer(Settings& settings, BrokerConfig& config) {
  constexpr std::string_view kKey = "authorizer.class.name";
  constexpr std::string_view kStandard = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
  constexpr std::string_view kAllowEveryone = "allow.everyone.if.no.acl.found";
  const std::string name = settings.text(kKey);
  config.has_authorizer = !name.empty();
  if (config.has_authorizer && name != kStandard) {
    settings.error(kKey, fmt::format("{}={} cannot be loaded: it is a Java class; give {}, whose "
                                     "rules Drave has built in, or nothing",
                                     kKey, name, kStandard));
  }
  // Who asks for the authorizer by name gets Kafka's default, closed.
  config.allow_everyone_if_no_acl_found =
      settings.given(kAllowEveryone) ? settings.boolean(kAllowEveryone) : !settings.given(kKey);
  config.authorizes_nodes = config.has_authorizer && settings.given(kKey);
  const std::string users = settings.text("super.users");
  for (std::size_t from = 0; from <= users.size();) {
    const std::size_t end = std::min(users.find(';', from), users.size());
    const std::string_view user = metadata::trim(std::string_view(users).substr(from, end - from));
    from = end + 1;
    if (user.empty()) continue;
    const std::size_t colon = user.find(':');
    if (colon == std::string_view::npos || colon == 0 || colon + 1 == user.size()) {
      settings.error("super.users",
                     fmt::format("expected a string in format principalType:principalName but got "
                                 "{}; several are separated by ';'",
                                 user));
      continue;
    }
    config.super_users.emplace(user);
  }
}

void read_http_listener(Settings& settings, BrokerConfig& config) {
  constexpr std::string_view kKey = "drave.http.listener";
  const std::string text = settings.text(kKey);
  if (text == "off") return;
  auto address = parse_address(text);
  if (!address) {
    settings.error(kKey, fmt::format("{}; give host:port or off", address.error().context));
    return;
  }
  config.http_listener =
      HttpListener{std::move(address->host), address->port, settings.given(kKey)};
}

void read_own(Settings& settings, BrokerConfig& config) {
  config.shards = small(settings, "drave.shards");
  config.journal_bytes = settings.integer("drave.journal.bytes");
  config.journal_file_bytes = settings.integer("drave.journal.file.bytes");
  config.tail_memory_bytes = settings.integer("drave.memory.tail.bytes");
  if (config.journal_file_bytes % kJournalAlignment != 0) {
    settings.error(
        "drave.journal.file.bytes",
        fmt::format("drave.journal.file.bytes must be a multiple of {}", kJournalAlignment));
  }
  if (config.journal_bytes < kJournalFilesMin * config.journal_file_bytes) {
    settings.error("drave.journal.bytes",
                   fmt::format("drave.journal.bytes must hold at least {} files of "
                               "drave.journal.file.bytes ({})",
                               kJournalFilesMin, config.journal_file_bytes));
  }
  read_http_listener(settings, config);
  constexpr std::string_view kLevelPrefix = "drave.log.level.";
  config.log_level = settings.text("drave.log.level");
  for (auto it = settings.values().lower_bound(kLevelPrefix);
       it != settings.values().end() && it->first.starts_with(kLevelPrefix); ++it) {
    config.log_levels[it->first.substr(kLevelPrefix.size())] = it->second;
  }
}

}  // namespace

std::optional<std::string> BrokerConfig::text(std::string_view key) const {
  const metadata::ConfigDef* def = metadata::find_config(ConfigScope::broker, key);
  ASSERT(def != nullptr);
  if (const auto found = given.find(key); found != given.end()) return found->second;
  if (!def->default_text) return std::nullopt;
  return std::string(*def->default_text);
}

std::int64_t BrokerConfig::integer(std::string_view key) const {
  const auto value = text(key);
  ASSERT(value.has_value());
  return metadata::integer_of(*value);
}

std::optional<std::vector<Property>> profile(std::string_view name) {
  if (name != "lan") return std::nullopt;
  const std::string where(Settings::kProfile);
  return std::vector<Property>{{"controller.quorum.fetch.timeout.ms", "100", where},
                               {"controller.quorum.election.timeout.ms", "100", where},
                               {"controller.quorum.election.backoff.max.ms", "50", where},
                               {"controller.quorum.request.timeout.ms", "150", where},
                               {"controller.quorum.retry.backoff.ms", "10", where}};
}

LoadedConfig load_broker_config(const std::vector<Property>& properties, const Machine& machine) {
  Settings settings(properties);
  BrokerConfig config;
  read_identity(settings, config);
  read_listeners(settings, machine, config);
  read_cluster(settings, config);
  read_directories(settings, config);
  read_sockets(settings, config);
  read_topics(settings, config);
  read_metadata_log(settings, config);
  read_authorizer(settings, config);
  read_own(settings, config);
  config.given = settings.values();
  const ConfigMap none;
  config.topic_defaults = metadata::resolve_topic_config({none, none, none, config.given});
  LoadedConfig loaded;
  loaded.errors = settings.take_errors();
  loaded.warnings = settings.take_warnings();
  if (loaded.errors.empty()) loaded.config = std::move(config);
  return loaded;
}

BrokerConfig with_dynamic_configs(const BrokerConfig& started, const ConfigMap& cluster,
                                  const ConfigMap& node, std::vector<std::string>* problems) {
  BrokerConfig config = started;
  std::vector<Property> properties;
  for (const auto& [key, value] : started.given) properties.push_back({key, value, ""});
  for (const ConfigMap* map : {&cluster, &node}) {
    for (const auto& [key, value] : *map) {
      const metadata::ConfigDef* def = metadata::find_config(ConfigScope::broker, key);
      if (def == nullptr || def->mode == metadata::UpdateMode::read_only) continue;
      const auto canonical = metadata::canonical_value(*def, value);
      if (canonical) {
        properties.push_back({key, *canonical, "--"});
      } else if (problems != nullptr) {
        problems->push_back(canonical.error().context);
      }
    }
  }
  Settings settings(properties);
  read_sockets(settings, config);
  config.producer_id_expiration_ms = small(settings, "producer.id.expiration.ms");
  std::vector<std::string> errors = settings.take_errors();
  if (!errors.empty()) config = started;
  const ConfigMap none;
  config.topic_defaults =
      metadata::resolve_topic_config({none, node, cluster, started.given}, problems);
  for (std::string& error : errors) {
    if (problems != nullptr) problems->push_back(std::move(error));
  }
  return config;
}

}  // namespace drave::broker
