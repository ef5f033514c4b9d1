// Which resources have configs, and what those of subscriptions to clients' metrics are, asked of a
// node through the wire.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "protocol/messages/create_topics.h"
#include "protocol/messages/describe_configs.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/list_config_resources.h"
#include "tests/broker/support/node_test.h"

namespace drave {
namespace {

using protocol::ErrorCode;
using test::code;
using test::KafkaClient;

constexpr std::int8_t kTopic = 2;
constexpr std::int8_t kBroker = 4;
constexpr std::int8_t kBrokerLogger = 8;
constexpr std::int8_t kClientMetrics = 16;
constexpr std::int8_t kGroup = 32;

io::Task<std::int16_t> set(KafkaClient& client, std::int8_t type, std::string resource,
                           std::string key, std::string value) {
  protocol::IncrementalAlterConfigsRequest request;
  auto& asked = request.resources.emplace_back();
  asked.resource_type = type;
  asked.resource_name = resource;
  auto& config = asked.configs.emplace_back();
  config.name = key;
  config.value = value;
  const auto answer = co_await client.call<protocol::IncrementalAlterConfigsResponse>(request, 1);
  co_return answer ? answer->message.responses.at(0).error_code : std::int16_t{-1};
}

// "type:name" of each; "error N" if it is refused.
io::Task<std::vector<std::string>> list(KafkaClient& client, std::vector<std::int8_t> types,
                                        std::int16_t version = 1) {
  protocol::ListConfigResourcesRequest request;
  request.resource_types = std::move(types);
  const auto answer = co_await client.call<protocol::ListConfigResourcesResponse>(request, version);
  std::vector<std::string> listed;
  if (!answer) co_return listed;
  if (answer->message.error_code != 0)
    listed.push_back(fmt::format("error {}", answer->message.error_code));
  for (const auto& resource : answer->message.config_resources)
    listed.push_back(fmt::format("{}:{}", resource.resource_type, resource.resource_name));
  co_return listed;
}

// "key=value@source" of each, with "+" for each synonym; "error N" if it is refused.
io::Task<std::vector<std::string>> describe(KafkaClient& client, std::int8_t type,
                                            std::string name) {
  protocol::DescribeConfigsRequest request;
  request.include_synonyms = true;
  auto& asked = request.resources.emplace_back();
  asked.resource_type = type;
  asked.resource_name = name;
  const auto answer = co_await client.call<protocol::DescribeConfigsResponse>(request, 4);
  std::vector<std::string> told;
  if (!answer) co_return told;
  const auto& result = answer->message.results.at(0);
  if (result.error_code != 0) told.push_back(fmt::format("error {}", result.error_code));
  for (const auto& config : result.configs)
    told.push_back(fmt::format("{}={}@{}{}", config.name, config.value.value_or("null"),
                               config.config_source, std::string(config.synonyms.size(), '+')));
  co_return told;
}

using ConfigResources = test::NodeTest;
using Texts = std::vector<std::string>;

TEST_F(ConfigResources, are_listed_by_type) {
  boot(2);
  run([](KafkaClient& client) -> io::Task<void> {
    EXPECT_EQ(co_await list(client, {}, 0), Texts{});
    protocol::CreateTopicsRequest create;
    create.timeout_ms = 10'000;
    for (const std::string_view name : {"b", "a"}) {
      auto& topic = create.topics.emplace_back();
      topic.name = name;
      topic.num_partitions = 1;
      topic.replication_factor = 1;
    }
    co_await client.call<protocol::CreateTopicsResponse>(create, 7);
    EXPECT_EQ(co_await set(client, kClientMetrics, "slow", "interval.ms", "1000"), 0);
    EXPECT_EQ(co_await set(client, kClientMetrics, "all", "metrics", "*"), 0);
    EXPECT_EQ(co_await set(client, kGroup, "g", "consumer.session.timeout.ms", "50000"), 0);
    EXPECT_EQ(co_await list(client, {}, 0), (Texts{"16:all", "16:slow"}));
    EXPECT_EQ(co_await list(client, {}),
              (Texts{"32:g", "16:all", "16:slow", "8:1", "4:1", "2:a", "2:b"}));
    EXPECT_EQ(co_await list(client, {kTopic, kGroup, kTopic}), (Texts{"32:g", "2:a", "2:b"}));
    EXPECT_EQ(co_await list(client, {kBroker}), Texts{"4:1"});
    EXPECT_EQ(co_await list(client, {kBrokerLogger}), Texts{"8:1"});
    const Texts refused{fmt::format("error {}", code(ErrorCode::unsupported_version))};
    EXPECT_EQ(co_await list(client, {kTopic, 3}), refused);
  });
  stop();
}

TEST_F(ConfigResources, of_loggers_are_in_the_file) {
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    protocol::DescribeConfigsRequest request;
    auto& asked = request.resources.emplace_back();
    asked.resource_type = kBrokerLogger;
    asked.resource_name = "1";
    const auto answer = co_await client.call<protocol::DescribeConfigsResponse>(request, 4);
    EXPECT_TRUE(answer.has_value());
    if (!answer) co_return;
    const auto& result = answer->message.results.at(0);
    EXPECT_EQ(result.error_code, code(ErrorCode::invalid_request));
    EXPECT_NE(result.error_message.value_or("").find("drave.log.level"), std::string_view::npos);
  });
  stop();
}

TEST_F(ConfigResources, of_client_metrics_are_described) {
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    EXPECT_EQ(co_await describe(client, kClientMetrics, "slow"),
              (Texts{"interval.ms=300000@5", "match=@5", "metrics=@5"}));
    EXPECT_EQ(co_await set(client, kClientMetrics, "slow", "interval.ms", "1000"), 0);
    EXPECT_EQ(co_await set(client, kClientMetrics, "slow", "match", "client_id=a.*"), 0);
    EXPECT_EQ(co_await describe(client, kClientMetrics, "slow"),
              (Texts{"interval.ms=1000@7+", "match=client_id=a.*@7+", "metrics=@5"}));
    const Texts refused{fmt::format("error {}", code(ErrorCode::invalid_request))};
    EXPECT_EQ(co_await describe(client, kClientMetrics, ""), refused);
    EXPECT_EQ(co_await describe(client, kGroup, ""), refused);
  });
  stop();
}

}  // namespace
}  // namespace drave
