// The bounds on connections: how many, how long. Each test fails where its bound is taken away.

#include "broker/fetch/fetch_session.h"
#include "broker/limits.h"
#include "tests/broker/net/bounded_node.h"

namespace drave {
namespace {

using test::BoundedNodeTest;
using test::KafkaClient;

class ConnectionBounds : public BoundedNodeTest {
 protected:
  using BoundedNodeTest::BoundedNodeTest;

  // Connects `count` times more; how many of those are served.
  io::Task<void> try_many(io::Loop& loop, Peers& peers, std::size_t count, std::size_t& served) {
    const std::size_t first = peers.size();
    co_await connect(loop, peers, count);
    served = 0;
    for (std::size_t i = first; i < peers.size(); ++i) served += co_await is_served(*peers[i]);
  }

  io::Task<void> fill_and_free(io::Loop& loop) {
    Peers peers;
    std::size_t served = 0;
    co_await try_many(loop, peers, 5, served);
    EXPECT_EQ(served, 3U);
    EXPECT_TRUE(co_await is_served(*peers[0]));
    co_await peers[0]->close();
    co_await peers[1]->wait(milliseconds(100));
    co_await try_many(loop, peers, 2, served);
    EXPECT_EQ(served, 1U);
    co_await close(peers);
  }
  io::Task<void> fill_host(io::Loop& loop, std::size_t most, bool& filled, const bool& end) {
    Peers peers;
    std::size_t served = 0;
    co_await try_many(loop, peers, most + 2, served);
    EXPECT_EQ(served, most);
    filled = true;
    while (!end) co_await io::sleep_for(loop, milliseconds(10));
    co_await close(peers);
  }

  // One connection that does `act`, then waits for the node to close it.
  using Act = io::Task<void> (*)(KafkaClient&);
  io::Task<void> act_and_wait(io::Loop& loop, Act act) {
    KafkaClient peer(loop);
    EXPECT_TRUE((co_await peer.connect({server_.host(), 9092})).has_value());
    co_await act(peer);
    while ((co_await peer.receive_frame()).has_value()) {
    }
    co_await peer.close();
  }
  // How long the node keeps a connection that does `act`; `most`: so long, or longer.
  Duration kept_for(Act act, Duration most) {
    begin([this, act](io::Loop& loop) { return act_and_wait(loop, act); });
    EXPECT_TRUE(wait_for([this] { return connection_count() == 1; }, seconds(5)));
    const Instant begun = now();
    wait_for([this] { return connection_count() == 0; }, most);
    return now() - begun;
  }

