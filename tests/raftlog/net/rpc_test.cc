#include <algorithm>

#include "protocol/error_code.h"

#include "tests/raftlog/net/rpc_support.h"

namespace drave::raft::test {
namespace {

using io::sim::Process;

constexpr std::uint16_t kPort = 9093;
constexpr std::size_t kMebibyte = 1 << 20;

io::Task<void> serve_echo(Process& process, EchoHandler*& handler) {
  EchoHandler own(process.loop());
  RpcServer server(process.loop(), {.apis = kServed}, own);
  handler = &own;
  io::Gate stop(process.loop());
  process.on_stop([&] {
    own.is_holding = false;
    stop.open();
  });
  EXPECT_TRUE((co_await server.listen({"0.0.0.0", kPort})).has_value());
  co_await stop.wait();
  handler = nullptr;
  co_await server.close();
}

io::Task<void> serve_script(Process& process, const Script& script) {
  Result<io::Listener> listener = co_await io::Listener::open(process.loop(), {"0.0.0.0", kPort});
  EXPECT_TRUE(listener.has_value());
  io::Gate stop(process.loop());
  process.on_stop([&] { process.loop().start(listener->close()); });
  io::Scope scope(process.loop());
  while (true) {
    const Result<io::Listener::Accepted> accepted = co_await listener->accept();
    if (!accepted) break;
    scope.spawn(follow_script(process.loop(), accepted->handle, script));
  }
  co_await scope.join();
}

// How calls ended.
struct Outcomes {
  std::vector<LeaderEpoch> epochs;
  std::vector<Errc> errors;
};

io::Task<void> ask(RpcClient& client, LeaderEpoch epoch, Duration timeout, Outcomes& outcomes) {
  const auto reply = co_await client.call<protocol::VoteResponse>(vote_in(epoch), timeout);
  if (reply)
    outcomes.epochs.push_back(epoch_of(reply->message));
  else
    outcomes.errors.push_back(reply.error().code);
}

// A node that serves and one that calls.
struct Couple {
  using Scenario = io::Task<void> (*)(Couple& test, RpcClient& client);

  explicit Couple(std::uint64_t seed = 1)
      : world(seed), server(world.add_node()), caller(world.add_node()) {}

  void start_echo() {
    server.start([this](Process& process) { return serve_echo(process, handler); });
    world.run_for(milliseconds(10));
  }
  void start_script(Script given) {
    script = std::move(given);
    server.start([this](Process& process) { return serve_script(process, script); });
    world.run_for(milliseconds(10));
  }
  // Runs the scenario to its end on the calling node.
  void run(Scenario scenario, RpcClientOptions options = {}) {
    caller.start([this, scenario, options](Process& process) {
      return run_client(*this, process, scenario, options);
    });
    ASSERT_TRUE(world.run_until([&] { return !caller.is_running(); }, seconds(60)));
    if (server.is_running()) server.stop();
    ASSERT_TRUE(world.run_until([&] { return !server.is_running(); }, seconds(60)));
    world.run_for(seconds(1));
    EXPECT_EQ(world.network().connection_count(), 0u);
  }
  static io::Task<void> run_client(Couple& test, Process& process, Scenario scenario,
                                   RpcClientOptions options) {
    RpcClient client(process.loop(), {test.server.host(), kPort}, options);
    test.loop = &process.loop();
    co_await scenario(test, client);
    co_await client.close();
  }
  io::SleepAwaiter pause_for(Duration span) { return io::sleep_for(*loop, span); }

