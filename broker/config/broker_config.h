#pragma once
// The configuration of a node: settings checked key by key and against each other, as typed values.
//
// load_broker_config() is the only way to one; it is pure. All problems are found at once, each
// with the place it stands at ("server.properties:12: ..."). What each key means here, and which
// have no effect, is in broker/CONFIG.md. A BrokerConfig is an immutable value; dynamic changes
// (records of the BROKER resource) make a new one.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/config/server_properties.h"
#include "metadata/config/topic_config.h"

namespace drave::broker {

enum class SecurityProtocol : std::uint8_t { plaintext, ssl, sasl_plaintext, sasl_ssl };

struct Endpoint {
  std::string listener;  // "PLAINTEXT", "CONTROLLER": as configured, in capitals
  SecurityProtocol protocol = SecurityProtocol::plaintext;
  std::string host;  // empty in `listeners`: every address; never empty in an advertised one
  std::uint16_t port =
      0;  // 0 in `listeners`: the kernel chooses; the advertised one then follows it

  bool operator==(const Endpoint&) const = default;
};

struct QuorumVoter {
  std::int32_t id = 0;
  std::string host;
  std::uint16_t port = 0;
};

// A server that may know who leads the quorum.
struct QuorumServer {
  std::string host;
  std::uint16_t port = 0;

  bool operator==(const QuorumServer&) const = default;
};

// Where metrics and health are served; no value: nowhere.
struct HttpListener {
  std::string host;
  std::uint16_t port = 0;
  bool given = false;  // a busy port ends the start only then; the default one gives a warning
};

struct BrokerConfig {
  // Who and where.
  std::int32_t node_id = 1;
  bool has_broker_role = true;      // one of the two at least
  bool has_controller_role = true;  // may vote and lead; without: an observer of the quorum
  std::optional<std::string> rack;
  std::vector<Endpoint> listeners;  // to bind, for clients; empty without the broker role only
  std::vector<Endpoint> advertised_listeners;  // told to clients; every name is one of `listeners`
  std::string inter_broker_listener_name;      // empty without the broker role
  // The controller. A node alone may leave its listener out of `listeners`: its broker talks to its
  // controller in the same process, and a port less cannot be taken or attacked. The advertised
  // endpoint goes into the quorum's records either way.
  std::string controller_listener_name = "CONTROLLER";
  std::optional<Endpoint> controller_listener;  // always there in a quorum of several
  Endpoint advertised_controller_listener;
  std::vector<QuorumVoter>
      quorum_voters;  // a static quorum (kraft.version 0); empty: a dynamic one
  std::vector<QuorumServer> quorum_bootstrap_servers;
  // Both roles, and no other node is named: it may format itself and be a quorum of one.
  bool is_alone = true;
  bool quorum_auto_join_enable = false;
  std::int32_t quorum_election_timeout_ms = 1'000;
  std::int32_t quorum_fetch_timeout_ms = 2'000;
  std::int32_t quorum_fetch_bytes_max = 1 << 20;
  std::int32_t quorum_snapshot_bytes_max = 1 << 20;
  std::int32_t quorum_election_backoff_ms_max = 1'000;
  std::int32_t quorum_request_timeout_ms = 2'000;
  std::int32_t quorum_retry_backoff_ms = 20;

  // The cluster.
  std::int32_t broker_session_timeout_ms = 9'000;
  std::int32_t broker_heartbeat_interval_ms = 2'000;
  std::int32_t initial_broker_registration_timeout_ms = 60'000;
  bool controlled_shutdown_enable = true;
  std::int32_t metadata_idle_interval_ms_max = 500;  // 0: no NoOp records

  // Directories, without doubles; the metadata log's is one of them or another.
  std::vector<std::string> log_dirs;
  std::string metadata_log_dir;

  // Topics.
  bool auto_create_topics_enable = true;
  bool delete_topic_enable = true;
  std::int32_t num_partitions = 1;
  std::int32_t default_replication_factor = 1;
  std::int64_t log_retention_check_interval_ms = 300'000;
  std::int32_t producer_id_expiration_ms = 86'400'000;
  std::int32_t producer_id_expiration_check_interval_ms = 600'000;
  metadata::TopicConfig topic_defaults;  // of a topic without configs of its own