  io::Task<void> talk(io::Loop& loop, int times, Duration pause) {
    Peers peers;
    co_await connect(loop, peers, 1);
    for (int i = 0; i < times; ++i) {
      EXPECT_TRUE(co_await is_served(*peers[0])) << i;
      co_await io::sleep_for(loop, pause);
    }
    EXPECT_TRUE(co_await is_served(*peers[0]));
    co_await close(peers);
  }
  io::Task<void> fetch_long(io::Loop& loop) {
    Peers peers;
    co_await fill(loop, "topic", 1, 10);
    co_await connect(loop, peers, 1);
    const auto answer = co_await peers[0]->call<protocol::FetchResponse>(
        test::fetch_from("topic", 1, 100, 9000), 4);
    EXPECT_TRUE(answer.has_value());
    co_await close(peers);
  }
  io::Task<void> produce_unacknowledged(io::Loop& loop) {
    Peers peers;
    co_await fill(loop, "topic", 1, 10);
    co_await connect(loop, peers, 1);
    KafkaClient& peer = *peers[0];
    auto batch = test::batch_of_size(10);
    co_await peer.send_bytes(peer.frame_of(test::produce_to("topic", batch, 0), 9));
    EXPECT_TRUE(co_await is_served(peer));
    batch.back() ^= 1;  // now its CRC is wrong
    co_await peer.send_bytes(peer.frame_of(test::produce_to("topic", batch, 0), 9));
    EXPECT_FALSE(co_await is_served(peer));
    co_await close(peers);
  }
};

TEST_F(ConnectionBounds, beyond_all_that_may_be_they_are_closed_until_one_goes) {
  boot({"max.connections=3"});
  run([this](io::Loop& loop) { return fill_and_free(loop); });
}

TEST_F(ConnectionBounds, an_address_has_its_own_share) {
  const std::string second = "10.0.0.2";
  boot({"max.connections.per.ip=3", "max.connections.per.ip.overrides=" + second + ":1"});
  bool first_filled = false;
  bool second_filled = false;
  bool end = false;
  // Hosts are numbered as they are made; the server is the first.
  io::sim::Node& one = begin([&](io::Loop& loop) { return fill_host(loop, 1, first_filled, end); });
  ASSERT_EQ(one.host(), second);
  io::sim::Node& other =
      begin([&](io::Loop& loop) { return fill_host(loop, 3, second_filled, end); });
  EXPECT_TRUE(wait_for([&] { return first_filled && second_filled; }, seconds(10)));
  end = true;
  EXPECT_TRUE(wait_for([&] { return !one.is_running() && !other.is_running(); }, seconds(10)));
}

io::Task<void> nothing(KafkaClient&) {
  co_return;
}
io::Task<void> begin_a_frame(KafkaClient& peer) {
  co_await peer.send_bytes({0, 0, 1, 0, 0, 18});
}
io::Task<void> dribble(KafkaClient& peer) {
  auto bytes = peer.frame_of(protocol::ApiVersionsRequest{}, 0);
  store_big(bytes.data(), std::int32_t{200});
  bytes.resize(100);
  for (const std::uint8_t byte : bytes) {
    if (!(co_await peer.send_bytes({byte})).has_value()) co_return;
    co_await peer.wait(seconds(1));
  }
}

TEST_F(ConnectionBounds, silence_ends_a_connection) {
  boot({"connections.max.idle.ms=5000"});
  const Duration kept = kept_for(nothing, seconds(60));
  EXPECT_GE(kept, milliseconds(4900));
  EXPECT_LE(kept, seconds(7));
}

TEST_F(ConnectionBounds, silence_within_a_frame_is_silence) {
  boot({"connections.max.idle.ms=5000"});
  const Duration kept = kept_for(begin_a_frame, seconds(60));
  EXPECT_GE(kept, milliseconds(4900));
  EXPECT_LE(kept, seconds(7));
}

TEST_F(ConnectionBounds, who_talks_or_is_owed_an_answer_is_not_idle) {
  boot({"connections.max.idle.ms=5000"});
  run([this](io::Loop& loop) { return talk(loop, 10, seconds(3)); });
  run([this](io::Loop& loop) { return fetch_long(loop); });
}

TEST_F(ConnectionBounds, a_frame_that_comes_byte_by_byte_is_given_up) {
  boot();
  const Duration kept = kept_for(dribble, seconds(90));
  EXPECT_GE(kept, broker::kFrameTimeMax);
  EXPECT_LE(kept, broker::kFrameTimeMax + seconds(2));
}

TEST_F(ConnectionBounds, a_frame_that_never_goes_on_is_given_up) {
  boot();
  EXPECT_LE(kept_for(begin_a_frame, seconds(90)), broker::kFrameTimeMax + seconds(2));
}

TEST_F(ConnectionBounds, a_node_that_stood_still_holds_that_against_nobody) {
  boot({"connections.max.idle.ms=5000"});
  io::sim::Node& talker = begin([this](io::Loop& loop) { return talk(loop, 8, seconds(2)); });
  EXPECT_TRUE(wait_for([this] { return connection_count() == 1; }, seconds(5)));
  world_.run_for(milliseconds(2500));
  server_.pause();
  world_.run_for(seconds(20));
  server_.resume();
  EXPECT_TRUE(wait_for([&] { return !talker.is_running(); }, seconds(60)));
}

TEST_F(ConnectionBounds, unacknowledged_produce_that_fails_closes) {
  boot();
  run([this](io::Loop& loop) { return produce_unacknowledged(loop); });
}

io::Task<void> announce(KafkaClient& peer, std::int32_t size) {
  std::vector<std::uint8_t> length(8);
  store_big(length.data(), size);
  co_await peer.send_bytes(std::move(length));
}
io::Task<void> announce_all(KafkaClient& peer) {
  return announce(peer, 5000);
}
io::Task<void> announce_more(KafkaClient& peer) {
  return announce(peer, 5001);
}

TEST_F(ConnectionBounds, a_frame_larger_than_allowed_is_not_waited_for) {
  boot({"socket.request.max.bytes=5000"});
  EXPECT_LE(kept_for(announce_more, seconds(90)), seconds(1));
  EXPECT_GE(kept_for(announce_all, seconds(90)), broker::kFrameTimeMax);
}

class FewDescriptors : public ConnectionBounds {
 protected:
  static io::sim::NodeOptions few() {
    io::sim::NodeOptions options;
    options.descriptors_max = 60;
    return options;
  }
  FewDescriptors() : ConnectionBounds(few()) {}

