// Requests that say the same thing very often: what they cost grows with their size, not with its
// square, and their answers are bounded. Where that is not so, a test does not end in its time.

#include <gtest/gtest.h>

#include "broker/fetch/fetch_session.h"
#include "protocol/messages/describe_configs.h"
#include "protocol/messages/describe_log_dirs.h"
#include "protocol/messages/describe_producers.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/list_offsets.h"
#include "protocol/messages/metadata.h"
#include "tests/broker/support/node_test.h"

namespace drave {
namespace {

using protocol::ErrorCode;
using test::code;
using test::KafkaClient;

constexpr int kMany = 100'000;

class Repetition : public test::NodeTest {
 protected:
  static io::Task<void> create(KafkaClient& client, std::string name, int partitions) {
    EXPECT_EQ(co_await test::create_topic(client, std::move(name), partitions), 0);
  }
};

TEST_F(Repetition, of_partitions_whose_offsets_are_asked_for_is_refused) {
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    co_await create(client, "topic", 2);
    protocol::ListOffsetsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = "topic";
    topic.partitions.assign(kMany, {0, -1, -1});
    topic.partitions.push_back({1, -1, -1});
    const auto answer = co_await client.call<protocol::ListOffsetsResponse>(request, 7);
    EXPECT_TRUE(answer.has_value());
    if (!answer) co_return;
    const auto& partitions = answer->message.topics.at(0).partitions;
    EXPECT_EQ(partitions.size(), kMany + 1u);
    EXPECT_EQ(partitions.front().error_code, code(ErrorCode::invalid_request));
    EXPECT_EQ(partitions.back().error_code, 0);
  });
  stop();
}

TEST_F(Repetition, of_topics_is_described_once) {
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    co_await create(client, "large", 1000);
    protocol::MetadataRequest request;
    request.allow_auto_topic_creation = false;
    request.topics->assign(kMany, {{}, "large"});
    request.topics->push_back({{}, "other"});
    const auto answer = co_await client.call<protocol::MetadataResponse>(request, 12);
    EXPECT_TRUE(answer.has_value());
    if (!answer) co_return;
    EXPECT_EQ(answer->message.topics.size(), 2u);
    EXPECT_EQ(answer->message.topics.at(0).partitions.size(), 1000u);
    EXPECT_EQ(answer->message.topics.at(1).error_code, code(ErrorCode::unknown_topic_or_partition));
  });
  stop();
}

TEST_F(Repetition, of_partitions_whose_producers_are_asked_for_is_refused) {
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    co_await create(client, "topic", 1);
    protocol::DescribeProducersRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = "topic";
    topic.partition_indexes = {0, 0};
    const auto answer = co_await client.call<protocol::DescribeProducersResponse>(request, 0);
    EXPECT_TRUE(answer.has_value());
    if (!answer) co_return;
    const auto& partitions = answer->message.topics.at(0).partitions;
    EXPECT_EQ(partitions.at(0).error_code, 0);
    EXPECT_EQ(partitions.at(1).error_code, code(ErrorCode::invalid_request));
  });
  stop();
}

TEST_F(Repetition, of_logs_that_are_looked_for_costs_little) {
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    co_await create(client, "topic", 2000);
    protocol::DescribeLogDirsRequest request;
    request.topics.emplace();
    auto& topic = request.topics->emplace_back();
    topic.topic = "topic";
    for (int i = 0; i < kMany; ++i) topic.partitions.push_back(kMany + i);
    topic.partitions.push_back(7);
    const auto answer = co_await client.call<protocol::DescribeLogDirsResponse>(request, 4);
    EXPECT_TRUE(answer.has_value());
    if (!answer) co_return;
    const auto& topics = answer->message.results.at(0).topics;
    EXPECT_EQ(topics.size(), 1u);
    EXPECT_EQ(topics.at(0).partitions.size(), 1u);
  });
  stop();
}

