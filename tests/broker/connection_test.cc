// What a connection does with clients that break the rules, in a simulated world.

#include "broker/net/connection.h"

#include <gtest/gtest.h>

#include "io/sim/world.h"
#include "protocol/messages/api_versions.h"
#include "protocol/messages/metadata.h"
#include "tests/broker/support/sim_node.h"

namespace drave {
namespace {

using test::KafkaClient;

class ConnectionTest : public testing::Test {
 protected:
  ConnectionTest()
      : server_(world_.add_node()),
        client_(world_.add_node()),
        node_(server_, test::config_for(server_)) {
    node_.start(1);
    EXPECT_TRUE(world_.run_until([&] { return node_.is_ready() || !node_.problem().empty(); },
                                 seconds(60)));
    EXPECT_EQ(node_.problem(), "");
  }
  ~ConnectionTest() override {
    server_.stop();
    EXPECT_TRUE(world_.run_until([&] { return !server_.is_running(); }, seconds(60)));
  }
  // Runs `script` as a client's program; false: it has not ended after `span`.
  template <class Script>
  bool run(Script script, Duration span) {
    client_.start([&](io::sim::Process& process) { return play(process, script); }, 1);
    return world_.run_until([&] { return !client_.is_running(); }, span);
  }
  template <class Script>
  io::Task<void> play(io::sim::Process& process, Script& script) {
    KafkaClient client(process.loop(0));
    const Result<void> connected = co_await client.connect({server_.host(), 9092});
    EXPECT_TRUE(connected.has_value());
    if (connected) co_await script(client);
    co_await client.close();
  }

  io::sim::World world_{1};
  io::sim::Node& server_;
  io::sim::Node& client_;
  test::SimNode node_;
};

// A good request, one whose body ends too early, another good one; then the client only waits.
io::Task<void> cut_request_between_good_ones(KafkaClient& client) {
  std::vector<std::uint8_t> bytes = client.frame_of(protocol::ApiVersionsRequest{}, 0);
  std::vector<std::uint8_t> cut = client.frame_of(protocol::MetadataRequest{}, 1);
  cut.resize(cut.size() - 2);
  store_big(cut.data(), static_cast<std::int32_t>(cut.size() - 4));
  const std::vector<std::uint8_t> last = client.frame_of(protocol::ApiVersionsRequest{}, 0);
  bytes.insert(bytes.end(), cut.begin(), cut.end());
  bytes.insert(bytes.end(), last.begin(), last.end());
  EXPECT_TRUE((co_await client.send_bytes(std::move(bytes))).has_value());
  const auto answer = co_await client.receive_frame();
  EXPECT_TRUE(answer.has_value());
  const auto end = co_await client.receive_frame();
  EXPECT_FALSE(end.has_value());
}

TEST_F(ConnectionTest, closes_after_a_request_that_cannot_be_read_though_the_client_is_silent) {
  EXPECT_TRUE(run(cut_request_between_good_ones, seconds(2)));
}

io::Task<void> length_in_two_pieces(KafkaClient& client, std::vector<std::uint8_t> length) {
  EXPECT_TRUE((co_await client.send_bytes({length[0], length[1]})).has_value());
  co_await client.wait(milliseconds(20));
  EXPECT_TRUE((co_await client.send_bytes({length[2], length[3]})).has_value());
  EXPECT_FALSE((co_await client.receive_frame()).has_value());
}

TEST_F(ConnectionTest, closes_at_a_negative_length_that_comes_in_pieces) {
  EXPECT_TRUE(
      run([](KafkaClient& client) { return length_in_two_pieces(client, {255, 255, 255, 254}); },
          seconds(2)));
}

TEST_F(ConnectionTest, closes_at_an_empty_frame_whose_length_comes_in_pieces) {
  EXPECT_TRUE(run([](KafkaClient& client) { return length_in_two_pieces(client, {0, 0, 0, 0}); },
                  seconds(2)));
}

}  // namespace
}  // namespace drave
