#pragma once
// Tests of a whole node in a simulated world, asked by a client through the wire.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "io/sim/world.h"
#include "protocol/batch_builder.h"
#include "protocol/error_code.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/produce.h"
#include "tests/broker/support/sim_node.h"

namespace drave::test {

inline std::int16_t code(protocol::ErrorCode error) {
  return static_cast<std::int16_t>(error);
}

inline std::vector<std::uint8_t> batch_of(int records, std::string_view value) {
  protocol::BatchBuilder builder{protocol::BatchOptions{}};
  for (int i = 0; i < records; ++i)
    builder.append(1'760'000'000'000, std::nullopt, as_bytes(value));
  return std::move(builder).finish();
}

inline protocol::ProduceRequest produce_of(std::string_view topic, std::int32_t partition,
                                           ByteView batch, std::int16_t acks = -1) {
  protocol::ProduceRequest request;
  request.acks = acks;
  request.timeout_ms = 30'000;
  auto& data = request.topic_data.emplace_back();
  data.name = topic;
  data.partition_data.push_back({partition, batch});
  return request;
}

inline protocol::FetchRequest fetch_of(std::string_view topic, std::int32_t partition,
                                       Offset offset, std::int32_t wait_ms = 500) {
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

// The error code that came of it; -1: no answer.
inline io::Task<std::int16_t> create_topic(KafkaClient& client, std::string name,
                                           std::int32_t partitions = 1,
                                           std::int32_t timeout_ms = 10'000) {
  protocol::CreateTopicsRequest request;
  request.timeout_ms = timeout_ms;
  auto& topic = request.topics.emplace_back();
  topic.name = name;
  topic.num_partitions = partitions;
  topic.replication_factor = 1;
  const auto answer = co_await client.call<protocol::CreateTopicsResponse>(request, 7);
  co_return answer ? answer->message.topics.at(0).error_code : std::int16_t{-1};
}

class NodeTest : public testing::Test {
 protected:
  NodeTest() : server_(world_.add_node()), client_(world_.add_node()) {}

  void boot(std::uint32_t shards) {
    if (node_ == nullptr)
      node_ = std::make_unique<SimNode>(server_, config_for(server_, settings_));
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

  std::vector<std::string> settings_;  // of the node, beside sim_node.h's; set before boot()
  io::sim::World world_{1};
  io::sim::Node& server_;
  io::sim::Node& client_;
  std::unique_ptr<test::SimNode> node_;
};

}  // namespace drave::test
