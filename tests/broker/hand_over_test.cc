// Nodes of a cluster that stop, under a stream of topic creations: who creates topics waits for
// moments only, nothing acknowledged is lost, and every stop comes to its end, also where nobody is
// left to agree to it. One world per seed; DRAVE_HAND_OVER_SEEDS=N tries more of them.

#include <cstdlib>
#include <deque>
#include <set>

#include "base/random.h"
#include "broker/limits.h"
#include "protocol/messages/api_versions.h"
#include "tests/broker/support/sim_cluster.h"

namespace drave {
namespace {

using test::ClusterTest;
using test::KafkaClient;

// The way of a hand-over is a few writes and messages; 14 ms are usual in the simulated world, and
// 23 ms the most of 60 seeds.
constexpr Duration kHandOverMax = milliseconds(50);
// A second for a controller that would agree, and one for what waits to be committed.
constexpr Duration kStopMax = milliseconds(2500);

// Creates topics, one after the other, through one node after the other.
struct Stream {
  Stream(std::vector<io::SocketAddress> nodes, std::string prefix)
      : addresses(std::move(nodes)), name(std::move(prefix)) {}

  io::Task<void> run(io::Loop& loop) {
    acknowledged = loop.now();
    for (std::size_t at = 0; !ends; ++at) {
      KafkaClient client(loop);
      const Result<void> connected = co_await client.connect(addresses[at % addresses.size()]);
      if (connected) co_await create_some(client);
      if (client.is_open()) co_await client.close();
      co_await io::sleep_for(loop, milliseconds(1));
    }
  }
  io::Task<void> create_some(KafkaClient& client) {
    for (int i = 0; i < 5 && !ends; ++i) {
      const std::string topic = name + std::to_string(++count);
      const std::int16_t error = co_await test::create_topic(client, topic, 1, 2'000);
      if (error == -1) co_return;
      not_controller += error == static_cast<std::int16_t>(protocol::ErrorCode::not_controller);
      if (error != 0) continue;
      made.insert(topic);
      gap = std::max(gap, client.loop().now() - acknowledged);
      acknowledged = client.loop().now();
    }
  }

  std::vector<io::SocketAddress> addresses;
  std::string name;
  int count = 0;
  bool ends = false;
  std::set<std::string> made;
  Instant acknowledged;
  Duration gap{};          // the longest between two acknowledgements
  int not_controller = 0;  // answers that say so
};

class Streams : public ClusterTest {
 public:
  explicit Streams(std::uint64_t seed) : ClusterTest(seed), random_(seed) {}
  void TestBody() override {}

  void begin(int index) { begin(std::vector{index}); }
  void begin(const std::vector<int>& through) {
    std::vector<io::SocketAddress> addresses;
    for (const int index : through) addresses.push_back({machines_[index]->host(), 9092});
    Stream& stream = streams_.emplace_back(addresses, "s" + std::to_string(streams_.size()) + "-");
    io::sim::Node& host = world_.add_node();
    hosts_.push_back(&host);
    host.start([&stream](io::sim::Process& process) { return stream.run(process.loop(0)); }, 1);
  }
  void end_streams() {
    for (Stream& stream : streams_) stream.ends = true;
    for (io::sim::Node* host : hosts_)
      EXPECT_TRUE(world_.run_until([host] { return !host->is_running(); }, seconds(30)));
    hosts_.clear();
  }
  // Everything that was acknowledged is in the image of each node that runs.
  bool all_are_known() {
    for (int i = 0; i < kNodes; ++i) {
      if (nodes_[i]->node() == nullptr) continue;
      const auto& topics = image_of(i).topics().by_name();
      for (const Stream& stream : streams_)
        for (const std::string& name : stream.made)
          if (topics.find(name) == topics.end()) return false;
    }
    return true;
  }
  Duration draw(std::int64_t most_us) { return microseconds(random_.between(0, most_us)); }

  void hand_over();
  void stop_together();