  io::Task<void> crowd(io::Loop& loop) {
    Peers peers;
    std::size_t served = 0;
    co_await try_many(loop, peers, 10, served);
    EXPECT_EQ(served, 10U);
    co_await connect(loop, peers, 90);
    const std::uint64_t before = world_.counters().descriptors_exhausted;
    co_await io::sleep_for(loop, seconds(10));
    const std::uint64_t tries = world_.counters().descriptors_exhausted - before;
    EXPECT_GT(tries, 0U);
    EXPECT_LE(tries, 2 * static_cast<std::uint64_t>(seconds(10).ns / broker::kAcceptPause.ns));
    EXPECT_TRUE(co_await is_served(*peers[0]));
    // Who waited in the backlog is served when others go.
    KafkaClient& last = *peers.back();
    for (std::size_t i = 0; i + 1 < peers.size(); ++i) co_await peers[i]->close();
    EXPECT_TRUE(co_await is_served(last));
    co_await last.close();
  }
};

TEST_F(FewDescriptors, accepting_pauses_and_goes_on) {
  boot();
  // Nothing is left to be written: a log that had to open a file meanwhile would fail.
  world_.run_for(seconds(30));
  run([this](io::Loop& loop) { return crowd(loop); });
}

class FetchSessionBounds : public ConnectionBounds {
 protected:
  // The id of the session that a fetch makes; 0: it is answered without one.
  io::Task<std::int32_t> make_session(KafkaClient& peer) {
    protocol::FetchRequest request = test::fetch_from("topic", 0, 100, 0);
    request.session_epoch = 0;
    const auto answer = co_await peer.call<protocol::FetchResponse>(request, 12);
    EXPECT_TRUE(answer.has_value());
    if (!answer) co_return -1;
    EXPECT_EQ(answer->message.error_code, 0);
    EXPECT_EQ(answer->message.responses.at(0).partitions.at(0).error_code, 0);
    co_return answer->message.session_id;
  }
  io::Task<void> fill_sessions(io::Loop& loop) {
    co_await fill(loop, "topic", 1, 10);
    Peers peers;
    co_await connect(loop, peers, 1);
    KafkaClient& peer = *peers[0];
    EXPECT_GT(co_await make_session(peer), 0);
    EXPECT_GT(co_await make_session(peer), 0);
    EXPECT_EQ(co_await make_session(peer), 0);
    EXPECT_EQ(node_->shard(0).fetch_sessions().count(), 2U);
    // One that nobody used for so long makes room.
    co_await peer.wait(broker::FetchSessions::kEvictIdle + seconds(1));
    EXPECT_GT(co_await make_session(peer), 0);
    EXPECT_EQ(node_->shard(0).fetch_sessions().count(), 2U);
    co_await close(peers);
  }
};

TEST_F(FetchSessionBounds, beyond_them_fetches_are_answered_without_a_session) {
  boot({"max.incremental.fetch.session.cache.slots=2"});
  run([this](io::Loop& loop) { return fill_sessions(loop); });
}

}  // namespace
}  // namespace drave
