// A whole node in a simulated world, asked by a client through the wire.

#include "broker/node.h"

#include <gtest/gtest.h>

#include <tuple>

#include "protocol/messages/api_versions.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/describe_topic_partitions.h"
#include "protocol/messages/find_coordinator.h"
#include "protocol/messages/init_producer_id.h"
#include "protocol/messages/list_offsets.h"
#include "protocol/messages/metadata.h"
#include "tests/broker/support/node_test.h"

namespace drave {
namespace {

using protocol::ErrorCode;
using test::batch_of;
using test::code;
using test::create_topic;
using test::fetch_of;
using test::KafkaClient;
using test::NodeTest;
using test::produce_of;

io::Task<void> produce_and_fetch(KafkaClient& client) {
  protocol::MetadataRequest metadata;
  metadata.topics->push_back({{}, "events"});
  const auto created = co_await client.call<protocol::MetadataResponse>(metadata, 12);
  EXPECT_TRUE(created.has_value());
  if (!created) co_return;
  EXPECT_EQ(created->message.topics.at(0).error_code, 0);
  EXPECT_EQ(created->message.topics.at(0).partitions.size(), 1u);
  const auto batch = batch_of(3, "hello");
  for (int i = 0; i < 4; ++i) {
    const auto produced =
        co_await client.call<protocol::ProduceResponse>(produce_of("events", 0, batch), 9);
    EXPECT_TRUE(produced.has_value());
    if (!produced) co_return;
    const auto& answer = produced->message.responses.at(0).partition_responses.at(0);
    EXPECT_EQ(answer.error_code, 0);
    EXPECT_EQ(answer.base_offset, i * 3);
  }
  const auto fetched = co_await client.call<protocol::FetchResponse>(fetch_of("events", 0, 0), 12);
  EXPECT_TRUE(fetched.has_value());
  if (!fetched) co_return;
  const auto& data = fetched->message.responses.at(0).partitions.at(0);
  EXPECT_EQ(data.error_code, 0);
  EXPECT_EQ(data.high_watermark, 12);
  EXPECT_EQ(data.records->size(), 4 * batch.size());
}

TEST_F(NodeTest, serves_what_was_produced_with_one_shard) {
  boot(1);
  run(produce_and_fetch);
  stop();
}

TEST_F(NodeTest, serves_what_was_produced_with_two_shards) {
  boot(2);
  run(produce_and_fetch);
  stop();
}

TEST_F(NodeTest, spreads_connections_evenly_over_its_shards) {
  boot(3);
  std::vector<std::size_t> counts;
  run([&](KafkaClient& first) -> io::Task<void> {
    std::vector<std::unique_ptr<KafkaClient>> others;
    for (int i = 0; i < 8; ++i) {
      others.push_back(std::make_unique<KafkaClient>(first.loop()));
      const Result<void> connected = co_await others.back()->connect({server_.host(), 9092});
      EXPECT_TRUE(connected.has_value());
      const auto answer = co_await others.back()->call<protocol::ApiVersionsResponse>(
          protocol::ApiVersionsRequest{}, 0);
      EXPECT_TRUE(answer.has_value());
    }
    counts = node_->connections_of_shards();
    for (const auto& other : others) co_await other->close();
  });
  EXPECT_EQ(counts, (std::vector<std::size_t>{3, 3, 3}));
  stop();
}

io::Task<void> find_all(KafkaClient& client) {
  const auto fetched = co_await client.call<protocol::FetchResponse>(fetch_of("events", 0, 0), 12);
  EXPECT_TRUE(fetched.has_value());
  if (!fetched) co_return;
  EXPECT_EQ(fetched->message.responses.at(0).partitions.at(0).high_watermark, 12);
}

TEST_F(NodeTest, finds_everything_after_a_clean_stop) {
  boot(2);
  run(produce_and_fetch);
  stop();
  boot(1);
  run(find_all);
  stop();
}

TEST_F(NodeTest, finds_everything_acknowledged_after_a_power_cut) {
  boot(1);
  run(produce_and_fetch);
  server_.power_cut();
  boot(2);
  run(find_all);
  stop();
}

io::Task<void> wait_for_nothing(KafkaClient& client) {
  const auto fetched =
      co_await client.call<protocol::FetchResponse>(fetch_of("events", 0, 12, 200), 12);
  EXPECT_TRUE(fetched.has_value());
  if (!fetched) co_return;
  EXPECT_EQ(fetched->message.responses.at(0).partitions.at(0).records->size(), 0u);
  const auto beyond = co_await client.call<protocol::FetchResponse>(fetch_of("events", 0, 13), 12);
  EXPECT_TRUE(beyond.has_value());
  if (!beyond) co_return;
  EXPECT_EQ(beyond->message.responses.at(0).partitions.at(0).error_code,
            code(ErrorCode::offset_out_of_range));
}

TEST_F(NodeTest, parks_a_fetch_until_its_time_is_up) {
  boot(2);
  run(produce_and_fetch);
  run(wait_for_nothing);
  stop();
}

io::Task<void> delete_and_recreate(KafkaClient& client) {
  protocol::DeleteTopicsRequest remove;
  remove.topic_names = {"events"};
  remove.timeout_ms = 10'000;
  const auto removed = co_await client.call<protocol::DeleteTopicsResponse>(remove, 5);
  EXPECT_TRUE(removed.has_value());
  if (!removed) co_return;
  EXPECT_EQ(removed->message.responses.at(0).error_code, 0);
  const auto gone = co_await client.call<protocol::FetchResponse>(fetch_of("events", 0, 0), 12);
  EXPECT_TRUE(gone.has_value());
  if (!gone) co_return;
  EXPECT_EQ(gone->message.responses.at(0).partitions.at(0).error_code,
            code(ErrorCode::unknown_topic_or_partition));
  EXPECT_EQ(co_await create_topic(client, "events", 4), 0);
  const auto empty =
      co_await client.call<protocol::FetchResponse>(fetch_of("events", 0, 0, 10), 12);
  EXPECT_TRUE(empty.has_value());
  if (!empty) co_return;
  EXPECT_EQ(empty->message.responses.at(0).partitions.at(0).error_code, 0);
  EXPECT_EQ(empty->message.responses.at(0).partitions.at(0).high_watermark, 0);
}

TEST_F(NodeTest, a_topic_that_is_made_again_is_empty) {
  boot(2);
  run(produce_and_fetch);
  run(delete_and_recreate);
  server_.power_cut();
  boot(1);
  stop();
}

io::Task<void> unknown_version(KafkaClient& client) {
  protocol::Writer out;
  out.integer(std::int32_t{15});
  out.integer(std::int16_t{18});
  out.integer(std::int16_t{99});
  out.integer(std::int32_t{7});
  out.string("test", false, "client_id");
  out.uvarint(0);  // no tags: a version above ours is flexible as ours
  const Result<void> sent = co_await client.send_bytes({out.own().begin(), out.own().end()});
  EXPECT_TRUE(sent.has_value());
  const auto frame = co_await client.receive_frame();
  EXPECT_TRUE(frame.has_value());
  if (!frame) co_return;
  protocol::Reader in(*frame);
  EXPECT_EQ(in.integer<std::int32_t>(), 7);
  protocol::ApiVersionsResponse answer;
  EXPECT_TRUE(decode(in, answer, 0).has_value());
  EXPECT_EQ(answer.error_code, code(ErrorCode::unsupported_version));
}

TEST_F(NodeTest, tells_older_clients_no_feature_whose_range_begins_at_0) {
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    protocol::ApiVersionsRequest request;
    request.client_software_name = request.client_software_version = "test";
    std::size_t all = 0;
    for (const std::int16_t version : {std::int16_t{4}, std::int16_t{3}}) {
      const auto answer = co_await client.call<protocol::ApiVersionsResponse>(request, version);
      EXPECT_TRUE(answer.has_value());
      if (!answer) co_return;
      const auto& supported = answer->message.supported_features;
      for (const auto& feature : supported)
        if (version < 4) EXPECT_GT(feature.min_version, 0) << feature.name;
      if (version == 4) all = supported.size();
      EXPECT_GT(supported.size(), 0u);
      EXPECT_EQ(supported.size() < all, version < 4);
      EXPECT_GT(answer->message.finalized_features.size(), 0u);
    }
  });
  stop();
}

