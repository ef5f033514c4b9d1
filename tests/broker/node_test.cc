// A whole node in a simulated world, asked by a client through the wire.

#include "broker/node.h"

#include <gtest/gtest.h>

#include "io/sim/world.h"
#include "protocol/batch_builder.h"
#include "protocol/error_code.h"
#include "protocol/messages/api_versions.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/init_producer_id.h"
#include "protocol/messages/list_offsets.h"
#include "protocol/messages/metadata.h"
#include "protocol/messages/produce.h"
#include "tests/broker/support/sim_node.h"

namespace drave {
namespace {

using protocol::ErrorCode;
using test::KafkaClient;

std::int16_t code(ErrorCode error) {
  return static_cast<std::int16_t>(error);
}

std::vector<std::uint8_t> batch_of(int records, std::string_view value) {
  protocol::BatchBuilder builder{protocol::BatchOptions{}};
  for (int i = 0; i < records; ++i)
    builder.append(1'760'000'000'000, std::nullopt, as_bytes(value));
  return std::move(builder).finish();
}

protocol::ProduceRequest produce_of(std::string_view topic, std::int32_t partition, ByteView batch,
                                    std::int16_t acks = -1) {
  protocol::ProduceRequest request;
  request.acks = acks;
  request.timeout_ms = 30'000;
  auto& data = request.topic_data.emplace_back();
  data.name = topic;
  data.partition_data.push_back({partition, batch});
  return request;
}

protocol::FetchRequest fetch_of(std::string_view topic, std::int32_t partition, Offset offset,
                                std::int32_t wait_ms = 500) {
  protocol::FetchRequest request;
  request.max_wait_ms = wait_ms;
  request.min_bytes = 1;
  request.max_bytes = 1 << 20;
  auto& wanted = request.topics.emplace_back();
  wanted.topic = topic;
  auto& at = wanted.partitions.emplace_back();
  at.partition = partition;
  at.fetch_offset = offset;
  at.partition_max_bytes = 1 << 20;
  return request;
}

class NodeTest : public testing::Test {
 protected:
  NodeTest() : server_(world_.add_node()), client_(world_.add_node()) {}

  void boot(std::uint32_t shards) {
    if (node_ == nullptr)
      node_ = std::make_unique<test::SimNode>(server_, test::config_for(server_));
    node_->start(shards);
    ASSERT_TRUE(world_.run_until([&] { return node_->is_ready() || !node_->problem().empty(); },
                                 seconds(60)));
    ASSERT_EQ(node_->problem(), "");
  }
  // Runs `script` as a client's program to its end.
  template <class Script>
  void run(Script script) {
    bool done = false;
    client_.start([&](io::sim::Process& process) { return play(process, script, done); }, 1);
    ASSERT_TRUE(world_.run_until([&] { return done && !client_.is_running(); }, seconds(300)));
  }
  void stop() {
    server_.stop();
    ASSERT_TRUE(world_.run_until([&] { return !server_.is_running(); }, seconds(60)));
  }
  template <class Script>
  io::Task<void> play(io::sim::Process& process, Script& script, bool& done) {
    KafkaClient client(process.loop(0));
    const Result<void> connected = co_await client.connect({server_.host(), 9092});
    EXPECT_TRUE(connected.has_value());
    if (connected) co_await script(client);
    co_await client.close();
    done = true;
  }

  io::sim::World world_{1};
  io::sim::Node& server_;
  io::sim::Node& client_;
  std::unique_ptr<test::SimNode> node_;
};

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
  protocol::CreateTopicsRequest create;
  create.timeout_ms = 10'000;
  auto& topic = create.topics.emplace_back();
  topic.name = "events";
  topic.num_partitions = 4;
  topic.replication_factor = 1;
  const auto created = co_await client.call<protocol::CreateTopicsResponse>(create, 7);
  EXPECT_TRUE(created.has_value());
  if (!created) co_return;
  EXPECT_EQ(created->message.topics.at(0).error_code, 0);
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

TEST_F(NodeTest, answers_an_unknown_version_of_api_versions) {
  boot(1);
  run(unknown_version);
  stop();
}

}  // namespace
}  // namespace drave
