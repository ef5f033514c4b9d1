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

// A request of `bytes` and more.
std::vector<std::uint8_t> large_request(KafkaClient& client, std::size_t bytes) {
  static const std::string name(200, 't');
  protocol::MetadataRequest request;
  request.topics.emplace(bytes / name.size() + 1);
  for (auto& topic : *request.topics) topic.name = name;
  request.allow_auto_topic_creation = false;
  return client.frame_of(request, 4);
}

// Sends what is behind a large request, in pieces that end at `cuts`, with a pause after each, and
// expects answers to all of it in order.
io::Task<void> expect_answers(KafkaClient& client, std::vector<std::uint8_t> behind,
                              std::vector<std::size_t> cuts, int requests) {
  const auto first = load_big<std::int32_t>(behind.data() + 8);  // the correlation id
  std::size_t sent = 0;
  cuts.push_back(behind.size());
  for (const std::size_t cut : cuts) {
    const auto at = behind.begin();
    std::vector<std::uint8_t> piece(at + static_cast<std::ptrdiff_t>(sent),
                                    at + static_cast<std::ptrdiff_t>(cut));
    EXPECT_TRUE((co_await client.send_bytes(std::move(piece))).has_value());
    co_await client.wait(milliseconds(5));
    sent = cut;
  }
  for (std::int32_t number = 0; number < requests; ++number) {
    const auto answer = co_await client.receive_frame();
    EXPECT_TRUE(answer.has_value());
    if (answer) EXPECT_EQ(load_big<std::int32_t>(answer->data()), first + number);
  }
}

io::Task<void> requests_behind_large_ones(KafkaClient& client) {
  constexpr std::size_t kLarge = 100'000;
  for (const std::vector<std::size_t>& cuts : std::vector<std::vector<std::size_t>>{
           {}, {1}, {3}, {4}, {5}, {1, 2, 3, 4, 5, 6}, {4, 30}, {30, 31, 32}}) {
    std::vector<std::uint8_t> behind;
    const auto add = [&](const std::vector<std::uint8_t>& frame) {
      behind.insert(behind.end(), frame.begin(), frame.end());
    };
    const auto large = large_request(client, kLarge);
    EXPECT_TRUE((co_await client.send_bytes(large)).has_value());
    EXPECT_TRUE((co_await client.receive_frame()).has_value());
    for (int i = 0; i < 3; ++i) add(client.frame_of(protocol::ApiVersionsRequest{}, 0));
    add(large_request(client, kLarge));
    add(large_request(client, 2 * kLarge));
    add(client.frame_of(protocol::ApiVersionsRequest{}, 0));
    co_await expect_answers(client, std::move(behind), cuts, 6);
  }
}

TEST_F(ConnectionTest, takes_what_follows_a_large_frame_however_it_comes) {
  EXPECT_TRUE(run(requests_behind_large_ones, seconds(20)));
}

io::Task<void> length_behind_a_large_request(KafkaClient& client,
                                             std::vector<std::uint8_t> length) {
  EXPECT_TRUE((co_await client.send_bytes(large_request(client, 100'000))).has_value());
  EXPECT_TRUE((co_await client.receive_frame()).has_value());
  EXPECT_TRUE((co_await client.send_bytes(std::move(length))).has_value());
  EXPECT_FALSE((co_await client.receive_frame()).has_value());
}

TEST_F(ConnectionTest, closes_at_a_length_that_cannot_be_behind_a_large_frame) {
  for (const std::vector<std::uint8_t>& length : std::vector<std::vector<std::uint8_t>>{
           {0, 0, 0, 0}, {255, 255, 255, 254}, {127, 255, 255, 255}}) {
    EXPECT_TRUE(
        run([&](KafkaClient& client) { return length_behind_a_large_request(client, length); },
            seconds(2)));
  }
}

}  // namespace
}  // namespace drave
