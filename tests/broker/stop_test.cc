// The stop of a node under load, in a simulated world: what was read is answered, what was answered
// is there, and no peer can hold it up.

#include <gtest/gtest.h>

#include <deque>
#include <memory>

#include "broker/limits.h"
#include "io/scope.h"
#include "protocol/messages/api_versions.h"
#include "protocol/messages/list_offsets.h"
#include "tests/broker/support/node_test.h"

namespace drave {
namespace {

using test::batch_of;
using test::create_topic;
using test::fetch_of;
using test::KafkaClient;
using test::NodeTest;

constexpr std::int32_t kPartitions = 6;

io::Task<Offset> end_of(KafkaClient& client, std::string topic, std::int32_t partition) {
  protocol::ListOffsetsRequest request;
  auto& asked = request.topics.emplace_back();
  asked.name = topic;
  auto& at = asked.partitions.emplace_back();
  at.partition_index = partition;
  at.timestamp = -1;
  const auto answer = co_await client.call<protocol::ListOffsetsResponse>(request, 7);
  EXPECT_TRUE(answer.has_value());
  co_return answer ? answer->message.topics.at(0).partitions.at(0).offset : -1;
}

// Far below any time for which a node would wait for its peers.
constexpr Duration kStopTime = milliseconds(300);

bool exists_clean_marker(io::sim::Node& node) {
  return node.disk().exists("data/.kafka_cleanshutdown");
}

// A producer with `kInFlight` requests under way, each with a record for every partition, until the
// node ends the connection.
struct Producer {
  static constexpr int kInFlight = 4;

  explicit Producer(io::Loop& loop) : client(loop) {}

  io::Task<void> run(io::SocketAddress address) {
    EXPECT_TRUE((co_await client.connect(address)).has_value());
    const auto batch = batch_of(1, "river");
    protocol::ProduceRequest request;
    request.acks = -1;
    request.timeout_ms = 30'000;
    auto& data = request.topic_data.emplace_back();
    data.name = "events";
    for (std::int32_t i = 0; i < kPartitions; ++i) data.partition_data.push_back({i, batch});
    for (int i = 0; i < kInFlight; ++i) co_await client.send_bytes(client.frame_of(request, 9));
    for (;;) {
      const auto frame = co_await client.receive_frame();
      if (!frame) {
        end = frame.error().code;
        co_return;
      }
      take(*frame);
      co_await client.send_bytes(client.frame_of(request, 9));
    }
  }
  void take(ByteView frame) {
    protocol::Reader in(frame);
    protocol::ResponseHeader header;
    EXPECT_TRUE(
        decode_response_header(in, header, protocol::ProduceRequest::kApiKey, 9).has_value());
    protocol::ProduceResponse answer;
    EXPECT_TRUE(decode(in, answer, 9).has_value());
    const auto& partitions = answer.responses.at(0).partition_responses;
    EXPECT_EQ(partitions.size(), static_cast<std::size_t>(kPartitions));
    for (const auto& partition : partitions) EXPECT_EQ(partition.error_code, 0);
    ++acknowledged;
  }

  KafkaClient client;
  std::int64_t acknowledged = 0;  // in each partition
  Errc end = Errc::io;
};

class StopTest : public NodeTest {
 protected:
  io::SocketAddress address() const { return {server_.host(), 9092}; }
  bool is_gone(Duration span) {
    return world_.run_until([&] { return !server_.is_running(); }, span);
  }
  void begin(std::function<io::Task<void>(io::Loop&)> program) {
    programs_.push_back(std::move(program));
    const auto& kept = programs_.back();
    io::sim::Node& host = world_.add_node();
    hosts_.push_back(&host);
    host.start([&kept](io::sim::Process& process) { return kept(process.loop(0)); }, 1);
  }
  bool have_ended(Duration span) {
    return world_.run_until(
        [&] {
          return std::none_of(hosts_.begin(), hosts_.end(),
                              [](io::sim::Node* host) { return host->is_running(); });
        },
        span);
  }

