#include <gtest/gtest.h>

#include <algorithm>

#include "broker/config/broker_config.h"

namespace drave::broker {
namespace {

using metadata::ConfigMap;

LoadedConfig load(std::string_view text, const Machine& machine = {"my.host"}) {
  const auto properties = parse_properties(text, "f");
  EXPECT_TRUE(properties.has_value());
  return load_broker_config(*properties, machine);
}

// The only error of a configuration, or all of them in brackets, or "".
std::string error_of(std::string_view text) {
  const LoadedConfig loaded = load(text);
  EXPECT_EQ(loaded.config.has_value(), loaded.errors.empty());
  if (loaded.errors.empty()) return "";
  if (loaded.errors.size() == 1) return loaded.errors[0];
  std::string all;
  for (const std::string& error : loaded.errors) all += "[" + error + "]";
  return all;
}

// Expects that `text` loads without a warning.
BrokerConfig loaded(std::string_view text) {
  LoadedConfig result = load(text);
  for (const std::string& error : result.errors) ADD_FAILURE() << error;
  for (const std::string& warning : result.warnings) ADD_FAILURE() << warning;
  return result.config.value_or(BrokerConfig());
}

// What every combined node of Kafka's own sets.
constexpr std::string_view kCombined = R"(
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
)";

std::string combined(std::string_view more) {
  return std::string(kCombined) + std::string(more);
}

TEST(BrokerConfig, without_settings_it_is_one_node_on_loopback) {
  const BrokerConfig config = loaded("");
  EXPECT_EQ(config.node_id, 1);
  EXPECT_EQ(config.listeners,
            (std::vector<Endpoint>{{"PLAINTEXT", SecurityProtocol::plaintext, "127.0.0.1", 9092}}));
  EXPECT_EQ(config.advertised_listeners, config.listeners);
  EXPECT_EQ(config.inter_broker_listener_name, "PLAINTEXT");
  EXPECT_FALSE(config.controller_listener.has_value());
  EXPECT_EQ(config.controller_listener_name, "CONTROLLER");
  EXPECT_EQ(config.advertised_controller_listener,
            (Endpoint{"CONTROLLER", SecurityProtocol::plaintext, "localhost", 9093}));
  EXPECT_EQ(config.log_dirs, std::vector<std::string>{"./drave-data"});
  EXPECT_EQ(config.metadata_log_dir, "./drave-data");
  EXPECT_TRUE(config.quorum_voters.empty());
  EXPECT_TRUE(config.given.empty());
  EXPECT_EQ(config.topic_defaults, metadata::TopicConfig());
  ASSERT_TRUE(config.http_listener.has_value());
  EXPECT_EQ(config.http_listener->host, "127.0.0.1");
  EXPECT_EQ(config.http_listener->port, 9644);
  EXPECT_FALSE(config.http_listener->given);
}

// A field whose default is not the default of its key would differ between a node with and one
// without a file that sets the key to its default.
TEST(BrokerConfig, the_defaults_of_the_fields_are_those_of_the_keys) {
  const BrokerConfig from_keys = loaded("");
  const BrokerConfig fresh;
  EXPECT_EQ(from_keys.socket_request_bytes_max, fresh.socket_request_bytes_max);
  EXPECT_EQ(from_keys.socket_send_buffer_bytes, fresh.socket_send_buffer_bytes);
  EXPECT_EQ(from_keys.socket_receive_buffer_bytes, fresh.socket_receive_buffer_bytes);
  EXPECT_EQ(from_keys.socket_listen_backlog_size, fresh.socket_listen_backlog_size);
  EXPECT_EQ(from_keys.request_memory_bytes, fresh.request_memory_bytes);
  EXPECT_EQ(from_keys.connections_max, fresh.connections_max);
  EXPECT_EQ(from_keys.connections_max_per_ip, fresh.connections_max_per_ip);
  EXPECT_EQ(from_keys.connections_idle_ms_max, fresh.connections_idle_ms_max);
  EXPECT_EQ(from_keys.fetch_bytes_max, fresh.fetch_bytes_max);
  EXPECT_EQ(from_keys.fetch_sessions_max, fresh.fetch_sessions_max);
  EXPECT_EQ(from_keys.request_partitions_max, fresh.request_partitions_max);
  EXPECT_EQ(from_keys.auto_create_topics_enable, fresh.auto_create_topics_enable);
  EXPECT_EQ(from_keys.delete_topic_enable, fresh.delete_topic_enable);
  EXPECT_EQ(from_keys.num_partitions, fresh.num_partitions);
  EXPECT_EQ(from_keys.default_replication_factor, fresh.default_replication_factor);
  EXPECT_EQ(from_keys.log_retention_check_interval_ms, fresh.log_retention_check_interval_ms);
  EXPECT_EQ(from_keys.producer_id_expiration_ms, fresh.producer_id_expiration_ms);
  EXPECT_EQ(from_keys.producer_id_expiration_check_interval_ms,
            fresh.producer_id_expiration_check_interval_ms);
  EXPECT_EQ(from_keys.metadata_bytes_between_snapshots_max,
            fresh.metadata_bytes_between_snapshots_max);
  EXPECT_EQ(from_keys.metadata_snapshot_interval_ms_max, fresh.metadata_snapshot_interval_ms_max);
  EXPECT_EQ(from_keys.metadata_segment_bytes, fresh.metadata_segment_bytes);
  EXPECT_EQ(from_keys.metadata_segment_ms, fresh.metadata_segment_ms);
  EXPECT_EQ(from_keys.metadata_retention_bytes, fresh.metadata_retention_bytes);
  EXPECT_EQ(from_keys.metadata_retention_ms, fresh.metadata_retention_ms);
  EXPECT_EQ(from_keys.has_broker_role, fresh.has_broker_role);
  EXPECT_EQ(from_keys.has_controller_role, fresh.has_controller_role);
  EXPECT_EQ(from_keys.is_alone, fresh.is_alone);
  EXPECT_EQ(from_keys.quorum_auto_join_enable, fresh.quorum_auto_join_enable);
  EXPECT_EQ(from_keys.quorum_election_timeout_ms, fresh.quorum_election_timeout_ms);
  EXPECT_EQ(from_keys.quorum_fetch_timeout_ms, fresh.quorum_fetch_timeout_ms);
  EXPECT_EQ(from_keys.quorum_election_backoff_ms_max, fresh.quorum_election_backoff_ms_max);
  EXPECT_EQ(from_keys.quorum_request_timeout_ms, fresh.quorum_request_timeout_ms);
  EXPECT_EQ(from_keys.quorum_retry_backoff_ms, fresh.quorum_retry_backoff_ms);
  EXPECT_EQ(from_keys.broker_session_timeout_ms, fresh.broker_session_timeout_ms);
  EXPECT_EQ(from_keys.broker_heartbeat_interval_ms, fresh.broker_heartbeat_interval_ms);
  EXPECT_EQ(from_keys.initial_broker_registration_timeout_ms,
            fresh.initial_broker_registration_timeout_ms);
  EXPECT_EQ(from_keys.controlled_shutdown_enable, fresh.controlled_shutdown_enable);
  EXPECT_EQ(from_keys.metadata_idle_interval_ms_max, fresh.metadata_idle_interval_ms_max);
  EXPECT_EQ(from_keys.shards, fresh.shards);
  EXPECT_EQ(from_keys.journal_bytes, fresh.journal_bytes);
  EXPECT_EQ(from_keys.journal_file_bytes, fresh.journal_file_bytes);
  EXPECT_EQ(from_keys.tail_memory_bytes, fresh.tail_memory_bytes);
  EXPECT_EQ(from_keys.log_level, fresh.log_level);
}

// The settings of config/server.properties as Apache Kafka 4 ships it.
TEST(BrokerConfig, kafkas_own_file_loads) {
  const LoadedConfig result = load(combined(R"(
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/var/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
)"));
  EXPECT_TRUE(result.errors.empty()) << result.errors[0];
  EXPECT_EQ(result.warnings.size(), 6U);  // of what is not served yet; Kafka's defaults give none
  ASSERT_TRUE(result.config.has_value());
  const BrokerConfig& config = *result.config;
  EXPECT_EQ(config.listeners,
            (std::vector<Endpoint>{{"PLAINTEXT", SecurityProtocol::plaintext, "", 9092}}));
  EXPECT_EQ(config.advertised_listeners,
            (std::vector<Endpoint>{{"PLAINTEXT", SecurityProtocol::plaintext, "localhost", 9092}}));
  ASSERT_TRUE(config.controller_listener.has_value());
  EXPECT_EQ(config.controller_listener->port, 9093);
  EXPECT_EQ(config.advertised_controller_listener.host, "localhost");
  EXPECT_EQ(config.log_dirs, std::vector<std::string>{"/var/kraft-combined-logs"});
  EXPECT_EQ(config.integer("offsets.topic.replication.factor"), 1);
  EXPECT_EQ(config.integer("offsets.topic.num.partitions"), 50);
  EXPECT_EQ(config.text("log.retention.hours"), "168");
  EXPECT_EQ(config.text("broker.rack"), std::nullopt);
}

TEST(BrokerConfig, a_static_quorum_of_this_node_alone_loads) {
  const BrokerConfig config = loaded(R"(
process.roles=broker,controller
node.id=3
controller.quorum.voters=3@127.0.0.1:19093
listeners=PLAINTEXT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093
controller.listener.names=CONTROLLER
)");
  ASSERT_EQ(config.quorum_voters.size(), 1U);
  EXPECT_EQ(config.quorum_voters[0].id, 3);
  EXPECT_EQ(config.quorum_voters[0].port, 19093);
  EXPECT_EQ(config.advertised_controller_listener.host, "127.0.0.1");
}

TEST(BrokerConfig, all_problems_are_told_at_once_with_their_places) {
  const LoadedConfig result = load("log.dirz=/x\nnum.partitions=0\nlog.segment.bytes=7d\n");
  EXPECT_FALSE(result.config.has_value());
  EXPECT_EQ(
      result.errors,
      (std::vector<std::string>{
          "f:1: there is no key 'log.dirz'; did you mean 'log.dirs'?",
          "f:2: Invalid value 0 for configuration num.partitions: Value must be at least 1",
          "f:3: Invalid value 7d for configuration log.segment.bytes: a size ends in B, KiB, MiB, "
          "GiB, TiB, kB, MB, GB, TB or nothing"}));
}

TEST(BrokerConfig, an_unknown_key_is_an_error_with_a_hint) {
  EXPECT_EQ(error_of("retention.ms=5"),
            "f:1: there is no key 'retention.ms'; it is a key of topics, the "
            "default of all topics is 'log.retention.ms'");
  EXPECT_EQ(error_of("what.is.this.supposed.to.be=5"),
            "f:1: there is no key 'what.is.this.supposed.to.be'");
  EXPECT_EQ(error_of("listener.name.x.foo=5"), "f:1: there is no key 'listener.name.x.foo'");
}

TEST(BrokerConfig, a_batch_of_metadata_is_bounded) {
  EXPECT_EQ(error_of("internal.metadata.max.batch.size.in.bytes=0"),
            "f:1: internal.metadata.max.batch.size.in.bytes must be at least 1");
  EXPECT_TRUE(load("internal.metadata.max.batch.size.in.bytes=1").warnings.empty());
  EXPECT_TRUE(load("internal.metadata.max.batch.size.in.bytes=8MiB").warnings.empty());
  EXPECT_EQ(load("internal.metadata.max.batch.size.in.bytes=9MiB").warnings.size(), 1U);
}

TEST(BrokerConfig, the_last_value_of_a_key_counts) {
  const LoadedConfig result = load("num.partitions=0\nnum.partitions=3\n");
  ASSERT_TRUE(result.config.has_value());
  EXPECT_EQ(result.config->num_partitions, 3);
  EXPECT_EQ(result.warnings,
            std::vector<std::string>{"f:2: num.partitions is given again; the value of "
                                     "f:1 does not count"});
  auto properties = *parse_properties("num.partitions=0\n", "f");
  properties.push_back(*parse_override("num.partitions=4"));
  const LoadedConfig overridden = load_broker_config(properties, {});
  ASSERT_TRUE(overridden.config.has_value());
  EXPECT_EQ(overridden.config->num_partitions, 4);
  EXPECT_TRUE(overridden.warnings.empty());
  properties.push_back(*parse_override("num.partitions=x"));
  EXPECT_EQ(load_broker_config(properties, {}).errors,
            std::vector<std::string>{
                "--override: Invalid value x for configuration num.partitions: Not a "
                "number of type INT"});
}

TEST(BrokerConfig, units_are_taken_and_given_values_are_canonical) {
  const BrokerConfig config =
      loaded("log.segment.bytes=512MiB\nlog.retention.hours=7d\nlog.dirs= /a , /b ,/a\n");
  EXPECT_EQ(config.topic_defaults.segment_bytes, 536'870'912);
  EXPECT_EQ(config.given, (ConfigMap{{"log.dirs", "/a,/b"},
                                     {"log.retention.hours", "168"},
                                     {"log.segment.bytes", "536870912"}}));
  EXPECT_EQ(config.log_dirs, (std::vector<std::string>{"/a", "/b"}));
}

TEST(BrokerConfig, one_directory_is_not_two_however_it_is_written) {
  EXPECT_EQ(load("log.dirs=/x/a,/x/b,/x//./a/").errors,
            std::vector<std::string>{"f:1: /x/a is named twice in log.dirs"});
  EXPECT_EQ(load("log.dirs=./a,a").errors,
            std::vector<std::string>{"f:1: a is named twice in log.dirs"});
  EXPECT_EQ(loaded("log.dirs=/x/a,/x/ab,x/a,/\nmetadata.log.dir=/x/ab/\n").metadata_log_dir,
            "/x/ab");
}

TEST(BrokerConfig, what_has_no_effect_warns_unless_it_is_kafkas_default) {
  EXPECT_TRUE(load("num.io.threads=8").warnings.empty());
  EXPECT_EQ(
      load("num.io.threads=9").warnings,
      std::vector<std::string>{
          "f:1: num.io.threads has no effect: Drave runs one thread per core; see drave.shards"});
  EXPECT_EQ(load("zookeeper.connect=h:1").warnings.size(), 1U);
  EXPECT_EQ(load("listener.name.internal.max.connections=5").warnings.size(), 1U);
  EXPECT_EQ(load("listener.name.internal.plain.sasl.jaas.config=secret").warnings.size(), 1U);
  EXPECT_EQ(load("rsm.config.x=5").warnings.size(), 1U);
}

TEST(BrokerConfig, what_would_be_unsafe_to_ignore_is_refused) {
  EXPECT_NE(error_of("remote.log.storage.system.enable=true"), "");
  EXPECT_EQ(error_of("remote.log.storage.system.enable=false"), "");
  EXPECT_NE(error_of("config.providers=file"), "");
  EXPECT_NE(error_of("delegation.token.secret.key=secret"), "");
  EXPECT_EQ(error_of("delegation.token.secret.key=secret").find("=secret"), std::string::npos);
}

TEST(BrokerConfig, access_control_is_open_until_somebody_asks_for_it) {
  const std::string standard = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
  EXPECT_TRUE(loaded("").has_authorizer);
  EXPECT_TRUE(loaded("").allow_everyone_if_no_acl_found);
  EXPECT_FALSE(loaded("allow.everyone.if.no.acl.found=false").allow_everyone_if_no_acl_found);
  const std::string asked = "authorizer.class.name=" + standard;
  EXPECT_TRUE(loaded(asked).has_authorizer);
  EXPECT_TRUE(loaded(asked).authorizes_nodes);
  EXPECT_FALSE(loaded("").authorizes_nodes);
  EXPECT_FALSE(loaded(asked).allow_everyone_if_no_acl_found);
  EXPECT_TRUE(
      loaded(asked + "\nallow.everyone.if.no.acl.found=true").allow_everyone_if_no_acl_found);
  EXPECT_FALSE(loaded("authorizer.class.name=").has_authorizer);
  EXPECT_FALSE(loaded("authorizer.class.name=").authorizes_nodes);
  EXPECT_EQ(error_of("authorizer.class.name=a.B"),
            "f:1: authorizer.class.name=a.B cannot be loaded: it is a Java class; give " +
                standard + ", whose rules Drave has built in, or nothing");
}

TEST(BrokerConfig, super_users_are_principals) {
  EXPECT_EQ(loaded("super.users=User:a; User:CN=b,O=c;;").super_users,
            (std::set<std::string, std::less<>>{"User:a", "User:CN=b,O=c"}));
  EXPECT_TRUE(loaded("super.users=").super_users.empty());
  EXPECT_EQ(error_of("super.users=admin"),
            "f:1: expected a string in format principalType:principalName but got admin; several "
            "are separated by ';'");
}

TEST(BrokerConfig, roles_are_both_or_one) {
  EXPECT_EQ(error_of("process.roles=controller,broker"), "");
  EXPECT_NE(error_of("process.roles="), "");
  EXPECT_EQ(error_of("process.roles=broker"),
            "f:1: If using process.roles, either controller.quorum.bootstrap.servers must contain "
            "the set of bootstrap controllers or controller.quorum.voters must contain a parseable "
            "set of controllers");
  const BrokerConfig broker = loaded(R"(
process.roles=broker
node.id=4
controller.quorum.bootstrap.servers=c1:9093
)");
  EXPECT_TRUE(broker.has_broker_role);
  EXPECT_FALSE(broker.has_controller_role);
  EXPECT_FALSE(broker.is_alone);
  EXPECT_FALSE(broker.controller_listener.has_value());
  EXPECT_EQ(broker.listeners.size(), 1U);
  const BrokerConfig controller = loaded(R"(
process.roles=controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=CONTROLLER://:9093
)");
  EXPECT_FALSE(controller.has_broker_role);
  EXPECT_TRUE(controller.has_controller_role);
  EXPECT_FALSE(controller.is_alone);
  EXPECT_TRUE(controller.listeners.empty());
  EXPECT_TRUE(controller.advertised_listeners.empty());
  EXPECT_EQ(controller.advertised_controller_listener.host, "my.host");
}

TEST(BrokerConfig, listeners_fit_the_roles) {
  EXPECT_EQ(error_of("process.roles=broker\ncontroller.quorum.voters=2@c:9093\n"
                     "listeners=PLAINTEXT://:9092,CONTROLLER://:9093"),
            "The controller.listener.names config must not contain a value appearing in the "
            "'listeners' configuration when running KRaft with just the broker role");
  EXPECT_EQ(error_of("process.roles=controller\nlisteners=PLAINTEXT://:9092,CONTROLLER://:9093\n"
                     "controller.quorum.bootstrap.servers=a:1"),
            "f:2: The listeners config must only contain KRaft controller listeners from "
            "controller.listener.names when process.roles=controller");
  EXPECT_EQ(error_of("controller.quorum.voters=1@a:9093,2@b:9093"),
            "controller.listener.names must contain at least one value appearing in the "
            "'listeners' configuration when running the KRaft controller role");
}

TEST(BrokerConfig, a_profile_weighs_less_than_what_is_given) {
  EXPECT_FALSE(profile("wan").has_value());
  std::vector<Property> properties = *profile("lan");
  LoadedConfig result = load_broker_config(properties, {});
  ASSERT_TRUE(result.config.has_value());
  EXPECT_EQ(result.config->quorum_fetch_timeout_ms, 100);
  EXPECT_EQ(result.config->quorum_election_timeout_ms, 100);
  properties.push_back({"controller.quorum.fetch.timeout.ms", "300", "f:1"});
  result = load_broker_config(properties, {});
  ASSERT_TRUE(result.config.has_value());
  EXPECT_TRUE(result.warnings.empty());
  EXPECT_EQ(result.config->quorum_fetch_timeout_ms, 300);
  EXPECT_EQ(result.config->quorum_election_timeout_ms, 100);
}

TEST(BrokerConfig, timers_of_the_cluster_fit_each_other) {
  EXPECT_NE(error_of("broker.heartbeat.interval.ms=9000"), "");
  EXPECT_EQ(error_of("broker.heartbeat.interval.ms=8999"), "");
  EXPECT_EQ(load("broker.heartbeat.interval.ms=4501").warnings.size(), 1U);
  EXPECT_EQ(load("broker.heartbeat.interval.ms=4500").warnings.size(), 0U);
  // The session is the controllers' affair.
  const std::string broker = "process.roles=broker\ncontroller.quorum.bootstrap.servers=c:9093\n";
  EXPECT_EQ(error_of(broker + "broker.heartbeat.interval.ms=9000"), "");
  EXPECT_EQ(load(broker + "broker.heartbeat.interval.ms=9000").warnings.size(), 1U);
  EXPECT_EQ(load(broker + "num.partitions=4").warnings.size(), 1U);
  EXPECT_NE(error_of("broker.session.timeout.ms=0"), "");
  EXPECT_EQ(error_of("controller.quorum.fetch.timeout.ms=0"),
            "f:1: controller.quorum.fetch.timeout.ms must be at least 10");
  EXPECT_NE(error_of("controller.quorum.auto.join.enable=true\ncontroller.quorum.voters=1@a:9093"),
            "");
  EXPECT_EQ(error_of("controller.quorum.auto.join.enable=true"), "");
}

TEST(BrokerConfig, node_id_has_an_older_name) {
  EXPECT_EQ(loaded("broker.id=7").node_id, 7);
  EXPECT_EQ(loaded("broker.id=7\nnode.id=7").node_id, 7);
  EXPECT_EQ(error_of("broker.id=2\nnode.id=1"),
            "f:1: You must set `node.id` to the same value as `broker.id`.");
  EXPECT_NE(error_of("broker.id=-1"), "");
  EXPECT_NE(error_of("node.id=-1"), "");
}

TEST(BrokerListeners, addresses_of_every_kind) {
  const BrokerConfig config = loaded(R"(
listeners=plaintext://[::1]:9092,INTERNAL://127.0.0.1:9092,Outside://:0
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,outside:PLAINTEXT
inter.broker.listener.name=internal
)");
  ASSERT_EQ(config.listeners.size(), 3U);
  EXPECT_EQ(config.listeners[0].listener, "PLAINTEXT");
  EXPECT_EQ(config.listeners[0].host, "::1");
  EXPECT_EQ(config.inter_broker_listener_name, "INTERNAL");
  EXPECT_EQ(config.advertised_listeners[2].host, "my.host");
  EXPECT_EQ(config.advertised_listeners[2].port, 0);
}

TEST(BrokerListeners, what_cannot_be_bound_is_an_error) {
  for (const std::string_view bad :
       {"PLAINTEXT:9092", "PLAINTEXT://h", "PLAINTEXT://h:", "PLAINTEXT://h:70000",
        "PLAINTEXT://a b:1", "://h:1", "PLAINTEXT://h:-1", "PLAINTEXT://h:1,PLAINTEXT://h:2",
        "OTHER://h:1"}) {
    EXPECT_NE(error_of("listeners=" + std::string(bad)), "") << bad;
  }
  EXPECT_EQ(error_of("listeners=PLAINTEXT://:9092,CONTROLLER://:9092"),
            "f:1: Each listener must have a different port: 9092 is there twice");
  EXPECT_EQ(error_of("listeners=CONTROLLER://:9093"),
            "f:1: There must be at least one broker listener. Perhaps all listeners appear in "
            "controller.listener.names?");
}

TEST(BrokerListeners, only_plaintext_is_served_yet) {
  EXPECT_EQ(error_of("listeners=SSL://:9092"),
            "f:1: listener SSL has the protocol SSL; only PLAINTEXT is served yet");
  EXPECT_NE(error_of("listeners=X://:9092\nlistener.security.protocol.map=X:SASL_SSL"), "");
  EXPECT_NE(error_of("listener.security.protocol.map=PLAINTEXT:NONE"), "");
  EXPECT_NE(error_of("listener.security.protocol.map=PLAINTEXT"), "");
  EXPECT_NE(error_of("security.inter.broker.protocol=SSL"), "");
}

TEST(BrokerListeners, advertised_ones_must_be_reachable_and_known) {
  EXPECT_EQ(
      error_of("listeners=PLAINTEXT://0.0.0.0:9092"),
      "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP "
      "address.");
  EXPECT_EQ(error_of("listeners=PLAINTEXT://0.0.0.0:9092\nadvertised.listeners=PLAINTEXT://h:9092"),
            "");
  EXPECT_NE(error_of("advertised.listeners=SSL://h:1"), "");
  EXPECT_NE(error_of("advertised.listeners=PLAINTEXT://h:0"), "");
  for (const std::string_view told : {"0.0.0.0:9093", "[::]:9093", "h:0"}) {
    EXPECT_NE(error_of("listeners=PLAINTEXT://:9092,CONTROLLER://:9093\n"
                       "advertised.listeners=PLAINTEXT://h:9092,CONTROLLER://" +
                       std::string(told)),
              "")
        << told;
  }
  EXPECT_EQ(
      error_of("advertised.listeners=CONTROLLER://h:1"),
      "f:1: There must be at least one broker advertised listener. Perhaps all listeners appear in "
      "controller.listener.names?");
  EXPECT_EQ(loaded("listeners=PLAINTEXT://:9092").advertised_listeners[0].host, "my.host");
}

TEST(BrokerListeners, the_inter_broker_listener_is_one_of_the_advertised) {
  EXPECT_EQ(error_of("inter.broker.listener.name=X"),
            "f:1: inter.broker.listener.name must be a listener name defined in "
            "advertised.listeners. The "
            "valid options based on currently configured listeners are PLAINTEXT");
  EXPECT_EQ(
      error_of("inter.broker.listener.name=PLAINTEXT\nsecurity.inter.broker.protocol=PLAINTEXT"),
      "f:1: Only one of inter.broker.listener.name and security.inter.broker.protocol should be "
      "set.");
}

// A combined node with a bound controller listener, and `more`.
std::string bound(std::string_view more) {
  return "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093\n" + std::string(more);
}

TEST(BrokerQuorum, several_voters_are_named_with_this_node_among_them) {
  const BrokerConfig config =
      loaded(bound("controller.quorum.voters=1@a:9093,2@b:9094,3@c:9095\n"));
  ASSERT_EQ(config.quorum_voters.size(), 3U);
  EXPECT_EQ(config.quorum_voters[2].host, "c");
  EXPECT_EQ(config.advertised_controller_listener.host, "a");
  EXPECT_FALSE(config.is_alone);
  EXPECT_EQ(
      error_of("controller.quorum.voters=2@localhost:9093"),
      "f:1: If process.roles contains the 'controller' role, the node id 1 must be included in the "
      "set of voters 2");
  EXPECT_EQ(error_of("process.roles=broker\ncontroller.quorum.voters=1@a:9093"),
            "f:2: If process.roles contains just the 'broker' role, the node id 1 must not be "
            "included in the set of voters 1");
  EXPECT_EQ(error_of(bound("controller.quorum.voters=1@a:9093,1@b:9093")),
            "f:2: the node id 1 is there twice");
  std::string many = "controller.quorum.voters=1@a:1";
  for (int id = 2; id <= 16; ++id) many += "," + std::to_string(id) + "@a:" + std::to_string(id);
  EXPECT_EQ(loaded(bound(many)).quorum_voters.size(), 16U);
  EXPECT_EQ(error_of(bound(many + ",17@a:17")),
            "f:2: 17 voters are named; a quorum has at most 16");
  EXPECT_EQ(error_of("controller.quorum.voters=1@0.0.0.0:9093"),
            "f:1: Host string (0.0.0.0) is not routeable");
}

TEST(BrokerQuorum, bootstrap_servers_say_whether_a_node_is_alone) {
  EXPECT_FALSE(loaded(bound("controller.quorum.bootstrap.servers=a:9093,b:9093")).is_alone);
  EXPECT_FALSE(loaded(bound("controller.quorum.bootstrap.servers=localhost:9094")).is_alone);
  EXPECT_NE(error_of("controller.quorum.bootstrap.servers=elsewhere:9093"), "");
  EXPECT_NE(error_of("controller.quorum.bootstrap.servers=0.0.0.0:9093"), "");
  EXPECT_TRUE(loaded("controller.quorum.bootstrap.servers=my.host:9093").is_alone);
  EXPECT_TRUE(loaded("controller.quorum.bootstrap.servers=127.0.0.1:9093").is_alone);
  EXPECT_TRUE(loaded("controller.quorum.voters=1@a:9093").is_alone);
}

TEST(BrokerLimits, of_requests_and_connections_agree) {
  EXPECT_EQ(error_of("queued.max.request.bytes=5"),
            "f:1: queued.max.request.bytes must be larger or equal to socket.request.max.bytes");
  EXPECT_EQ(loaded("drave.memory.request.bytes=1MiB").request_memory_bytes, 1'048'576);
  EXPECT_EQ(loaded("queued.max.request.bytes=200MiB").request_memory_bytes, 209'715'200);
  EXPECT_EQ(
      error_of("max.connections.per.ip=0"),
      "f:1: max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides "
      "property is set.");
  const BrokerConfig config =
      loaded("max.connections.per.ip=0\nmax.connections.per.ip.overrides=127.0.0.1:5, h:6,::1:7");
  EXPECT_EQ(config.connections_max_per_ip_overrides,
            (std::map<std::string, std::int32_t>{{"127.0.0.1", 5}, {"h", 6}, {"::1", 7}}));
  for (const std::string_view bad : {"x", "x:", ":5", "x:y", "x:-1"}) {
    EXPECT_NE(error_of("max.connections.per.ip.overrides=" + std::string(bad)), "") << bad;
  }
}

TEST(BrokerTopics, node_wide_log_settings_are_checked_as_in_kafka) {
  EXPECT_EQ(error_of("log.retention.hours=0"),
            "f:1: log.retention.ms must be unlimited (-1) or, greater than or equal to 1");
  EXPECT_EQ(error_of("log.retention.hours=0\nlog.retention.ms=5"), "");
  EXPECT_EQ(loaded("log.retention.ms=-5").topic_defaults.retention_ms, -1);
  EXPECT_NE(error_of("log.roll.ms=0"), "");
  EXPECT_NE(error_of("log.roll.jitter.ms=-1"), "");
  EXPECT_NE(error_of("log.flush.interval.ms=-1"), "");
  EXPECT_EQ(loaded("log.flush.interval.messages=9223372036854775807").topic_defaults.flush_messages,
            INT64_MAX);
}

TEST(BrokerOwnKeys, are_checked_against_each_other) {
  EXPECT_NE(error_of("drave.journal.bytes=16MiB"), "");
  EXPECT_EQ(error_of("drave.journal.bytes=16MiB\ndrave.journal.file.bytes=4MiB"), "");
  EXPECT_NE(error_of("drave.journal.file.bytes=1048577"), "");
  EXPECT_NE(error_of("drave.shards=-1"), "");
  EXPECT_FALSE(loaded("drave.http.listener=off").http_listener.has_value());
  EXPECT_TRUE(loaded("drave.http.listener=[::1]:80").http_listener->given);
  EXPECT_EQ(loaded("drave.http.listener=[::1]:80").http_listener->host, "::1");
  EXPECT_NE(error_of("drave.http.listener=on"), "");
  const BrokerConfig config = loaded("drave.log.level=warn\ndrave.log.level.raft=debug");
  EXPECT_EQ(config.log_level, "warn");
  EXPECT_EQ(config.log_levels, (std::map<std::string, std::string>{{"raft", "debug"}}));
  EXPECT_NE(error_of("drave.log.level.raft=loud"), "");
}

TEST(BrokerDynamicConfigs, the_nodes_beat_the_clusters_beat_the_files) {
  const BrokerConfig started =
      loaded("max.connections=10\nlog.retention.hours=1\nmessage.max.bytes=100\nnum.partitions=2");
  const ConfigMap cluster = {
      {"max.connections", "20"}, {"log.retention.ms", "5"}, {"num.partitions", "9"}};
  const ConfigMap node = {{"max.connections", "30"}, {"message.max.bytes", "200"}};
  std::vector<std::string> problems;
  const BrokerConfig config = with_dynamic_configs(started, cluster, node, &problems);
  EXPECT_TRUE(problems.empty());
  EXPECT_EQ(config.connections_max, 30);
  EXPECT_EQ(config.topic_defaults.retention_ms, 5);
  EXPECT_EQ(config.topic_defaults.max_message_bytes, 200);
  EXPECT_EQ(config.num_partitions, 2);  // read-only
  EXPECT_EQ(config.given, started.given);
  EXPECT_EQ(config.listeners, started.listeners);
  const ConfigMap overrides = {{"max.connections.per.ip.overrides", "a:3"}};
  EXPECT_EQ(with_dynamic_configs(config, overrides, {}).connections_max_per_ip_overrides.size(),
            1u);
  const BrokerConfig back = with_dynamic_configs(started, {}, {}, &problems);
  EXPECT_EQ(back.connections_max, 10);
  EXPECT_EQ(back.topic_defaults, started.topic_defaults);
}

TEST(BrokerDynamicConfigs, a_stored_value_that_breaks_its_rule_is_passed_over) {
  const BrokerConfig started = loaded("max.connections=10");
  std::vector<std::string> problems;
  const BrokerConfig config =
      with_dynamic_configs(started, {{"max.connections", "x"}, {"of.others", "1"}},
                           {{"log.segment.bytes", "1"}}, &problems);
  EXPECT_EQ(config.connections_max, 10);
  EXPECT_EQ(config.topic_defaults, started.topic_defaults);
  EXPECT_FALSE(problems.empty());
  problems.clear();
  const BrokerConfig same = with_dynamic_configs(
      started, {{"max.connections.per.ip.overrides", "nonsense"}, {"max.connections", "3"}}, {},
      &problems);
  EXPECT_EQ(same.connections_max, 10);
  EXPECT_EQ(problems.size(), 1u);
}

}  // namespace
}  // namespace drave::broker