TEST_F(Repetition, of_described_configs_ends_at_a_bound) {
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    protocol::DescribeConfigsRequest request;
    request.resources.assign(5000, {4, "1", std::nullopt});
    const auto answer = co_await client.call<protocol::DescribeConfigsResponse>(request, 1);
    EXPECT_TRUE(answer.has_value());
    if (!answer) co_return;
    const auto& results = answer->message.results;
    EXPECT_EQ(results.size(), 5000u);
    const std::size_t configs = results.front().configs.size();
    EXPECT_GT(configs, 100u);
    EXPECT_EQ(results.front().error_code, 0);
    std::size_t told = 0;
    for (const auto& result : results) told += result.configs.size();
    EXPECT_LE(told, 500'000u + configs);
    EXPECT_EQ(results.back().error_code, code(ErrorCode::policy_violation));
  });
  stop();
}

TEST_F(Repetition, of_configs_in_one_change_costs_little) {
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    std::vector<std::string> names;
    for (int i = 0; i < kMany; ++i) names.push_back("plugin." + std::to_string(i));
    protocol::IncrementalAlterConfigsRequest request;
    auto& resource = request.resources.emplace_back();
    resource.resource_type = 4;
    resource.resource_name = "1";
    for (const std::string& name : names) resource.configs.push_back({name, 0, "x"});
    const auto answer = co_await client.call<protocol::IncrementalAlterConfigsResponse>(request, 1);
    EXPECT_TRUE(answer.has_value());
    if (!answer) co_return;
    EXPECT_EQ(answer->message.responses.at(0).error_code, code(ErrorCode::policy_violation));
  });
  stop();
}

// `count` partitions, of which most are not there.
protocol::FetchRequest fetch_many(int count, std::int32_t session = 0, std::int32_t epoch = 0) {
  protocol::FetchRequest request = test::fetch_of("topic", 0, 0, 0);
  request.session_id = session;
  request.session_epoch = epoch;
  auto& partitions = request.topics[0].partitions;
  partitions.assign(static_cast<std::size_t>(count), partitions.front());
  for (int i = 0; i < count; ++i) partitions[static_cast<std::size_t>(i)].partition = i;
  return request;
}

TEST_F(Repetition, of_partitions_in_a_session_costs_little) {
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    co_await create(client, "topic", 1);
    const auto full = co_await client.call<protocol::FetchResponse>(fetch_many(kMany), 12);
    EXPECT_TRUE(full.has_value());
    if (!full) co_return;
    const std::int32_t session = full->message.session_id;
    EXPECT_NE(session, 0);
    protocol::FetchRequest next = fetch_many(kMany, session, 1);
    auto& forgotten = next.forgotten_topics_data.emplace_back();
    forgotten.topic = "topic";
    for (int i = 1; i < kMany; ++i) forgotten.partitions.push_back(i);
    const auto second = co_await client.call<protocol::FetchResponse>(next, 12);
    EXPECT_TRUE(second.has_value());
    if (!second) co_return;
    EXPECT_EQ(second->message.error_code, 0);
    EXPECT_EQ(second->message.responses.size(), 0u);  // the one that is left has no news
  });
  stop();
}

TEST_F(Repetition, of_large_sessions_ends_at_a_bound) {
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    co_await create(client, "topic", 1);
    constexpr int kHalf = static_cast<int>(broker::FetchSessions::kItemsMax / 2);
    const auto first = co_await client.call<protocol::FetchResponse>(fetch_many(kHalf), 12);
    EXPECT_TRUE(first.has_value());
    if (!first) co_return;
    const std::int32_t session = first->message.session_id;
    EXPECT_NE(session, 0);
    const auto second = co_await client.call<protocol::FetchResponse>(fetch_many(kHalf + 1), 12);
    EXPECT_TRUE(second.has_value());
    if (!second) co_return;
    EXPECT_EQ(second->message.session_id, 0);
    EXPECT_EQ(second->message.responses.at(0).partitions.size(), kHalf + 1u);
    // Nor does a session grow beyond it.
    const auto grown =
        co_await client.call<protocol::FetchResponse>(fetch_many(2 * kHalf + 1, session, 1), 12);
    EXPECT_TRUE(grown.has_value());
    if (grown) EXPECT_EQ(grown->message.error_code, code(ErrorCode::fetch_session_id_not_found));
  });
  stop();
}

}  // namespace
}  // namespace drave
