#pragma once
// A node in a simulated world whose insides the tests of its bounds may look at, and hosts from
// which clients come.

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/node.h"
#include "io/sim/world.h"
#include "protocol/batch_builder.h"
#include "protocol/messages/api_versions.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/metadata.h"
#include "protocol/messages/produce.h"
#include "tests/broker/support/sim_node.h"

namespace drave::test {

inline std::vector<std::uint8_t> batch_of_size(std::size_t bytes) {
  protocol::BatchBuilder builder{protocol::BatchOptions{}};
  const std::string value(bytes, 'v');
  builder.append(1'760'000'000'000, std::nullopt, as_bytes(value));
  return std::move(builder).finish();
}

inline protocol::ProduceRequest produce_to(std::string_view topic, ByteView batch,
                                           std::int16_t acks = -1) {
  protocol::ProduceRequest request;
  request.acks = acks;
  request.timeout_ms = 30'000;
  auto& data = request.topic_data.emplace_back();
  data.name = topic;
  data.partition_data.push_back({0, batch});
  return request;
}

inline protocol::FetchRequest fetch_from(std::string_view topic, Offset offset,
                                         std::int32_t bytes_max, std::int32_t wait_ms) {
  protocol::FetchRequest request;
  request.max_wait_ms = wait_ms;
  request.min_bytes = 1;
  request.max_bytes = bytes_max;
  auto& wanted = request.topics.emplace_back();
  wanted.topic = topic;
  auto& at = wanted.partitions.emplace_back();
  at.fetch_offset = offset;
  at.partition_max_bytes = bytes_max;
  return request;
}

class BoundedNodeTest : public testing::Test {
 protected:
  using Peers = std::vector<std::unique_ptr<KafkaClient>>;

  BoundedNodeTest() : BoundedNodeTest(io::sim::NodeOptions{}) {}
  explicit BoundedNodeTest(io::sim::NodeOptions server) : server_(world_.add_node(server)) {}
  ~BoundedNodeTest() override {
    server_.stop();
    EXPECT_TRUE(world_.run_until([&] { return !server_.is_running(); }, seconds(120)));
  }

  void boot(const std::vector<std::string>& settings = {}) {
    sim_node_.emplace(server_, config_for(server_, settings));
    sim_node_->start(1);
    ASSERT_TRUE(world_.run_until([&] { return sim_node_->is_ready(); }, seconds(60)));
    node_ = sim_node_->node();
  }

  // Runs `script`, a client's program on a host of its own, to its end.
  using Script = std::function<io::Task<void>(io::Loop&)>;
  void run(Script script, Duration span = seconds(300)) {
    io::sim::Node& host = begin(std::move(script));
    ASSERT_TRUE(world_.run_until([&] { return !host.is_running(); }, span));
  }
  // The same, without waiting for its end.
  io::sim::Node& begin(Script script) {
    io::sim::Node& host = world_.add_node();
    scripts_.push_back(std::make_unique<Script>(std::move(script)));
    const Script& kept = *scripts_.back();
    host.start([&kept](io::sim::Process& process) { return kept(process.loop(0)); }, 1);
    return host;
  }
  bool wait_for(const std::function<bool()>& done, Duration span) {
    return world_.run_until(done, span);
  }

  io::Task<void> connect(io::Loop& loop, Peers& peers, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      auto& peer = peers.emplace_back(std::make_unique<KafkaClient>(loop));
      const Result<void> connected = co_await peer->connect({server_.host(), 9092});
      EXPECT_TRUE(connected.has_value());
    }
  }
  static io::Task<void> close(Peers& peers) {
    for (std::size_t i = 0; i < peers.size(); ++i) co_await peers[i]->close();
    peers.clear();
  }
  // Whether it is answered; false: it was closed.
  static io::Task<bool> is_served(KafkaClient& peer) {
    const auto answer =
        co_await peer.call<protocol::ApiVersionsResponse>(protocol::ApiVersionsRequest{}, 0);
    co_return answer.has_value();
  }
  // Makes the topic, by asking for it, and appends `count` batches of that size.
  io::Task<void> fill(io::Loop& loop, std::string topic, int count, std::size_t bytes) {
    KafkaClient client(loop);
    EXPECT_TRUE((co_await client.connect({server_.host(), 9092})).has_value());
    protocol::MetadataRequest metadata;
    metadata.topics->push_back({{}, topic});
    EXPECT_TRUE((co_await client.call<protocol::MetadataResponse>(metadata, 12)).has_value());
    const auto batch = batch_of_size(bytes);
    for (int i = 0; i < count; ++i) {
      const auto done =
          co_await client.call<protocol::ProduceResponse>(produce_to(topic, batch), 9);
      EXPECT_TRUE(done.has_value());
      if (done) EXPECT_EQ(done->message.responses[0].partition_responses[0].error_code, 0);
    }
    co_await client.close();
  }

  std::size_t connection_count() const { return node_->shard(0).connection_count(); }
  Instant now() const { return world_.now(); }

  io::sim::World world_{1};
  io::sim::Node& server_;
  broker::Node* node_ = nullptr;

 private:
  std::optional<SimNode> sim_node_;
  std::vector<std::unique_ptr<Script>> scripts_;
};

}  // namespace drave::test
