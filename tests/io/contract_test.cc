// The contract suite (contract_suite.h): files, names, sockets, time and mail, whatever the
// backend.

#include "tests/io/contract_suite.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/random.h"
#include "io/buffer_pool.h"
#include "io/file.h"
#include "io/scope.h"
#include "io/socket.h"
#include "io/sync.h"
#include "tests/io/run.h"

namespace drave::io::test {
namespace {

std::vector<std::uint8_t> pattern(std::size_t size, std::uint64_t seed) {
  Random random(seed);
  std::vector<std::uint8_t> bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random.next());
  return bytes;
}

constexpr OpenOptions kNewFile{.write = true, .create = true};

// --- Files

Task<void> write_and_read(World& world) {
  Loop& loop = world.loop(0);
  auto file = co_await File::open(loop, join_path(world.scratch(), "a"), kNewFile);
  CO_ASSERT_OK(file);
  const auto bytes = pattern(100'000, 1);
  CO_ASSERT_OK(co_await file->write(0, bytes));
  CO_ASSERT_OK(co_await file->sync_data());

  std::vector<std::uint8_t> back(bytes.size() + 10, 0xEE);
  auto size = co_await file->read(0, back);
  CO_ASSERT_OK(size);
  EXPECT_EQ(*size, bytes.size()) << "a read that crosses the end returns what is there";
  back.resize(bytes.size());
  EXPECT_TRUE(back == bytes);

  auto middle = co_await file->read(50'000, MutableByteView(back).first(10));
  CO_ASSERT_OK(middle);
  EXPECT_EQ(*middle, 10u);
  EXPECT_TRUE(std::equal(back.begin(), back.begin() + 10, bytes.begin() + 50'000));

  auto beyond = co_await file->read(200'000, back);
  CO_ASSERT_OK(beyond);
  EXPECT_EQ(*beyond, 0u);
  CO_ASSERT_OK(co_await file->close());
  EXPECT_FALSE(file->is_open());
}
TEST_P(Contract, file_returns_what_was_written) {
  run(make_world(), write_and_read(*world_));
}

Task<void> gathered_write(World& world) {
  auto file = co_await File::open(world.loop(0), join_path(world.scratch(), "a"), kNewFile);
  CO_ASSERT_OK(file);
  auto bytes = pattern(3000, 2);
  std::vector<iovec> pieces;
  for (int i = 0; i < 1500; ++i) pieces.push_back({bytes.data() + 2 * i, 2});
  pieces.insert(pieces.begin() + 7, iovec{nullptr, 0});
  CO_ASSERT_OK(co_await file->write_vectors(100, std::move(pieces), true));
  std::vector<std::uint8_t> back(3100);
  auto size = co_await file->read(0, back);
  CO_ASSERT_OK(size);
  EXPECT_EQ(*size, 3100u);
  EXPECT_EQ(std::count(back.begin(), back.begin() + 100, 0), 100) << "a hole reads as zeros";
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), back.begin() + 100));
  CO_ASSERT_OK(co_await file->close());
}
TEST_P(Contract, gathered_write_of_more_pieces_than_one_call_takes) {
  run(make_world(), gathered_write(*world_));
}

Task<void> direct_write(World& world) {
  OpenOptions options = kNewFile;
  options.direct = true;
  auto file = co_await File::open(world.loop(0), join_path(world.scratch(), "direct"), options);
  CO_ASSERT_OK(file);
  BufferPool pool(1 << 20);
  PooledBuffer out = pool.take(8192);
  const auto bytes = pattern(8192, 3);
  std::ranges::copy(bytes, out.data());
  CO_ASSERT_OK(co_await file->write(4096, out.bytes(), true));
  PooledBuffer in = pool.take(16384);
  auto size = co_await file->read(0, in.bytes());
  CO_ASSERT_OK(size);
  EXPECT_EQ(*size, 12288u);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), in.data() + 4096));
  auto unaligned = co_await file->write(1, out.bytes().first(100));
  EXPECT_FALSE(unaligned.has_value());
  if (!unaligned) EXPECT_EQ(unaligned.error().code, Errc::invalid);
  CO_ASSERT_OK(co_await file->close());
}
TEST_P(Contract, direct_file_takes_aligned_blocks_only) {
  if (!make_world().has_direct()) GTEST_SKIP() << "no O_DIRECT in " << world_->scratch();
  run(*world_, direct_write(*world_));
}