// Which those are is held against a genuine node (NodeVector.advertised_versions...).
TEST_F(NodeTest, serves_every_api_in_all_versions_that_are_finished) {
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    const auto answer =
        co_await client.call<protocol::ApiVersionsResponse>(protocol::ApiVersionsRequest{}, 0);
    EXPECT_TRUE(answer.has_value());
    if (!answer) co_return;
    EXPECT_GT(answer->message.api_keys.size(), 25u);
    for (const auto& served : answer->message.api_keys) {
      const protocol::ApiInfo* api = protocol::find_api(served.api_key);
      EXPECT_TRUE(api != nullptr) << served.api_key;
      if (api != nullptr) EXPECT_EQ(served.max_version, api->max_stable()) << api->name;
    }
  });
  stop();
}

struct OffsetTold {
  std::int16_t error = 0;
  Offset offset = 0;
  std::int32_t epoch = 0;

  bool operator==(const OffsetTold&) const = default;
};

io::Task<OffsetTold> offset_at(KafkaClient& client, std::int64_t timestamp, std::int16_t version) {
  protocol::ListOffsetsRequest request;
  auto& topic = request.topics.emplace_back();
  topic.name = "events";
  auto& partition = topic.partitions.emplace_back();
  partition.timestamp = timestamp;
  const auto answer = co_await client.call<protocol::ListOffsetsResponse>(request, version);
  EXPECT_TRUE(answer.has_value());
  if (!answer) co_return OffsetTold{};
  const auto& told = answer->message.topics.at(0).partitions.at(0);
  co_return OffsetTold{told.error_code, told.offset, told.leader_epoch};
}