  std::deque<std::function<io::Task<void>(io::Loop&)>> programs_;
  std::vector<io::sim::Node*> hosts_;
};

io::Task<void> create_until_the_end(io::Loop& loop, io::SocketAddress address, int& created) {
  KafkaClient client(loop);
  EXPECT_TRUE((co_await client.connect(address)).has_value());
  for (int i = 0;; ++i) {
    const std::int16_t error = co_await create_topic(client, "made-" + std::to_string(i), 3);
    if (error == -1) break;
    EXPECT_EQ(error, 0);
    ++created;
  }
  co_await client.close();
}

io::Task<void> produce_until_the_end(io::Loop& loop, io::SocketAddress address,
                                     std::vector<std::unique_ptr<Producer>>& producers) {
  io::Scope running(loop);
  for (int i = 0; i < 6; ++i) {
    producers.push_back(std::make_unique<Producer>(loop));
    running.spawn(producers.back()->run(address));
  }
  co_await running.join();
  for (const auto& producer : producers) co_await producer->client.close();
}

TEST_F(StopTest, everything_read_is_answered_and_everything_answered_is_there) {
  boot(3);
  run([](KafkaClient& client) -> io::Task<void> {
    EXPECT_EQ(co_await create_topic(client, "events", kPartitions), 0);
  });
  std::vector<std::unique_ptr<Producer>> producers;
  int created = 0;
  begin([&](io::Loop& loop) { return produce_until_the_end(loop, address(), producers); });
  begin([&](io::Loop& loop) { return create_until_the_end(loop, address(), created); });
  const auto acknowledged = [&] {
    std::int64_t sum = 0;
    for (const auto& producer : producers) sum += producer->acknowledged;
    return sum;
  };
  ASSERT_TRUE(world_.run_until([&] { return acknowledged() > 200 && created > 1; }, seconds(60)));
  server_.stop();
  ASSERT_TRUE(is_gone(kStopTime));
  ASSERT_TRUE(have_ended(seconds(10)));
  EXPECT_TRUE(exists_clean_marker(server_));
  // Each was closed after an answer, none was reset.
  for (const auto& producer : producers) EXPECT_EQ(producer->end, Errc::closed);
  boot(2);
  run([&](KafkaClient& client) -> io::Task<void> {
    for (std::int32_t i = 0; i < kPartitions; ++i)
      EXPECT_EQ(co_await end_of(client, "events", i), acknowledged());
    for (int i = 0; i < created; ++i)
      EXPECT_EQ(co_await end_of(client, "made-" + std::to_string(i), 2), 0);
  });
  stop();
}

// More than the journal can write, and nothing will make room for it.
io::Task<void> fill_the_journal(io::Loop& loop, io::SocketAddress address, io::sim::Disk& disk,
                                bool& is_full) {
  KafkaClient client(loop);
  EXPECT_TRUE((co_await client.connect(address)).has_value());
  disk.options().capacity_bytes -= disk.free_space().available;
  const auto batch = batch_of(1, std::string(900'000, 'x'));
  for (int i = 0; i < 8; ++i)
    co_await client.send_bytes(client.frame_of(test::produce_of("events", 0, batch), 9));
  co_await client.wait(seconds(2));
  is_full = true;
  while (co_await client.receive_frame()) {
  }
  co_await client.close();
}

TEST_F(StopTest, records_that_a_full_disk_does_not_take_do_not_hold_it_up) {
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    EXPECT_EQ(co_await create_topic(client, "events", 1), 0);
  });
  bool is_full = false;
  begin([&](io::Loop& loop) { return fill_the_journal(loop, address(), server_.disk(), is_full); });
  ASSERT_TRUE(world_.run_until([&] { return is_full; }, seconds(30)));
  server_.stop();
  EXPECT_TRUE(is_gone(seconds(30)));
  if (server_.is_running()) server_.kill();
  EXPECT_TRUE(have_ended(seconds(10)));
  EXPECT_FALSE(exists_clean_marker(server_));
}

// Asks for what will never come.
io::Task<void> wait_for_records(io::Loop& loop, io::SocketAddress address, bool& waiting,
                                bool& answered) {
  KafkaClient client(loop);
  EXPECT_TRUE((co_await client.connect(address)).has_value());
  waiting = true;
  const auto fetched =
      co_await client.call<protocol::FetchResponse>(fetch_of("events", 0, 0, 60'000), 12);
  EXPECT_TRUE(fetched.has_value());
  if (fetched) {
    EXPECT_EQ(fetched->message.responses.at(0).partitions.at(0).error_code, 0);
    answered = true;
  }
  EXPECT_EQ((co_await client.receive_frame()).error().code, Errc::closed);
  co_await client.close();
}

TEST_F(StopTest, a_parked_fetch_is_answered_at_once) {
  boot(2);
  run([](KafkaClient& client) -> io::Task<void> {
    EXPECT_EQ(co_await create_topic(client, "events", kPartitions), 0);
  });
  bool waiting = false, answered = false;
  begin([&](io::Loop& loop) { return wait_for_records(loop, address(), waiting, answered); });
  ASSERT_TRUE(world_.run_until([&] { return waiting; }, seconds(10)));
  world_.run_for(seconds(1));
  EXPECT_FALSE(answered);
  server_.stop();
  ASSERT_TRUE(is_gone(kStopTime));
  ASSERT_TRUE(have_ended(seconds(1)));
  EXPECT_TRUE(answered);
}

// Sends a request and the head of another, and never reads or closes.
io::Task<void> fall_silent(io::Loop& loop, io::SocketAddress address, bool& sent) {
  KafkaClient client(loop);
  EXPECT_TRUE((co_await client.connect(address)).has_value());
  auto bytes = client.frame_of(protocol::ApiVersionsRequest{}, 0);
  const auto next = client.frame_of(protocol::ApiVersionsRequest{}, 0);
  bytes.insert(bytes.end(), next.begin(), next.end() - 1);
  EXPECT_TRUE((co_await client.send_bytes(std::move(bytes))).has_value());
  sent = true;
  co_await client.wait(seconds(30));
  co_await client.close();
}

TEST_F(StopTest, a_peer_that_does_not_close_is_left_behind) {
  boot(2);
  bool sent = false;
  begin([&](io::Loop& loop) { return fall_silent(loop, address(), sent); });
  ASSERT_TRUE(world_.run_until([&] { return sent; }, seconds(10)));
  world_.run_for(milliseconds(100));
  server_.stop();
  EXPECT_FALSE(is_gone(broker::kStopLingerMax - milliseconds(100)));
  ASSERT_TRUE(is_gone(seconds(1)));
  EXPECT_TRUE(exists_clean_marker(server_));
}

// Asks for more than fits between node and peer, several times, and takes nothing of it.
io::Task<void> ask_and_not_read(io::Loop& loop, io::SocketAddress address, bool& asked) {
  KafkaClient client(loop);
  EXPECT_TRUE((co_await client.connect(address)).has_value());
  EXPECT_EQ(co_await create_topic(client, "events", 1), 0);
  const auto batch = batch_of(1, std::string(256 * kKiB, 'x'));
  const auto produced =
      co_await client.call<protocol::ProduceResponse>(test::produce_of("events", 0, batch), 9);
  EXPECT_TRUE(produced.has_value());
  for (int i = 0; i < 3; ++i)
    co_await client.send_bytes(client.frame_of(fetch_of("events", 0, 0), 12));
  asked = true;
  co_await client.wait(seconds(30));
  co_await client.close();
}

TEST_F(StopTest, a_peer_that_takes_nothing_is_cut_off_in_the_end) {
  boot(2);
  bool asked = false;
  begin([&](io::Loop& loop) { return ask_and_not_read(loop, address(), asked); });
  ASSERT_TRUE(world_.run_until([&] { return asked; }, seconds(10)));
  world_.run_for(milliseconds(100));
  server_.stop();
  EXPECT_FALSE(is_gone(broker::kStopDrainMax - milliseconds(100)));
  ASSERT_TRUE(is_gone(seconds(1)));
  EXPECT_TRUE(exists_clean_marker(server_));
}

TEST_F(StopTest, the_second_signal_cuts_off_and_the_logs_are_clean) {
  boot(3);
  bool asked = false;
  begin([&](io::Loop& loop) { return ask_and_not_read(loop, address(), asked); });
  ASSERT_TRUE(world_.run_until([&] { return asked; }, seconds(10)));
  server_.stop();
  EXPECT_FALSE(is_gone(milliseconds(200)));
  server_.stop();
  ASSERT_TRUE(is_gone(kStopTime));
  EXPECT_TRUE(exists_clean_marker(server_));
  boot(2);
  run([&](KafkaClient& client) -> io::Task<void> {
    EXPECT_EQ(co_await end_of(client, "events", 0), 1);
  });
  stop();
}

}  // namespace
}  // namespace drave