 private:
  Random random_;
  std::deque<Stream> streams_;
  std::vector<io::sim::Node*> hosts_;
};

void Streams::hand_over() {
  boot();
  const int first = wait_active();
  const std::vector<int> rest{(first + 1) % kNodes, (first + 2) % kNodes};
  begin(rest);
  begin(rest[0]);
  begin(rest[1]);
  begin(first);  // its requests are answered before it leaves, by the next controller if need be
  world_.run_for(milliseconds(50) + draw(50'000));
  for (Stream& stream : streams_) stream.gap = {};
  machines_[first]->stop();
  EXPECT_TRUE(world_.run_until([&] { return !machines_[first]->is_running(); }, kStopMax));
  world_.run_for(milliseconds(500));
  for (std::size_t i = 0; i < 3; ++i) {
    const Stream& stream = streams_[i];
    EXPECT_LT(std::max(stream.gap, world_.now() - stream.acknowledged), kHandOverMax);
  }
  for (const Stream& stream : streams_) EXPECT_EQ(stream.not_controller, 0);
  end_streams();
  EXPECT_TRUE(world_.run_until([&] { return all_are_known(); }, seconds(5)));
  shut_down();
}

void Streams::stop_together() {
  boot();
  wait_active();
  for (int i = 0; i < kNodes; ++i) begin(i);
  world_.run_for(milliseconds(20) + draw(50'000));
  // Some at once, some one after the other; now and then somebody is impatient.
  const std::int64_t apart_us = std::int64_t{1} << random_.below(19);
  const bool twice = random_.below(3) == 0;
  const int shift = static_cast<int>(random_.below(kNodes));
  for (int i = 0; i < kNodes; ++i) {
    machines_[(i + shift) % kNodes]->stop();
    world_.run_for(draw(apart_us));
  }
  for (int i = 0; twice && i < kNodes; ++i)
    if (machines_[i]->is_running()) machines_[i]->stop();
  const auto ended = [&] {
    return std::none_of(machines_.begin(), machines_.end(),
                        [](const io::sim::Node* machine) { return machine->is_running(); });
  };
  EXPECT_TRUE(world_.run_until(ended, kStopMax));
  end_streams();
  boot();
  EXPECT_TRUE(world_.run_until([&] { return all_are_known(); }, seconds(5)));
  shut_down();
}

// Asks for more than the wire holds, and reads nothing.
io::Task<void> ask_and_not_read(io::Loop& loop, io::SocketAddress address) {
  KafkaClient client(loop);
  EXPECT_TRUE((co_await client.connect(std::move(address))).has_value());
  for (int i = 0; i < 400; ++i) {
    auto frame = client.frame_of(protocol::ApiVersionsRequest{}, 0);
    if (!co_await client.send_bytes(std::move(frame))) break;
  }
  co_await client.wait(seconds(60));
  co_await client.close();
}

std::uint64_t seeds() {
  const char* more = std::getenv("DRAVE_HAND_OVER_SEEDS");
  return more == nullptr ? 6 : std::strtoull(more, nullptr, 10);
}

TEST(HandOver, who_creates_topics_hardly_notices) {
  for (std::uint64_t seed = 1; seed <= seeds(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Streams(seed).hand_over();
  }
}

TEST(HandOver, nodes_that_stop_together_come_to_their_end) {
  for (std::uint64_t seed = 1; seed <= seeds(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Streams(seed).stop_together();
  }
}

// The node that would be chosen has left the cluster, and is still busy with a client.
TEST_F(ClusterTest, a_controller_does_not_hand_over_to_a_node_that_leaves_itself) {
  boot();
  const int first = wait_active();
  const int second = first == 0 ? 1 : 0;
  const int third = kNodes - first - second;
  io::sim::Node& host = world_.add_node();
  const io::SocketAddress address{machines_[second]->host(), 9092};
  host.start(
      [address](io::sim::Process& process) { return ask_and_not_read(process.loop(0), address); },
      1);
  world_.run_for(seconds(1));
  machines_[second]->stop();
  const auto has_left = [&] { return image_of(first).broker(second + 1)->fenced; };
  EXPECT_TRUE(world_.run_until(has_left, seconds(1)));
  world_.run_for(milliseconds(20));
  ASSERT_TRUE(machines_[second]->is_running());
  machines_[first]->stop();
  const auto has_next = [&] { return active() >= 0 && active() != first; };
  EXPECT_TRUE(world_.run_until(has_next, kHandOverMax));
  EXPECT_EQ(active(), third);
  host.kill();
  shut_down();
}

// Two bounds see to it, the connection's (kDrainTimeMax) and the drain's (kStopDrainMax): either is
// enough for this.
TEST_F(ClusterTest, a_controllers_peer_that_reads_nothing_does_not_hold_up_a_stop) {
  boot();
  const int first = wait_active();
  io::sim::Node& host = world_.add_node();
  const io::SocketAddress address{machines_[first]->host(), 9093};
  host.start(
      [address](io::sim::Process& process) { return ask_and_not_read(process.loop(0), address); },
      1);
  world_.run_for(seconds(1));
  const Instant asked = world_.now();
  machines_[first]->stop();
  EXPECT_TRUE(world_.run_until([&] { return !machines_[first]->is_running(); }, seconds(60)));
  // The peer did hold it up: else this shows nothing.
  EXPECT_GT(world_.now() - asked, milliseconds(900));
  EXPECT_LT(world_.now() - asked, broker::kStopDrainMax + kStopMax);
  host.kill();
  shut_down();
}

}  // namespace
}  // namespace drave