Task<void> truncate_and_allocate(World& world) {
  Loop& loop = world.loop(0);
  const std::string path = join_path(world.scratch(), "a");
  auto file = co_await File::open(loop, path, kNewFile);
  CO_ASSERT_OK(file);
  CO_ASSERT_OK(co_await file->write(0, as_bytes("0123456789")));
  CO_ASSERT_OK(co_await file->truncate(4));
  EXPECT_EQ((co_await status(loop, path))->size, 4u);
  CO_ASSERT_OK(co_await file->truncate(8));
  std::vector<std::uint8_t> back(20);
  EXPECT_EQ(*co_await file->read(0, back), 8u);
  EXPECT_EQ(as_text(ByteView(back).first(8)), std::string_view("0123\0\0\0\0", 8));
  CO_ASSERT_OK(co_await file->allocate(0, 1 << 16));
  EXPECT_EQ((co_await status(loop, path))->size, std::uint64_t{1 << 16});
  EXPECT_EQ(*co_await file->read(0, back), 20u);
  EXPECT_EQ(as_text(ByteView(back).first(4)), "0123") << "allocating keeps what is there";
  CO_ASSERT_OK(co_await file->close());
}
TEST_P(Contract, truncate_and_allocate_change_the_size) {
  run(make_world(), truncate_and_allocate(*world_));
}

Task<void> open_options(World& world) {
  Loop& loop = world.loop(0);
  const std::string path = join_path(world.scratch(), "a");
  auto missing = co_await File::open(loop, path, OpenOptions{});
  EXPECT_FALSE(missing.has_value());
  if (!missing) {
    EXPECT_EQ(missing.error().code, Errc::not_found);
    EXPECT_NE(missing.error().context.find(path), std::string::npos) << "errors carry the path";
  }
  OpenOptions exclusive = kNewFile;
  exclusive.exclusive = true;
  auto first = co_await File::open(loop, path, exclusive);
  CO_ASSERT_OK(first);
  CO_ASSERT_OK(co_await first->write(0, as_bytes("content")));
  CO_ASSERT_OK(co_await first->close());
  auto second = co_await File::open(loop, path, exclusive);
  EXPECT_FALSE(second.has_value());
  if (!second) EXPECT_EQ(second.error().code, Errc::already_exists);
  OpenOptions emptying = kNewFile;
  emptying.truncate = true;
  auto third = co_await File::open(loop, path, emptying);
  CO_ASSERT_OK(third);
  EXPECT_EQ((co_await status(loop, path))->size, 0u);
  CO_ASSERT_OK(co_await third->close());
}
TEST_P(Contract, open_honours_its_options) {
  run(make_world(), open_options(*world_));
}

Task<void> lock_twice(World& world) {
  const std::string path = join_path(world.scratch(), ".lock");
  auto first = co_await File::open(world.loop(0), path, kNewFile);
  auto second = co_await File::open(world.loop(0), path, kNewFile);
  CO_ASSERT_OK(first);
  CO_ASSERT_OK(second);
  CO_ASSERT_OK(co_await first->lock());
  auto refused = co_await second->lock();
  EXPECT_FALSE(refused.has_value());
  if (!refused) EXPECT_EQ(refused.error().code, Errc::locked);
  CO_ASSERT_OK(co_await first->close());
  CO_ASSERT_OK(co_await second->lock());
  CO_ASSERT_OK(co_await second->close());
}
TEST_P(Contract, lock_excludes_until_the_file_is_closed) {
  run(make_world(), lock_twice(*world_));
}