  io::sim::World world;
  io::sim::Node& server;
  io::sim::Node& caller;
  io::Loop* loop = nullptr;
  EchoHandler* handler = nullptr;
  Script script;
  Outcomes outcomes;
};

class Rpc : public testing::Test, public Couple {};

TEST_F(Rpc, calls_in_flight_share_a_connection_and_get_their_own_answers) {
  start_echo();
  run(+[](Couple& test, RpcClient& client) -> io::Task<void> {
    io::Scope scope(*test.loop);
    for (LeaderEpoch epoch = 1; epoch <= 100; ++epoch)
      scope.spawn(ask(client, epoch, {}, test.outcomes));
    co_await scope.join();
    EXPECT_EQ(client.connect_count(), 1u);
  });
  EXPECT_TRUE(outcomes.errors.empty());
  EXPECT_EQ(outcomes.epochs.size(), 100u);
  EXPECT_TRUE(std::ranges::is_sorted(outcomes.epochs));
}

TEST_F(Rpc, the_newest_version_of_both_is_spoken) {
  start_echo();
  run(+[](Couple& test, RpcClient& client) -> io::Task<void> {
    co_await ask(client, 5, {}, test.outcomes);
    const auto older = co_await client.call<protocol::VoteResponse>(vote_in(6), {}, 1);
    EXPECT_TRUE(older && older->version() == 1);
    EXPECT_EQ(test.handler->versions, (std::vector<std::int16_t>{2, 1}));
    EXPECT_EQ((co_await client.version_of(ApiKey::fetch)).value_or(-1),
              protocol::api_info(ApiKey::fetch).max_stable());
  });
}

TEST_F(Rpc, a_peer_of_older_versions_is_spoken_to_in_them) {
  std::vector<std::int16_t> asked;
  start_script([&](const protocol::RequestHeader& header) {
    if (header.request_api_key != static_cast<std::int16_t>(ApiKey::api_versions))
      return answer_frame(protocol::VoteResponse{}, header.request_api_version,
                          header.correlation_id);
    asked.push_back(header.request_api_version);
    if (header.request_api_version == 0) return name_versions(header, 0, 1);
    protocol::ApiVersionsResponse refusal;
    refusal.error_code = static_cast<std::int16_t>(protocol::ErrorCode::unsupported_version);
    return answer_frame(refusal, 0, header.correlation_id);
  });
  run(+[](Couple&, RpcClient& client) -> io::Task<void> {
    const auto reply = co_await client.call<protocol::VoteResponse>(vote_in(1));
    EXPECT_TRUE(reply && reply->version() == 1);
    // What it does not speak is not sent, and the connection stays.
    const auto fetch = co_await client.call<protocol::FetchResponse>(protocol::FetchRequest{});
    EXPECT_TRUE(!fetch && fetch.error().code == Errc::unsupported);
    const auto raw = co_await client.call_raw(ApiKey::vote, 2, {});
    EXPECT_TRUE(!raw && raw.error().code == Errc::unsupported);
    // Nor is what cannot be said in the older version.
    protocol::VoteRequest pre_vote = vote_in(1);
    pre_vote.topics[0].partitions[0].pre_vote = true;
    const auto unsaid = co_await client.call<protocol::VoteResponse>(pre_vote);
    EXPECT_TRUE(!unsaid && unsaid.error().code == Errc::invalid);
    EXPECT_EQ(client.connect_count(), 1u);
  });
  EXPECT_EQ(asked, (std::vector<std::int16_t>{4, 0}));
}

TEST_F(Rpc, a_body_may_be_given_as_it_is) {
  start_echo();
  run(+[](Couple&, RpcClient& client) -> io::Task<void> {
    const protocol::VoteRequest request = vote_in(9);
    protocol::Writer out;
    EXPECT_TRUE(encode(out, request, 2).has_value());
    const auto answer =
        co_await client.call_raw(ApiKey::vote, 2, {out.own().begin(), out.own().end()});
    EXPECT_TRUE(answer.has_value());
    if (!answer) co_return;
    protocol::Reader in(answer->body());
    protocol::VoteResponse response;
    EXPECT_TRUE(decode(in, response, answer->version).has_value());
    EXPECT_EQ(epoch_of(response), 9);
  });
}

TEST_F(Rpc, a_cut_ends_what_is_in_flight_and_the_next_call_connects_again) {
  start_echo();
  handler->is_holding = true;
  world.after(milliseconds(100), [this] {
    world.network().cut(server, caller);
    handler->is_holding = false;
  });
  run(+[](Couple& test, RpcClient& client) -> io::Task<void> {
    io::Scope scope(*test.loop);
    for (LeaderEpoch epoch = 0; epoch < 3; ++epoch)
      scope.spawn(ask(client, epoch, {}, test.outcomes));
    co_await scope.join();
    EXPECT_EQ(test.outcomes.errors, std::vector<Errc>(3, Errc::closed));
    EXPECT_FALSE(client.is_connected());
    co_await ask(client, 7, {}, test.outcomes);
    EXPECT_EQ(client.connect_count(), 2u);
  });
  EXPECT_EQ(outcomes.epochs, std::vector<LeaderEpoch>{7});
}

TEST_F(Rpc, a_killed_peer_ends_what_is_in_flight_at_once) {
  start_echo();
  handler->is_holding = true;
  world.after(milliseconds(100), [this] { server.kill(); });
  run(+[](Couple& test, RpcClient& client) -> io::Task<void> {
    const Instant begun = test.loop->now();
    co_await ask(client, 1, seconds(30), test.outcomes);
    EXPECT_LT(test.loop->now(), begun + milliseconds(200));
    // Nobody listens there any more.
    co_await ask(client, 1, seconds(30), test.outcomes);
    EXPECT_LT(test.loop->now(), begun + milliseconds(300));
  });
  EXPECT_EQ(outcomes.errors, (std::vector<Errc>{Errc::closed, Errc::closed}));
}

TEST_F(Rpc, a_peer_that_finishes_sending_is_gone) {
  start_script([](const protocol::RequestHeader& header) {
    if (header.request_api_key == static_cast<std::int16_t>(ApiKey::api_versions))
      return name_versions(header, 0, 2);
    return std::vector<std::uint8_t>{};
  });
  run(+[](Couple& test, RpcClient& client) -> io::Task<void> {
    co_await ask(client, 1, {}, test.outcomes);
  });
  EXPECT_EQ(outcomes.errors, std::vector<Errc>{Errc::closed});
}

TEST_F(Rpc, a_lost_answer_times_out_with_all_behind_it_and_is_never_taken_for_another) {
  start_echo();
  run(+[](Couple& test, RpcClient& client) -> io::Task<void> {
    co_await ask(client, 1, {}, test.outcomes);
    test.world.network().block(test.server, test.caller);
    io::Scope scope(*test.loop);
    const Instant begun = test.loop->now();
    scope.spawn(ask(client, 2, milliseconds(300), test.outcomes));
    scope.spawn(ask(client, 3, seconds(20), test.outcomes));
    co_await scope.join();
    EXPECT_GE(test.loop->now(), begun + milliseconds(300));
    EXPECT_LT(test.loop->now(), begun + milliseconds(400));
    // A connection that is not answered in time does not hold up the call for longer.
    co_await ask(client, 4, milliseconds(200), test.outcomes);
    test.world.network().unblock_all();
    co_await ask(client, 5, {}, test.outcomes);
  });
  EXPECT_EQ(outcomes.errors, std::vector<Errc>(3, Errc::timed_out));
  EXPECT_EQ(outcomes.epochs, (std::vector<LeaderEpoch>{1, 5}));
}

TEST_F(Rpc, who_connects_into_the_dark_gives_up) {
  start_echo();
  server.power_cut();
  run(
      +[](Couple& test, RpcClient& client) -> io::Task<void> {
        const Instant begun = test.loop->now();
        co_await ask(client, 1, seconds(30), test.outcomes);
        EXPECT_GE(test.loop->now(), begun + milliseconds(500));
        EXPECT_LT(test.loop->now(), begun + milliseconds(600));
      },
      {.connect_timeout = milliseconds(500)});
  EXPECT_EQ(outcomes.errors, std::vector<Errc>{Errc::timed_out});
}

TEST_F(Rpc, a_paused_peer_is_told_from_a_slow_one_by_time_alone) {
  start_echo();
  run(
      +[](Couple& test, RpcClient& client) -> io::Task<void> {
        protocol::FetchRequest fetch;
        fetch.max_wait_ms = 900;
        fetch.max_bytes = 3 * kMebibyte;
        const auto slow = co_await client.call<protocol::FetchResponse>(fetch, seconds(2));
        EXPECT_TRUE(slow.has_value());
        if (slow)
          EXPECT_EQ(slow->message.responses[0].partitions[0].records->size(), 3 * kMebibyte);
        test.world.after(milliseconds(1), [&test] { test.server.pause(); });
        co_await test.pause_for(milliseconds(10));
        co_await ask(client, 1, milliseconds(500), test.outcomes);
        // The kernel of a stopped process still accepts.
        co_await ask(client, 1, milliseconds(500), test.outcomes);
        test.world.after(milliseconds(1), [&test] { test.server.resume(); });
        co_await test.pause_for(milliseconds(10));
        co_await ask(client, 2, milliseconds(500), test.outcomes);
      },
      {.connect_timeout = milliseconds(300)});
  EXPECT_EQ(outcomes.errors, std::vector<Errc>(2, Errc::timed_out));
  EXPECT_EQ(outcomes.epochs, std::vector<LeaderEpoch>{2});
}

TEST_F(Rpc, what_is_no_answer_ends_the_connection) {
  const std::vector<std::vector<std::uint8_t>> garbage{
      {0xff, 0xff, 0xff, 0xff},                 // a negative length
      {0x7f, 0xff, 0xff, 0xff, 1, 2, 3},        // a length beyond the bound
      {0, 0, 0, 0},                             // no header
      {0, 0, 0, 5, 0, 0, 0x12, 0x34, 0},        // a correlation id of nobody
      {0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0x7f},  // a body that ends too early
  };
  for (const auto& bytes : garbage) {
    Couple one;
    one.start_script([&](const protocol::RequestHeader& header) {
      if (header.request_api_key == static_cast<std::int16_t>(ApiKey::api_versions))
        return name_versions(header, 0, 2);
      return bytes;
    });
    one.run(+[](Couple& test, RpcClient& client) -> io::Task<void> {
      co_await ask(client, 1, {}, test.outcomes);
    });
    EXPECT_EQ(one.outcomes.errors, std::vector<Errc>{Errc::corrupt}) << bytes.size();
  }
}

TEST_F(Rpc, what_names_no_versions_is_no_peer) {
  start_script([](const protocol::RequestHeader& header) {
    return answer_frame(protocol::VoteResponse{}, 2, header.correlation_id);
  });
  run(+[](Couple& test, RpcClient& client) -> io::Task<void> {
    co_await ask(client, 1, {}, test.outcomes);
  });
  EXPECT_EQ(outcomes.errors, std::vector<Errc>{Errc::corrupt});
}

TEST_F(Rpc, close_ends_calls_in_flight_connecting_ones_included) {
  start_echo();
  handler->is_holding = true;
  run(
      +[](Couple& test, RpcClient& client) -> io::Task<void> {
        RpcClient into_the_dark(*test.loop, {"10.0.0.77", kPort});
        io::Scope scope(*test.loop);
        for (int i = 0; i < 3; ++i) scope.spawn(ask(client, i, seconds(20), test.outcomes));
        scope.spawn(ask(into_the_dark, 4, seconds(20), test.outcomes));
        co_await test.pause_for(milliseconds(50));
        const Instant begun = test.loop->now();
        co_await client.close();
        co_await into_the_dark.close();
        EXPECT_LT(test.loop->now(), begun + milliseconds(20));
        co_await scope.join();
        co_await ask(client, 5, {}, test.outcomes);
      },
      {.in_flight_max = 2});
  EXPECT_GE(std::ranges::count(outcomes.errors, Errc::canceled), 4);
  EXPECT_EQ(outcomes.errors.size(), 5u);
}

TEST_F(Rpc, calls_beyond_the_bound_wait) {
  start_echo();
  handler->is_holding = true;
  run(
      +[](Couple& test, RpcClient& client) -> io::Task<void> {
        io::Scope scope(*test.loop);
        for (LeaderEpoch epoch = 0; epoch < 9; ++epoch)
          scope.spawn(ask(client, epoch, seconds(5), test.outcomes));
        co_await test.pause_for(milliseconds(100));
        EXPECT_EQ(test.handler->serving, 4u);
        // Who waits for room does not wait for ever.
        co_await ask(client, 100, milliseconds(50), test.outcomes);
        EXPECT_EQ(test.outcomes.errors, std::vector<Errc>{Errc::timed_out});
        test.handler->is_holding = false;
        co_await scope.join();
        EXPECT_EQ(test.handler->serving_max, 4u);
        EXPECT_EQ(client.connect_count(), 1u);
      },
      {.in_flight_max = 4});
  EXPECT_EQ(outcomes.epochs.size(), 9u);
}

TEST_F(Rpc, a_server_refuses_what_it_cannot_read_or_does_not_serve) {
  start_echo();
  run(+[](Couple& test, RpcClient& client) -> io::Task<void> {
    const auto empty = co_await client.call_raw(ApiKey::vote, 2, {});
    EXPECT_TRUE(!empty && empty.error().code == Errc::closed);
    const auto unserved = co_await client.version_of(ApiKey::begin_quorum_epoch);
    EXPECT_TRUE(!unserved && unserved.error().code == Errc::unsupported);
    co_await ask(client, 3, {}, test.outcomes);
  });
  EXPECT_EQ(outcomes.epochs, std::vector<LeaderEpoch>{3});
}

TEST_F(Rpc, a_server_answers_in_order_also_a_client_that_has_finished_sending) {
  start_echo();
  run(+[](Couple& test, RpcClient&) -> io::Task<void> {
    Result<io::Socket> socket =
        co_await io::Socket::connect(*test.loop, {test.server.host(), kPort});
    EXPECT_TRUE(socket.has_value());
    if (!socket) co_return;
    protocol::Writer out;
    for (std::int32_t id = 0; id < 20; ++id) {
      const std::size_t begin = out.size();
      out.integer<std::int32_t>(0);
      protocol::RequestHeader header;
      header.request_api_key = static_cast<std::int16_t>(ApiKey::fetch);
      header.request_api_version = 12;
      header.correlation_id = id;
      EXPECT_TRUE(encode_request_header(out, header).has_value());
      protocol::FetchRequest fetch;
      fetch.max_wait_ms = 20 - id;  // later ones are ready earlier
      fetch.max_bytes = 10'000;
      EXPECT_TRUE(encode(out, fetch, 12).has_value());
      out.patch(begin, static_cast<std::int32_t>(out.size() - begin - 4));
    }
    std::vector<std::uint8_t> bytes(out.own().begin(), out.own().end());
    EXPECT_TRUE((co_await socket->send_all({{bytes.data(), bytes.size()}})).has_value());
    co_await socket->shutdown_write();
    FrameReader frames(*socket, kRpcFrameBytesMax);
    for (std::int32_t id = 0; id < 20; ++id) {
      const auto frame = co_await frames.next();
      EXPECT_TRUE(frame.has_value());
      if (frame) EXPECT_EQ(load_big<std::int32_t>(frame->data()), id);
    }
    const auto end = co_await frames.next();
    EXPECT_TRUE(!end && end.error().code == Errc::closed);
    co_await socket->close();
  });
}

io::Task<void> serve_out_of_order(Process& process) {
  EchoHandler handler(process.loop());
  RpcServer server(process.loop(), {.in_order = false, .apis = kServed}, handler);
  io::Gate stop(process.loop());
  process.on_stop([&] { stop.open(); });
  EXPECT_TRUE((co_await server.listen({"0.0.0.0", kPort})).has_value());
  co_await stop.wait();
  co_await server.close();
}

io::Task<void> fetch_slowly(RpcClient& client, Instant& answered, io::Loop& loop) {
  protocol::FetchRequest fetch;
  fetch.max_wait_ms = 500;
  fetch.max_bytes = 10;
  EXPECT_TRUE((co_await client.call<protocol::FetchResponse>(fetch)).has_value());
  answered = loop.now();
}

TEST_F(Rpc, a_server_that_need_not_answer_in_order_lets_no_call_wait_for_another) {
  server.start([](Process& process) { return serve_out_of_order(process); });
  world.run_for(milliseconds(10));
  run(+[](Couple& test, RpcClient& client) -> io::Task<void> {
    io::Scope scope(*test.loop);
    Instant fetched;
    scope.spawn(fetch_slowly(client, fetched, *test.loop));
    co_await test.pause_for(milliseconds(50));
    for (LeaderEpoch epoch = 0; epoch < 20; ++epoch)
      scope.spawn(ask(client, epoch, milliseconds(100), test.outcomes));
    co_await test.pause_for(milliseconds(100));
    EXPECT_EQ(test.outcomes.epochs.size(), 20u);
    EXPECT_EQ(fetched, Instant{});
    co_await scope.join();
    EXPECT_GT(fetched, Instant{});
    EXPECT_EQ(client.connect_count(), 1u);
  });
}

// Calls without end, until the gate opens; every answer must be the call's own.
io::Task<void> keep_asking(RpcClient& client, io::Gate& stop, io::Loop& loop, LeaderEpoch epoch,
                           Outcomes& outcomes) {
  while (!stop.is_open()) {
    const auto reply =
        co_await client.call<protocol::VoteResponse>(vote_in(epoch), milliseconds(200));
    if (reply) {
      EXPECT_EQ(epoch_of(reply->message), epoch);
      outcomes.epochs.push_back(epoch);
    } else {
      outcomes.errors.push_back(reply.error().code);
      co_await io::sleep_for(loop, milliseconds(20));
    }
    epoch += 1000;
  }
}

TEST(RpcChaos, every_call_ends_with_its_own_answer_or_an_error_whatever_the_network_does) {
  Outcomes all;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    io::sim::World world(seed);
    io::sim::Node& server = world.add_node();
    io::sim::Node& caller = world.add_node();
    world.network().options().cut_one_in = 200;
    EchoHandler* handler = nullptr;
    const auto start_server = [&] {
      server.start([&](Process& process) { return serve_echo(process, handler); });
    };
    start_server();
    caller.start([&](Process& process) -> io::Task<void> {
      return [](Process& of, io::SocketAddress address, Outcomes& outcomes) -> io::Task<void> {
        RpcClient client(of.loop(), address,
                         {.connect_timeout = milliseconds(150), .in_flight_max = 5});
        io::Gate stop(of.loop());
        of.on_stop([&] { stop.open(); });
        io::Scope scope(of.loop());
        for (LeaderEpoch i = 0; i < 8; ++i)
          scope.spawn(keep_asking(client, stop, of.loop(), i, outcomes));
        co_await scope.join();
        co_await client.close();
      }(process, {server.host(), kPort}, all);
    });
    for (int i = 0; i < 10; ++i) {
      world.run_for(milliseconds(world.random().between(20, 200)));
      switch (world.random().below(5)) {
        case 0: world.network().cut(server, caller); break;
        case 1: world.network().block(server, caller); break;
        case 2: world.network().block(caller, server); break;
        case 3:
          server.kill();
          start_server();
          break;
        default: server.is_paused() ? server.resume() : server.pause(); break;
      }
      world.run_for(milliseconds(world.random().between(1, 300)));
      world.network().unblock_all();
    }
    if (server.is_paused()) server.resume();
    caller.stop();
    ASSERT_TRUE(world.run_until([&] { return !caller.is_running(); }, seconds(10))) << seed;
    server.stop();
    ASSERT_TRUE(world.run_until([&] { return !server.is_running(); }, seconds(10))) << seed;
    EXPECT_EQ(world.counters().abandoned, 0u);
  }
  EXPECT_GT(all.epochs.size(), 2000u);
  EXPECT_GT(std::ranges::count(all.errors, Errc::closed), 20);
  EXPECT_GT(std::ranges::count(all.errors, Errc::timed_out), 20);
  EXPECT_EQ(std::ranges::count(all.errors, Errc::corrupt), 0);
}

}  // namespace
}  // namespace drave::raft::test
