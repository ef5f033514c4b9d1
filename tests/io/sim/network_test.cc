#include "io/sim/network.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "io/scope.h"
#include "io/sim/world.h"
#include "io/socket.h"

namespace drave::io::sim {
namespace {

constexpr std::uint16_t kPort = 9092;

std::vector<std::uint8_t> numbered(std::size_t size) {
  std::vector<std::uint8_t> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
  return bytes;
}

Task<void> echo_one(Loop& loop, Handle handle) {
  Socket socket(loop, handle);
  while (true) {
    auto received = co_await socket.receive();
    if (!received || received->is_end()) break;
    std::vector<std::uint8_t> copy(received->bytes().begin(), received->bytes().end());
    received->release();
    if (!co_await socket.send_all({{copy.data(), copy.size()}})) break;
  }
  co_await socket.close();
}

Task<void> serve_echo(Process& process, int& accepted) {
  auto listener = co_await Listener::open(process.loop(), {"0.0.0.0", kPort});
  if (!listener) co_return;
  Scope scope(process.loop());
  while (true) {
    auto connection = co_await listener->accept();
    if (!connection) break;
    ++accepted;
    scope.spawn(echo_one(process.loop(), connection->handle));
  }
  co_await scope.join();
  co_await listener->close();
}

// What a client saw.
struct Seen {
  std::vector<std::uint8_t> bytes;
  bool connected = false;
  bool ended = false;
  Errc error = Errc::corrupt;  // none
};

Task<void> send_and_collect(Process& process, SocketAddress address, std::size_t size, Seen& seen) {
  auto socket = co_await Socket::connect(process.loop(), address);
  if (!socket) {
    seen.error = socket.error().code;
    co_return;
  }
  seen.connected = true;
  const auto bytes = numbered(size);
  Scope scope(process.loop());
  scope.spawn([](Socket& to, const std::vector<std::uint8_t>& all) -> Task<void> {
    (void)co_await to.send_all({{const_cast<std::uint8_t*>(all.data()), all.size()}});
    co_await to.shutdown_write();
  }(*socket, bytes));
  while (true) {
    auto received = co_await socket->receive();
    if (!received) {
      seen.error = received.error().code;
      break;
    }
    if (received->is_end()) {
      seen.ended = true;
      break;
    }
    seen.bytes.insert(seen.bytes.end(), received->bytes().begin(), received->bytes().end());
  }
  co_await scope.join();
  co_await socket->close();
}

struct Pair {
  explicit Pair(std::uint64_t seed, WorldOptions options = {})
      : world(seed, options), server(world.add_node()), client(world.add_node()) {
    server.start([this](Process& process) { return serve_echo(process, accepted); });
    world.run_for(milliseconds(10));
  }
  void start_client(std::size_t size) {
    client.start([this, size](Process& process) {
      return send_and_collect(process, {server.host(), kPort}, size, seen);
    });
  }
  World world;
  Node& server;
  Node& client;
  int accepted = 0;
  Seen seen;
};

TEST(SimNetwork, bytes_come_back_whole_and_in_order_in_pieces_of_any_size) {
  WorldCounters total;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Pair pair(seed);
    pair.start_client(300'000);
    ASSERT_TRUE(pair.world.run_until([&] { return !pair.client.is_running(); }, seconds(60)));
    EXPECT_TRUE(pair.seen.ended);
    EXPECT_EQ(pair.seen.bytes, numbered(300'000));
    pair.world.run_for(seconds(1));
    EXPECT_EQ(pair.world.network().connection_count(), 0u);
    total += pair.world.counters();
  }
  EXPECT_GT(total.fragments, 0u);
  EXPECT_GT(total.short_transfers, 0u);
}

TEST(SimNetwork, a_connect_to_nobody_is_refused_and_to_the_dark_times_out) {
  Pair pair(1);
  pair.server.kill();
  pair.start_client(1);
  ASSERT_TRUE(pair.world.run_until([&] { return !pair.client.is_running(); }, seconds(5)));
  EXPECT_FALSE(pair.seen.connected);
  EXPECT_EQ(pair.world.counters().refused_connects, 1u);
  pair.server.power_cut();
  pair.start_client(1);
  EXPECT_FALSE(pair.world.run_until([&] { return !pair.client.is_running(); }, seconds(30)));
  ASSERT_TRUE(pair.world.run_until([&] { return !pair.client.is_running(); }, seconds(60)));
  EXPECT_EQ(pair.seen.error, Errc::timed_out);
}

TEST(SimNetwork, a_killed_peer_closes_and_a_powerless_one_is_silent_until_it_is_back) {
  for (const bool power : {false, true}) {
    Pair pair(2);
    pair.start_client(50'000'000);
    ASSERT_TRUE(pair.world.run_until([&] { return pair.seen.bytes.size() > 10'000; }, seconds(60)));
    power ? pair.server.power_cut() : pair.server.kill();
    const bool told = pair.world.run_until([&] { return !pair.client.is_running(); }, seconds(100));
    EXPECT_EQ(told, !power);
    if (!power) continue;
    EXPECT_GT(pair.world.counters().silences, 0u);
    pair.server.start([&](Process& process) { return serve_echo(process, pair.accepted); });
    EXPECT_TRUE(pair.world.run_until([&] { return !pair.client.is_running(); }, seconds(10)));
    EXPECT_EQ(pair.seen.error, Errc::closed);
  }
}

TEST(SimNetwork, a_blocked_direction_holds_bytes_back_and_loses_none) {
  Pair pair(3);
  pair.start_client(500'000);
  ASSERT_TRUE(pair.world.run_until([&] { return pair.seen.bytes.size() > 10'000; }, seconds(60)));
  pair.world.network().block(pair.server, pair.client);
  pair.world.run_for(seconds(1));
  const std::size_t held = pair.seen.bytes.size();
  pair.world.run_for(seconds(10));
  EXPECT_EQ(pair.seen.bytes.size(), held);
  pair.world.network().unblock_all();
  ASSERT_TRUE(pair.world.run_until([&] { return !pair.client.is_running(); }, seconds(60)));
  EXPECT_EQ(pair.seen.bytes, numbered(500'000));
}

TEST(SimNetwork, a_cut_resets_both_ends) {
  Pair pair(4);
  pair.start_client(50'000'000);
  ASSERT_TRUE(pair.world.run_until([&] { return pair.seen.bytes.size() > 10'000; }, seconds(60)));
  pair.world.network().cut(pair.client, pair.server);
  ASSERT_TRUE(pair.world.run_until([&] { return !pair.client.is_running(); }, seconds(1)));
  EXPECT_EQ(pair.seen.error, Errc::closed);
  EXPECT_EQ(pair.world.counters().cuts, 1u);
}

TEST(SimNetwork, what_a_closed_client_had_sent_arrives_later_sometimes_much_later) {
  std::uint64_t zombies = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    WorldOptions options;
    options.network.zombie_one_in = 2;
    World world(seed, options);
    Node& server = world.add_node();
    Node& client = world.add_node();
    std::size_t received_bytes = 0;
    server.start([&](Process& process) {
      return [](Process& at, std::size_t& total) -> Task<void> {
        auto listener = co_await Listener::open(at.loop(), {"0.0.0.0", kPort});
        auto accepted = co_await listener->accept();
        Socket socket(at.loop(), accepted->handle);
        while (true) {
          auto received = co_await socket.receive();
          if (!received || received->is_end()) break;
          total += received->bytes().size();
        }
        co_await socket.close();
        co_await listener->close();
      }(process, received_bytes);
    });
    world.run_for(milliseconds(10));
    client.start([&](Process& process) {
      return [](Process& at, SocketAddress address) -> Task<void> {
        auto socket = co_await Socket::connect(at.loop(), address);
        auto bytes = numbered(1000);
        (void)co_await socket->send_all({{bytes.data(), bytes.size()}});
        co_await socket->close();
      }(process, {server.host(), kPort});
    });
    ASSERT_TRUE(world.run_until([&] { return !server.is_running(); }, seconds(60)));
    EXPECT_FALSE(client.is_running());
    EXPECT_EQ(received_bytes, 1000u);
    zombies += world.counters().zombies;
  }
  EXPECT_GT(zombies, 0u);
}

TEST(SimNetwork, an_idle_receive_is_canceled_and_starved_receives_get_their_buffers) {
  World world(7);
  Node& server = world.add_node({.receive_buffers = 1, .receive_buffer_bytes = 64});
  Node& client = world.add_node();
  int accepted = 0;
  server.start([&](Process& process) { return serve_echo(process, accepted); });
  world.run_for(milliseconds(10));
  std::vector<Seen> seen(5);
  client.start([&](Process& process) {
    return [](Process& at, SocketAddress address, std::vector<Seen>& all) -> Task<void> {
      Scope scope(at.loop());
      for (Seen& one : all) scope.spawn(send_and_collect(at, address, 5000, one));
      co_await scope.join();
    }(process, {server.host(), kPort}, seen);
  });
  ASSERT_TRUE(world.run_until([&] { return !client.is_running(); }, seconds(60)));
  for (const Seen& one : seen) EXPECT_EQ(one.bytes, numbered(5000));
  EXPECT_EQ(accepted, 5);
  server.kill();
  EXPECT_EQ(world.counters().abandoned, 0u);
}

TEST(SimNetwork, random_cuts_and_crashes_leave_no_connection_behind) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    WorldOptions options = WorldOptions::harsh(seed);
    options.network.cut_one_in = 50;
    Pair pair(seed, options);
    for (int i = 0; i < 10; ++i) {
      if (!pair.client.is_running()) pair.start_client(100'000);
      pair.world.run_for(milliseconds(static_cast<std::int64_t>(pair.world.random().below(50))));
      if (i % 4 == 3 && pair.client.is_running()) {
        i % 8 == 3 ? pair.client.kill() : pair.client.power_cut();
      }
    }
    if (pair.client.is_running()) pair.client.kill();
    pair.server.kill();
    pair.world.run_for(seconds(100));
    EXPECT_EQ(pair.world.network().connection_count(), 0u) << "seed " << seed;
    EXPECT_EQ(pair.world.counters().abandoned, 0u);
  }
}

}  // namespace
}  // namespace drave::io::sim