Task<void> read_cached(World& world) {
  auto file = co_await File::open(world.loop(0), join_path(world.scratch(), "a"), kNewFile);
  CO_ASSERT_OK(file);
  CO_ASSERT_OK(co_await file->write(0, as_bytes("0123456789")));
  std::vector<std::uint8_t> back(20);
  // What was just written or read may be in memory, and only then is it returned.
  CO_ASSERT_OK(co_await file->read(0, back));
  auto size = file->read_cached(0, back);
  if (size.has_value()) {
    EXPECT_EQ(*size, 10u);
    EXPECT_EQ(as_text(ByteView(back).first(10)), "0123456789");
  } else {
    EXPECT_EQ(size.error().code, Errc::busy);
  }
  CO_ASSERT_OK(co_await file->close());
}
TEST_P(Contract, read_cached_returns_the_bytes_or_says_busy) {
  run(make_world(), read_cached(*world_));
}

Task<void> file_of_another_shard(World& world) {
  auto file = co_await File::open(world.loop(0), join_path(world.scratch(), "a"), kNewFile);
  CO_ASSERT_OK(file);
  CO_ASSERT_OK(co_await file->write(0, as_bytes("shared")));
  std::vector<std::uint8_t> back(6);
  iovec vector{back.data(), back.size()};
  Operation operation;
  operation.code = OperationCode::read;
  operation.handle = file->handle();
  operation.vectors = &vector;
  operation.vector_count = 1;
  Loop& there = world.loop(1);
  struct Read {
    Loop* loop;
    Operation* operation;
    Task<std::int32_t> operator()() { return go(*loop, *operation); }
    static Task<std::int32_t> go(Loop& loop, Operation& operation) {
      co_return co_await perform(loop, operation);
    }
  };
  const std::int32_t result = co_await call_on(world.loop(0), 1, Read{&there, &operation});
  EXPECT_EQ(result, 6);
  EXPECT_EQ(as_text(back), "shared");
  CO_ASSERT_OK(co_await file->close());
}
TEST_P(Contract, handle_is_valid_on_every_shard) {
  run(make_world(2), file_of_another_shard(*world_));
}

Task<void> drop_open_files(World& world) {
  for (int i = 0; i < 10; ++i) {
    auto file = co_await File::open(world.loop(0), join_path(world.scratch(), "a"), kNewFile);
    CO_ASSERT_OK(file);
  }
}
TEST_P(Contract, file_destroyed_open_is_closed_through_the_loop) {
  run(make_world(), drop_open_files(*world_));
  EXPECT_TRUE(world_->run_until([&] { return world_->loop(0).in_flight_count() == 0; }));
}

// --- Names

Task<void> names(World& world) {
  Loop& loop = world.loop(0);
  const std::string root = join_path(world.scratch(), "x/y/z");
  CO_ASSERT_OK(co_await make_directories(loop, root));
  CO_ASSERT_OK(co_await make_directories(loop, root));
  for (const char* name : {"b", "a", "c"}) {
    auto file = co_await File::open(loop, join_path(root, name), kNewFile);
    CO_ASSERT_OK(file);
    CO_ASSERT_OK(co_await file->write(0, as_bytes(name)));
    CO_ASSERT_OK(co_await file->close());
  }
  CO_ASSERT_OK(co_await make_directories(loop, join_path(root, "d")));
  CO_ASSERT_OK(co_await sync_directory(loop, root));
  auto entries = co_await list_directory(loop, root);
  CO_ASSERT_OK(entries);
  std::string seen;
  for (const auto& entry : *entries) seen += entry.name + (entry.is_directory ? "/ " : " ");
  EXPECT_EQ(seen, "a b c d/ ") << "sorted, directories marked, no dots";

  CO_ASSERT_OK(co_await rename(loop, join_path(root, "a"), join_path(root, "b")));
  auto replaced = co_await read_file(loop, join_path(root, "b"));
  CO_ASSERT_OK(replaced);
  EXPECT_EQ(as_text(*replaced), "a") << "rename replaces";
  CO_ASSERT_OK(co_await unlink(loop, join_path(root, "c")));
  auto gone = co_await status(loop, join_path(root, "c"));
  EXPECT_FALSE(gone.has_value());
  if (!gone) EXPECT_EQ(gone.error().code, Errc::not_found);
  auto again = co_await unlink(loop, join_path(root, "c"));
  EXPECT_FALSE(again.has_value());

  auto over_file = co_await make_directories(loop, join_path(root, "b"));
  EXPECT_FALSE(over_file.has_value()) << "a file is no directory";
  CO_ASSERT_OK(co_await remove_tree(loop, join_path(world.scratch(), "x")));
  EXPECT_FALSE((co_await status(loop, join_path(world.scratch(), "x"))).has_value());
  EXPECT_FALSE((co_await list_directory(loop, root)).has_value());
}
TEST_P(Contract, names_can_be_made_listed_moved_and_removed) {
  run(make_world(), names(*world_));
}

