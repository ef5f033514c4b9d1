#include "tests/io/run.h"
#include "tests/io/uring_world.h"
#include "tests/raftlog/net/rpc_support.h"

namespace drave::raft::test {
namespace {

io::Task<void> ask_many(RpcClient& client, LeaderEpoch epoch, int& answered) {
  const auto reply = co_await client.call<protocol::VoteResponse>(vote_in(epoch));
  if (reply && epoch_of(reply->message) == epoch) ++answered;
}

io::Task<void> call_and_close(io::Loop& loop) {
  EchoHandler handler(loop);
  RpcServer server(loop, {.apis = kServed}, handler);
  CO_ASSERT_OK(co_await server.listen({"127.0.0.1", 0}));
  // By name, which is looked up.
  RpcClient client(loop, {"localhost", server.port()});
  int answered = 0;
  io::Scope scope(loop);
  for (LeaderEpoch epoch = 0; epoch < 500; ++epoch) scope.spawn(ask_many(client, epoch, answered));
  co_await scope.join();
  EXPECT_EQ(answered, 500);
  protocol::FetchRequest fetch;
  fetch.max_bytes = 5'000'000;
  const auto large = co_await client.call<protocol::FetchResponse>(fetch);
  CO_ASSERT_OK(large);
  EXPECT_EQ(large->message.responses[0].partitions[0].records->size(), 5'000'000u);
  // With a call in flight.
  handler.is_holding = true;
  scope.spawn(ask_many(client, 1, answered));
  while (handler.serving == 0) co_await io::sleep_for(loop, milliseconds(1));
  co_await client.close();
  co_await scope.join();
  EXPECT_EQ(answered, 500);
  handler.is_holding = false;
  co_await server.close();
}

TEST(RpcOverUring, calls_are_answered_and_close_ends_what_is_in_flight) {
  const auto world = io::test::make_uring_world(1);
  io::test::run(*world, call_and_close(world->loop(0)));
}

io::Task<void> call_nobody(io::Loop& loop) {
  RpcClient client(loop, {"127.0.0.1", 1});
  const auto refused = co_await client.call<protocol::VoteResponse>(vote_in(1));
  EXPECT_TRUE(!refused && refused.error().code == Errc::closed);
  co_await client.close();
  RpcClient unknown(loop, {"no-such-name.invalid", 1});
  const auto lost = co_await unknown.call<protocol::VoteResponse>(vote_in(1));
  EXPECT_TRUE(!lost && (lost.error().code == Errc::closed || lost.error().code == Errc::timed_out));
  co_await unknown.close();
}

TEST(RpcOverUring, a_refused_connection_and_a_name_that_does_not_exist_say_that_nobody_is_there) {
  const auto world = io::test::make_uring_world(1);
  io::test::run(*world, call_nobody(world->loop(0)));
}

}  // namespace
}  // namespace drave::raft::test
