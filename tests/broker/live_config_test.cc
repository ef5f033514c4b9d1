// Configurations that change while the node runs: what an IncrementalAlterConfigs of the node or of
// the cluster's default does to what is served, and how DescribeConfigs tells of it.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "protocol/messages/create_topics.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/describe_configs.h"
#include "protocol/messages/describe_producers.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "tests/broker/support/node_test.h"

namespace drave {
namespace {

using protocol::ErrorCode;
using test::batch_of;
using test::code;
using test::KafkaClient;
using test::produce_of;

constexpr std::int8_t kBroker = 4;
constexpr std::int8_t kSet = 0;
constexpr std::int8_t kDelete = 1;

// The error that the change of one key of a BROKER resource is answered with; -1: no answer.
io::Task<std::int16_t> alter(KafkaClient& client, std::string resource, std::string key,
                             std::string value, std::int8_t operation = kSet) {
  protocol::IncrementalAlterConfigsRequest request;
  auto& asked = request.resources.emplace_back();
  asked.resource_type = kBroker;
  asked.resource_name = resource;
  auto& config = asked.configs.emplace_back();
  config.name = key;
  config.config_operation = operation;
  config.value = value;
  const auto answer = co_await client.call<protocol::IncrementalAlterConfigsResponse>(request, 1);
  co_return answer ? answer->message.responses.at(0).error_code : std::int16_t{-1};
}

// "value@source" of a key of node 1, and of each synonym behind it: "5@2 5@2 1@3 9@5".
io::Task<std::string> described(KafkaClient& client, std::string key) {
  protocol::DescribeConfigsRequest request;
  request.include_synonyms = true;
  auto& asked = request.resources.emplace_back();
  asked.resource_type = kBroker;
  asked.resource_name = "1";
  asked.configuration_keys = std::vector<std::string_view>{key};
  const auto answer = co_await client.call<protocol::DescribeConfigsResponse>(request, 4);
  if (!answer || answer->message.results.at(0).configs.size() != 1) co_return "none";
  const auto& config = answer->message.results.at(0).configs.at(0);
  std::string text = fmt::format("{}@{}", config.value.value_or("null"), config.config_source);
  for (const auto& synonym : config.synonyms)
    text += fmt::format(" {}@{}", synonym.value.value_or("null"), synonym.source);
  co_return text;
}

io::Task<std::int16_t> create(KafkaClient& client, std::string name,
                              std::map<std::string, std::string> configs = {}) {
  protocol::CreateTopicsRequest request;
  request.timeout_ms = 10'000;
  auto& topic = request.topics.emplace_back();
  topic.name = name;
  topic.num_partitions = 1;
  topic.replication_factor = 1;
  for (const auto& [key, value] : configs) topic.configs.push_back({key, value});
  const auto answer = co_await client.call<protocol::CreateTopicsResponse>(request, 7);
  co_return answer ? answer->message.topics.at(0).error_code : std::int16_t{-1};
}

io::Task<std::int16_t> produce(KafkaClient& client, std::string topic,
                               std::vector<std::uint8_t> batch) {
  const auto answer =
      co_await client.call<protocol::ProduceResponse>(produce_of(topic, 0, batch), 9);
  co_return answer ? answer->message.responses.at(0).partition_responses.at(0).error_code
                   : std::int16_t{-1};
}

class LiveConfig : public test::NodeTest {
 protected:
  // True if a new connection is served.
  io::Task<bool> is_admitted(KafkaClient& second) {
    const Result<void> connected = co_await second.connect({server_.host(), 9092});
    bool served = false;
    if (connected) served = co_await described(second, "node.id") != "none";
    co_await second.close();
    co_return served;
  }
};

TEST_F(LiveConfig, a_bound_of_connections_changes_at_once) {
  boot(2);
  run([this](KafkaClient& client) -> io::Task<void> {
    KafkaClient second(client.loop());
    EXPECT_TRUE(co_await is_admitted(second));
    EXPECT_EQ(co_await alter(client, "", "max.connections", "1"), 0);
    EXPECT_EQ(co_await described(client, "max.connections"), "1@3 1@3 2147483647@5");
    EXPECT_FALSE(co_await is_admitted(second));
    EXPECT_EQ(co_await alter(client, "1", "max.connections", "5"), 0);
    EXPECT_EQ(co_await described(client, "max.connections"), "5@2 5@2 1@3 2147483647@5");
    EXPECT_TRUE(co_await is_admitted(second));
    EXPECT_EQ(co_await alter(client, "1", "max.connections", "", kDelete), 0);
    EXPECT_FALSE(co_await is_admitted(second));
    EXPECT_EQ(co_await alter(client, "", "max.connections", "", kDelete), 0);
    EXPECT_EQ(co_await alter(client, "1", "max.connections.per.ip", "1"), 0);
    EXPECT_FALSE(co_await is_admitted(second));
    EXPECT_EQ(
        co_await alter(client, "1", "max.connections.per.ip.overrides", client_.host() + ":2"), 0);
    EXPECT_TRUE(co_await is_admitted(second));
  });
  stop();
}

TEST_F(LiveConfig, a_default_of_topics_changes_at_once_and_stays_after_a_restart) {
  boot(2);
  run([](KafkaClient& client) -> io::Task<void> {
    EXPECT_EQ(co_await create(client, "events"), 0);
    const auto batch = batch_of(1, std::string(1000, 'x'));
    EXPECT_EQ(co_await produce(client, "events", batch), 0);
    EXPECT_EQ(co_await alter(client, "", "message.max.bytes", "500"), 0);
    EXPECT_EQ(co_await described(client, "message.max.bytes"), "500@3 500@3 1048588@5");
    EXPECT_EQ(co_await produce(client, "events", batch), code(ErrorCode::message_too_large));
  });
  server_.power_cut();
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    const auto batch = batch_of(1, std::string(1000, 'x'));
    EXPECT_EQ(co_await produce(client, "events", batch), code(ErrorCode::message_too_large));
    EXPECT_EQ(co_await alter(client, "1", "message.max.bytes", "2000"), 0);
    EXPECT_EQ(co_await produce(client, "events", batch), 0);
  });
  stop();
}