Task<void> whole_files(World& world) {
  Loop& loop = world.loop(0);
  const std::string path = join_path(world.scratch(), "checkpoint");
  CO_ASSERT_OK(co_await replace_file(loop, path, pattern(5000, 4)));
  CO_ASSERT_OK(co_await replace_file(loop, path, pattern(30, 5)));
  auto back = co_await read_file(loop, path);
  CO_ASSERT_OK(back);
  EXPECT_TRUE(*back == pattern(30, 5));
  auto entries = co_await list_directory(loop, world.scratch());
  CO_ASSERT_OK(entries);
  EXPECT_EQ(entries->size(), 1u) << "nothing temporary is left";
  auto large = co_await read_file(loop, path, 10);
  EXPECT_FALSE(large.has_value());
  if (!large) EXPECT_EQ(large.error().code, Errc::too_large);
  auto space = co_await free_space(loop, world.scratch());
  CO_ASSERT_OK(space);
  EXPECT_GT(space->total, 0u);
  EXPECT_LE(space->available, space->total);
}
TEST_P(Contract, small_files_are_replaced_whole) {
  run(make_world(), whole_files(*world_));
}

// --- Sockets

Task<void> echo_connection(Socket socket) {
  while (true) {
    auto received = co_await socket.receive();
    if (!received || received->is_end()) break;
    std::vector<std::uint8_t> copy(received->bytes().begin(), received->bytes().end());
    received->release();
    std::vector<iovec> pieces;
    pieces.push_back({copy.data(), copy.size()});
    if (!co_await socket.send_all(std::move(pieces))) break;
  }
  co_await socket.close();
}

Task<void> echo_server(Loop& loop, Scope& scope, Listener& listener) {
  while (true) {
    auto accepted = co_await listener.accept();
    if (!accepted) {
      EXPECT_EQ(accepted.error().code, Errc::canceled);
      break;
    }
    EXPECT_NE(accepted->peer.port, 0);
    scope.spawn(echo_connection(Socket(loop, accepted->handle)));
  }
}

Task<void> echo_once(World& world, Loop& loop, std::uint16_t port, std::size_t size,
                     std::uint64_t seed) {
  auto socket = co_await Socket::connect(loop, world.connect_address(port));
  CO_ASSERT_OK(socket);
  auto bytes = pattern(size, seed);
  std::vector<iovec> pieces;
  pieces.push_back({bytes.data(), size / 2});
  pieces.push_back({bytes.data() + size / 2, size - size / 2});
  Scope sending(loop);
  struct Send {
    static Task<void> go(Socket& to, std::vector<iovec> what) {
      CO_ASSERT_OK(co_await to.send_all(std::move(what)));
      co_await to.shutdown_write();
    }
  };
  sending.spawn(Send::go(*socket, std::move(pieces)));
  std::vector<std::uint8_t> back(size + 1);
  auto received = co_await socket->receive_exactly(back);
  co_await sending.join();
  CO_ASSERT_OK(received);
  EXPECT_EQ(*received, size) << "all came back, and then the end";
  back.resize(size);
  EXPECT_TRUE(back == bytes);
  co_await socket->close();
}