// As a genuine node does: the transcripts have each of them.
TEST_F(NodeTest, knows_every_special_timestamp) {
  boot(1);
  run(produce_and_fetch);
  run([](KafkaClient& client) -> io::Task<void> {
    const Offset end = (co_await offset_at(client, -1, 11)).offset;
    EXPECT_GT(end, 0);
    const std::int16_t newer = code(ErrorCode::unsupported_version);
    for (const auto& [timestamp, first_version, expected] :
         {std::tuple{-2, 1, OffsetTold{0, 0, 0}}, std::tuple{-4, 8, OffsetTold{0, 0, 0}},
          std::tuple{-5, 9, OffsetTold{0, -1, -1}}, std::tuple{-6, 11, OffsetTold{0, -1, -1}}}) {
      EXPECT_EQ(co_await offset_at(client, timestamp, 11), expected) << timestamp;
      if (first_version == 1) continue;
      const auto before = static_cast<std::int16_t>(first_version - 1);
      EXPECT_EQ((co_await offset_at(client, timestamp, before)).error, newer) << timestamp;
    }
    EXPECT_EQ((co_await offset_at(client, -7, 11)).error, newer);
  });
  stop();
}

TEST_F(NodeTest, describes_topics_in_pages) {
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    EXPECT_EQ(co_await create_topic(client, "a", 3), 0);
    protocol::DescribeTopicPartitionsRequest request;
    request.topics.push_back({"a"});
    // As in Kafka at least one partition is told, whatever the limit says.
    for (const std::int32_t limit : {-1, 0, 1}) {
      request.response_partition_limit = limit;
      const auto answer =
          co_await client.call<protocol::DescribeTopicPartitionsResponse>(request, 0);
      EXPECT_TRUE(answer.has_value());
      if (!answer) co_return;
      EXPECT_EQ(answer->message.topics.at(0).partitions.size(), 1u);
      EXPECT_EQ(answer->message.next_cursor->partition_index, 1);
    }
    for (const auto& [name, partition] : {std::pair{"a", -1}, std::pair{"b", 0}}) {
      request.cursor.emplace();
      request.cursor->topic_name = name;
      request.cursor->partition_index = partition;
      const auto answer =
          co_await client.call<protocol::DescribeTopicPartitionsResponse>(request, 0);
      EXPECT_TRUE(answer.has_value());
      if (!answer) co_return;
      EXPECT_EQ(answer->message.topics.at(0).error_code,
                static_cast<int>(protocol::ErrorCode::invalid_request));
    }
  });
  stop();
}

// As in Kafka ids may be asked for from version 12 on only.
TEST_F(NodeTest, topics_are_not_asked_for_by_id_before_version_12) {
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    EXPECT_EQ(co_await create_topic(client, "topic", 1), 0);
    protocol::MetadataRequest request;
    request.topics->push_back({{}, "topic"});
    const auto named = co_await client.call<protocol::MetadataResponse>(request, 11);
    EXPECT_TRUE(named.has_value());
    if (!named) co_return;
    EXPECT_EQ(named->message.topics.at(0).error_code, 0);
    const Uuid id = named->message.topics.at(0).topic_id;
    const std::optional<std::string_view> no_name;
    for (std::int16_t version = 10; version <= 12; ++version) {
      request.topics->assign(2, {id, no_name});
      if (version < 12) request.topics->back() = {id, "topic"};
      const auto answer = co_await client.call<protocol::MetadataResponse>(request, version);
      EXPECT_TRUE(answer.has_value());
      if (!answer) co_return;
      const auto& topics = answer->message.topics;
      EXPECT_EQ(topics.size(), version < 12 ? 2u : 1u);
      EXPECT_EQ(topics.back().error_code,
                version < 12 ? code(ErrorCode::invalid_request) : code(ErrorCode::none));
    }
  });
  stop();
}

TEST_F(NodeTest, answers_an_unknown_version_of_api_versions) {
  boot(1);
  run(unknown_version);
  stop();
}

io::Task<void> ask_for_coordinators(KafkaClient& client) {
  const auto ask = [](KafkaClient& asking, std::int8_t type) -> io::Task<std::int16_t> {
    protocol::FindCoordinatorRequest request;
    request.key_type = type;
    request.coordinator_keys = {"one"};
    const auto told = co_await asking.call<protocol::FindCoordinatorResponse>(request, 6);
    co_return told ? told->message.coordinators.at(0).error_code : std::int16_t{-1};
  };
  EXPECT_EQ(co_await ask(client, 0), code(ErrorCode::coordinator_not_available));
  EXPECT_EQ(co_await ask(client, 1), code(ErrorCode::transactional_id_authorization_failed));
  EXPECT_EQ(co_await ask(client, 3), code(ErrorCode::invalid_request));
  protocol::InitProducerIdRequest begin;
  begin.transactional_id = "one";
  const auto told = co_await client.call<protocol::InitProducerIdResponse>(begin, 4);
  EXPECT_TRUE(told.has_value());
  if (told)
    EXPECT_EQ(told->message.error_code, code(ErrorCode::transactional_id_authorization_failed));
}

// A transactional producer is to fail, not to wait.
TEST_F(NodeTest, transactions_are_refused_for_good_and_groups_for_now) {
  boot(1);
  run(ask_for_coordinators);
  stop();
}

}  // namespace
}  // namespace drave