  // Connections and requests.
  std::int32_t socket_request_bytes_max = 104'857'600;
  std::int32_t socket_send_buffer_bytes = -1;     // -1: the kernel's
  std::int32_t socket_receive_buffer_bytes = -1;  // -1: the kernel's
  std::int32_t socket_listen_backlog_size = 512;
  // Of all frames that are being assembled; a single one may be larger.
  std::int64_t request_memory_bytes = 16'777'216;
  std::int32_t connections_max = INT32_MAX;
  std::int32_t connections_possible = INT32_MAX;  // what file descriptors allow; not configured
  std::int32_t connections_max_per_ip = INT32_MAX;
  std::map<std::string, std::int32_t> connections_max_per_ip_overrides;  // by address or host name
  std::int64_t connections_idle_ms_max = 600'000;                        // negative: for ever
  std::int32_t fetch_bytes_max = 57'671'680;
  std::int32_t fetch_sessions_max = 1000;
  std::int32_t request_partitions_max = 2000;  // of DescribeTopicPartitions

  // Access control. Without an authorizer there are no ACLs and everybody may do everything.
  bool has_authorizer = true;
  std::set<std::string, std::less<>> super_users;  // principals, "User:admin"
  // The authorizer was asked for by name: nodes, too, need the right to ClusterAction on the
  // controllers' listener, as in Kafka.
  bool authorizes_nodes = false;
  bool allow_everyone_if_no_acl_found = true;

  // The metadata log.
  std::int64_t metadata_bytes_between_snapshots_max = 20'971'520;
  std::int64_t metadata_snapshot_interval_ms_max = 3'600'000;  // 0: no limit
  std::int32_t metadata_batch_bytes_max = 8'388'608;           // appended by a controller at once
  std::int32_t metadata_segment_bytes = 1'073'741'824;
  std::int64_t metadata_segment_ms = 604'800'000;
  std::int64_t metadata_retention_bytes = 104'857'600;
  std::int64_t metadata_retention_ms = 604'800'000;

  // Drave's own.
  std::int32_t shards = 0;                   // 0: one per core
  std::int64_t journal_bytes = 268'435'456;  // of each log directory's journal, at least 4 files
  std::int64_t journal_file_bytes = 33'554'432;  // a multiple of 4096
  std::int64_t tail_memory_bytes = 67'108'864;
  std::optional<HttpListener> http_listener;
  std::string log_level = "info";
  std::map<std::string, std::string> log_levels;  // by target ("raft", "segments", ...)

  // Canonical values of the keys that file and command line give: ConfigLayers::fixed.
  metadata::ConfigMap given;

  // Values of keys without a field above, as anything may need (groups, transactions, ...): the
  // given one or the default, canonical. Nullopt: the key has neither. ASSERTs that the key exists.
  std::optional<std::string> text(std::string_view key) const;
  // The same for a key of an integer type that has a default.
  std::int64_t integer(std::string_view key) const;
};

struct LoadedConfig {
  std::optional<BrokerConfig> config;  // has a value if there are no errors
  std::vector<std::string> errors;     // sentences for people, with their place
  std::vector<std::string> warnings;
};

// What the machine says, for advertised listeners without a host.
struct Machine {
  std::string host_name = "localhost";
};

// Settings that go together, by name, for the command line's --profile; they weigh less than what
// is given. "lan": timers for nodes in one room, whose messages take less than a millisecond: a
// lost leader is replaced within 400 ms. Nullopt: no such profile.
std::optional<std::vector<Property>> profile(std::string_view name);

// `properties` in the order of their weight: a profile's, the file's, then overrides; the last of a
// key counts, a double within the file gives a warning. With no setting at all the result is a
// single node, listening on 127.0.0.1:9092 with its data in ./drave-data.
LoadedConfig load_broker_config(const std::vector<Property>& properties, const Machine& machine);

// The configuration after dynamic changes: fields whose keys change while a node runs
// (UpdateMode::cluster_wide and per_broker, but not listeners) take the values of `node`, then
// `cluster`, then of the file. Values that break a rule are passed over with a sentence in
// `problems`.
BrokerConfig with_dynamic_configs(const BrokerConfig& started, const metadata::ConfigMap& cluster,
                                  const metadata::ConfigMap& node,
                                  std::vector<std::string>* problems = nullptr);

}  // namespace drave::broker