Task<void> echo_clients(World& world, Loop& loop, int count, std::size_t size) {
  auto listener = co_await Listener::open(loop, world.listen_address());
  CO_ASSERT_OK(listener);
  EXPECT_NE(listener->port(), 0);
  Scope server(loop);
  server.spawn(echo_server(loop, server, *listener));
  Scope clients(loop);
  for (int i = 0; i < count; ++i) {
    clients.spawn(echo_once(world, loop, listener->port(), size, static_cast<std::uint64_t>(i)));
  }
  co_await clients.join();
  co_await listener->close();
  co_await server.join();
}
TEST_P(Contract, bytes_echo_in_order) {
  run(make_world(), echo_clients(*world_, world_->loop(0), 1, 100));
}
TEST_P(Contract, many_connections_echo_more_than_buffers_hold) {
  run(make_world(), echo_clients(*world_, world_->loop(0), 100, 100'000));
  EXPECT_EQ(world_->loop(0).in_flight_count(), 0u);
}

Task<void> refused(World& world) {
  auto socket = co_await Socket::connect(world.loop(0), world.dead_address());
  EXPECT_FALSE(socket.has_value());
}
TEST_P(Contract, connect_to_nobody_fails) {
  run(make_world(), refused(*world_));
}

// A connected pair, made over a listener.
struct Pair {
  Socket near;
  Socket far;
};
Task<void> accept_into(Loop& loop, Listener& listener, Socket& far) {
  auto accepted = co_await listener.accept();
  CO_ASSERT_OK(accepted);
  far = Socket(loop, accepted->handle);
}
Task<Pair> connected_pair(World& world, Loop& loop) {
  Pair pair;
  auto listener = co_await Listener::open(loop, world.listen_address());
  EXPECT_TRUE(listener.has_value());
  Scope accepting(loop);
  accepting.spawn(accept_into(loop, *listener, pair.far));
  auto near = co_await Socket::connect(loop, world.connect_address(listener->port()));
  EXPECT_TRUE(near.has_value());
  pair.near = std::move(*near);
  co_await accepting.join();
  co_await listener->close();
  co_return std::move(pair);
}

Task<void> expect_end(Socket& socket, bool& ended) {
  auto received = co_await socket.receive();
  EXPECT_TRUE(!received.has_value() || received->is_end());
  ended = true;
}

Task<void> shutdown_ends_receive(World& world) {
  Loop& loop = world.loop(0);
  Pair pair = co_await connected_pair(world, loop);
  bool near_ended = false;
  bool far_ended = false;
  Scope waiting(loop);
  waiting.spawn(expect_end(pair.near, near_ended));
  waiting.spawn(expect_end(pair.far, far_ended));
  for (int i = 0; i < 5; ++i) co_await yield(loop);
  EXPECT_FALSE(near_ended);
  co_await pair.near.shutdown_both();
  co_await waiting.join();
  EXPECT_TRUE(near_ended && far_ended) << "both ends learn of it";
  std::uint8_t byte = 1;
  std::vector<iovec> pieces;
  pieces.push_back({&byte, 1});
  auto sent = co_await pair.near.send_all(std::move(pieces));
  EXPECT_FALSE(sent.has_value());
  if (!sent) EXPECT_EQ(sent.error().code, Errc::closed);
  co_await pair.near.close();
  co_await pair.far.close();
}
TEST_P(Contract, shutdown_ends_operations_of_both_ends) {
  run(make_world(), shutdown_ends_receive(*world_));
}

Task<void> half_close(World& world) {
  Loop& loop = world.loop(0);
  Pair pair = co_await connected_pair(world, loop);
  std::uint8_t byte = 7;
  std::vector<iovec> pieces;
  pieces.push_back({&byte, 1});
  CO_ASSERT_OK(co_await pair.near.send_all(pieces));
  co_await pair.near.shutdown_write();
  std::uint8_t got[4];
  EXPECT_EQ(*co_await pair.far.receive_some(got), 1u);
  EXPECT_EQ(*co_await pair.far.receive_some(got), 0u);
  CO_ASSERT_OK(co_await pair.far.send_all(std::move(pieces)));
  EXPECT_EQ(*co_await pair.near.receive_some(got), 1u) << "the other direction is still open";
  co_await pair.near.close();
  co_await pair.far.close();
}
TEST_P(Contract, shutdown_write_leaves_the_other_direction) {
  run(make_world(), half_close(*world_));
}

Task<void> cancel_receive(World& world, bool pooled) {
  Loop& loop = world.loop(0);
  Pair pair = co_await connected_pair(world, loop);
  std::uint8_t byte;
  iovec vector{&byte, 1};
  Operation operation;
  operation.code = OperationCode::receive;
  operation.handle = pair.near.handle();
  operation.vectors = &vector;
  operation.vector_count = 1;
  operation.pooled = pooled;
  bool completed = false;
  operation.owner = &completed;
  operation.complete = [](Operation& done) { *static_cast<bool*>(done.owner) = true; };
  loop.submit(operation);
  for (int i = 0; i < 3; ++i) co_await yield(loop);
  EXPECT_FALSE(completed);
  loop.cancel(operation);
  loop.cancel(operation);
  EXPECT_FALSE(completed) << "never from within cancel";
  while (!completed) co_await yield(loop);
  EXPECT_EQ(operation.result, -ECANCELED);
  loop.cancel(operation);
  co_await pair.near.close();
  co_await pair.far.close();
}
Task<void> stop_receiving(World& world) {
  Loop& loop = world.loop(0);
  Pair pair = co_await connected_pair(world, loop);
  pair.near.cancel_receive();  // none is in flight
  bool ended = false;
  const auto receive = [](Socket& socket, bool& done) -> Task<void> {
    const auto received = co_await socket.receive();
    EXPECT_FALSE(received.has_value());
    if (!received) EXPECT_EQ(received.error().code, Errc::canceled);
    done = true;
  };
  loop.start(receive(pair.near, ended));
  for (int i = 0; i < 3; ++i) co_await yield(loop);
  EXPECT_FALSE(ended);
  pair.near.cancel_receive();
  while (!ended) co_await yield(loop);
  // The connection is as it was.
  std::uint8_t byte = 7;
  std::vector<iovec> pieces{{&byte, 1}};
  EXPECT_TRUE((co_await pair.far.send_all(std::move(pieces))).has_value());
  const auto received = co_await pair.near.receive();
  EXPECT_TRUE(received.has_value());
  if (received) EXPECT_EQ(received->bytes().size(), 1u);
  co_await pair.near.close();
  co_await pair.far.close();
}
TEST_P(Contract, a_receive_that_is_given_up_leaves_the_connection) {
  run(make_world(), stop_receiving(*world_));
}

TEST_P(Contract, canceled_receive_completes_once) {
  run(make_world(), cancel_receive(*world_, false));
}
TEST_P(Contract, canceled_pooled_receive_completes_once) {
  run(make_world(), cancel_receive(*world_, true));
}

// Takes buffers and keeps them until the sender has stalled a few receivers.
Task<void> hold_bytes(Loop& loop, Socket& socket, WaitQueue& let_go, int& holding, int& ended) {
  auto received = co_await socket.receive();
  CO_ASSERT_OK(received);
  ++holding;
  co_await let_go.wait();
  received->release();
  co_await yield(loop);
  ++ended;
}
Task<void> starve(World& world) {
  constexpr int kConnections = 300;
  Loop& loop = world.loop(0);
  std::vector<Pair> pairs;
  for (int i = 0; i < kConnections; ++i) pairs.push_back(co_await connected_pair(world, loop));
  WaitQueue let_go(loop);
  int holding = 0;
  int ended = 0;
  Scope scope(loop);
  for (Pair& pair : pairs) scope.spawn(hold_bytes(loop, pair.far, let_go, holding, ended));
  std::uint8_t byte = 9;
  for (Pair& pair : pairs) {
    std::vector<iovec> pieces;
    pieces.push_back({&byte, 1});
    CO_ASSERT_OK(co_await pair.near.send_all(std::move(pieces)));
  }
  while (ended < kConnections) {
    co_await yield(loop);
    let_go.wake_one();
  }
  co_await scope.join();
  EXPECT_EQ(holding, kConnections);
  for (Pair& pair : pairs) {
    co_await pair.near.close();
    co_await pair.far.close();
  }
}
TEST_P(Contract, receives_wait_for_buffers_that_others_hold) {
  run(make_world(), starve(*world_));
}

Task<void> close_listener(World& world) {
  Loop& loop = world.loop(0);
  auto listener = co_await Listener::open(loop, world.listen_address());
  CO_ASSERT_OK(listener);
  Scope scope(loop);
  scope.spawn(echo_server(loop, scope, *listener));
  for (int i = 0; i < 3; ++i) co_await yield(loop);
  const std::uint16_t port = listener->port();
  co_await listener->close();
  co_await scope.join();
  auto socket = co_await Socket::connect(loop, world.connect_address(port));
  EXPECT_FALSE(socket.has_value()) << "nobody listens any more";
}
TEST_P(Contract, closing_a_listener_ends_its_accept) {
  run(make_world(), close_listener(*world_));
}

// --- Time and scheduling

Task<void> sleeper(Loop& loop, Duration span, std::vector<int>& order, int name) {
  const Instant due = loop.now() + span;
  co_await sleep_until(loop, due);
  EXPECT_GE(loop.now(), due) << "never early";
  order.push_back(name);
}
Task<void> sleepers(World& world, std::vector<int>& order) {
  Loop& loop = world.loop(0);
  Scope scope(loop);
  scope.spawn(sleeper(loop, milliseconds(12), order, 3));
  scope.spawn(sleeper(loop, milliseconds(4), order, 1));
  scope.spawn(sleeper(loop, milliseconds(8), order, 2));
  scope.spawn(sleeper(loop, milliseconds(0), order, 0));
  co_await scope.join();
}
TEST_P(Contract, sleeps_end_in_the_order_of_their_deadlines) {
  std::vector<int> order;
  run(make_world(), sleepers(*world_, order));
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3}));
}