TEST_F(LiveConfig, what_the_file_says_is_a_static_source) {
  settings_ = {"max.connections=100", "num.partitions=3"};
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    EXPECT_EQ(co_await described(client, "max.connections"), "100@4 100@4 2147483647@5");
    EXPECT_EQ(co_await alter(client, "", "max.connections", "50"), 0);
    EXPECT_EQ(co_await described(client, "max.connections"), "50@3 50@3 100@4 2147483647@5");
    EXPECT_EQ(co_await alter(client, "1", "num.partitions", "4"), code(ErrorCode::invalid_request));
    EXPECT_EQ(co_await described(client, "num.partitions"), "3@4 3@4 1@5");
  });
  stop();
}

io::Task<std::size_t> producers_of(KafkaClient& client, std::string topic) {
  protocol::DescribeProducersRequest request;
  auto& asked = request.topics.emplace_back();
  asked.name = topic;
  asked.partition_indexes = {0};
  const auto answer = co_await client.call<protocol::DescribeProducersResponse>(request, 0);
  co_return answer ? answer->message.topics.at(0).partitions.at(0).active_producers.size() : 99u;
}

TEST_F(LiveConfig, producers_expire_after_the_time_that_was_set_last) {
  settings_ = {"producer.id.expiration.check.interval.ms=1000"};
  boot(2);
  run([](KafkaClient& client) -> io::Task<void> {
    EXPECT_EQ(co_await create(client, "events"), 0);
    protocol::BatchOptions options;
    options.producer_id = 7;
    options.producer_epoch = 0;
    options.base_sequence = 0;
    protocol::BatchBuilder builder{options};
    builder.append(1'760'000'000'000, std::nullopt, as_bytes("x"));
    EXPECT_EQ(co_await produce(client, "events", std::move(builder).finish()), 0);
    co_await client.wait(seconds(5));
    EXPECT_EQ(co_await producers_of(client, "events"), 1u);
    EXPECT_EQ(co_await alter(client, "", "producer.id.expiration.ms", "1000"), 0);
    co_await client.wait(seconds(3));
    EXPECT_EQ(co_await producers_of(client, "events"), 0u);
  });
  stop();
}

TEST_F(LiveConfig, a_deleted_topic_goes_after_its_own_delay) {
  boot(1);
  const auto files_of = [this](const std::string& topic) {
    const std::vector<std::string> files = server_.disk().files_below("data");
    return std::count_if(files.begin(), files.end(), [&](const std::string& path) {
      return path.find("/" + topic + "-0") != std::string::npos;
    });
  };
  run([&](KafkaClient& client) -> io::Task<void> {
    EXPECT_EQ(co_await create(client, "slow"), 0);
    EXPECT_EQ(co_await create(client, "fast", {{"file.delete.delay.ms", "1000"}}), 0);
    EXPECT_EQ(co_await create(client, "never", {{"file.delete.delay.ms", "9223372036854775807"}}),
              0);
    protocol::DeleteTopicsRequest remove;
    remove.topic_names = {"never", "slow", "fast"};
    remove.timeout_ms = 10'000;
    const auto removed = co_await client.call<protocol::DeleteTopicsResponse>(remove, 5);
    EXPECT_TRUE(removed.has_value());
    EXPECT_GT(files_of("fast"), 0);
    co_await client.wait(seconds(5));
    EXPECT_EQ(files_of("fast"), 0);
    EXPECT_GT(files_of("slow"), 0);
    co_await client.wait(seconds(60));
    EXPECT_EQ(files_of("slow"), 0);
    EXPECT_GT(files_of("never"), 0);
  });
  stop();
}

}  // namespace
}  // namespace drave