TEST_P(Contract, clocks_advance_and_entropy_differs) {
  Backend& backend = make_world().loop(0).backend();
  const Instant before = backend.now();
  std::vector<std::uint64_t> drawn;
  for (int i = 0; i < 100; ++i) drawn.push_back(backend.entropy());
  std::ranges::sort(drawn);
  EXPECT_TRUE(std::ranges::adjacent_find(drawn) == drawn.end());
  EXPECT_GE(backend.now(), before);
  EXPECT_GT(backend.wall_now(), 0);
}

TEST_P(Contract, submit_never_completes_inline) {
  Loop& loop = make_world().loop(0);
  bool completed = false;
  Space space;
  const std::string path = world_->scratch();
  Operation operation;
  operation.code = OperationCode::free_space;
  operation.path = path.c_str();
  operation.space = &space;
  operation.owner = &completed;
  operation.complete = [](Operation& done) { *static_cast<bool*>(done.owner) = true; };
  loop.submit(operation);
  EXPECT_FALSE(completed);
  EXPECT_TRUE(operation.in_flight);
  EXPECT_TRUE(world_->run_until([&] { return completed; }));
  EXPECT_FALSE(operation.in_flight);
  EXPECT_EQ(operation.result, 0);
}

// --- Shards

Task<void> call_around(World& world, int rounds, std::vector<std::uint32_t>& visited) {
  Loop& here = world.loop(0);
  for (int i = 0; i < rounds; ++i) {
    const std::uint32_t there = static_cast<std::uint32_t>(i) % world.loop_count();
    const std::uint32_t answer =
        co_await call_on(here, there, [&world, there] { return world.loop(there).shard(); });
    visited.push_back(answer);
  }
}
TEST_P(Contract, calls_run_on_the_other_shard_and_return) {
  std::vector<std::uint32_t> visited;
  run(make_world(3), call_around(*world_, 30, visited));
  ASSERT_EQ(visited.size(), 30u);
  for (std::uint32_t i = 0; i < 30; ++i) EXPECT_EQ(visited[i], i % 3);
}

TEST_P(Contract, mail_arrives_in_the_order_sent_also_beyond_the_queue) {
  constexpr int kCount = 10'000;
  make_world(2);
  struct Numbered : Message {
    int number = 0;
    std::vector<int>* seen = nullptr;
  };
  std::vector<int> seen;
  std::vector<Numbered> messages(kCount);
  for (int i = 0; i < kCount; ++i) {
    messages[i].number = i;
    messages[i].seen = &seen;
    messages[i].run = [](Message& message) {
      auto& self = static_cast<Numbered&>(message);
      self.seen->push_back(self.number);
    };
    world_->hub().send(0, 1, messages[i]);
  }
  EXPECT_TRUE(seen.empty());
  ASSERT_TRUE(world_->run_until([&] { return seen.size() == kCount; }));
  EXPECT_TRUE(std::ranges::is_sorted(seen));
}

}  // namespace
}  // namespace drave::io::test
