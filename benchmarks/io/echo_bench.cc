// TCP echo over loopback: shard 0 serves, shard 1 has the clients, each connection with one request
// under way. What to look at: server_cpu_us (processor time of the server's thread per request) and
// server_enters (its system calls per request); the time itself includes the client's half.

#include <benchmark/benchmark.h>
#include <time.h>

#include <atomic>
#include <memory>
#include <vector>

#include "base/histogram.h"
#include "io/scope.h"
#include "io/socket.h"
#include "io/threads.h"
#include "io/uring/uring_backend.h"

namespace drave::io {
namespace {

constexpr int kRequestsPerConnection = 200;  // of one iteration

Duration thread_cpu_time() {
  timespec spent{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
  return seconds(spent.tv_sec) + nanoseconds(spent.tv_nsec);
}

// The server keeps what it received until it has answered: no copy, no allocation but the vector.
Task<void> serve(Socket socket) {
  while (true) {
    auto received = co_await socket.receive();
    if (!received || received->is_end()) break;
    std::vector<iovec> pieces{{received->bytes().data(), received->bytes().size()}};
    if (!co_await socket.send_all(std::move(pieces))) break;
  }
  co_await socket.close();
}

Task<void> accept_all(Loop& loop, Scope& scope, Listener& listener) {
  while (true) {
    auto accepted = co_await listener.accept();
    if (!accepted) break;
    scope.spawn(serve(Socket(loop, accepted->handle)));
  }
}

struct Server {
  explicit Server(Loop& at) : loop(at), scope(at) {}
  Loop& loop;
  Scope scope;
  Listener listener;
  std::atomic<int> port = 0;
  std::atomic<bool> ended = false;

  static Task<void> run(Server& self) {
    auto listener = co_await Listener::open(self.loop, {"127.0.0.1", 0});
    if (!listener) fatal(listener.error().message());
    self.listener = std::move(*listener);
    self.scope.spawn(accept_all(self.loop, self.scope, self.listener));
    self.port = self.listener.port();
    self.port.notify_all();
  }
  static Task<void> stop(Server& self) {
    co_await self.listener.close();
    co_await self.scope.join();
    self.ended = true;
    self.ended.notify_all();
  }
};

Task<void> request(Loop& loop, Socket& socket, std::vector<std::uint8_t>& bytes, int count,
                   Histogram& times) {
  for (int i = 0; i < count; ++i) {
    const Instant sent = loop.now_precise();
    std::vector<iovec> pieces{{bytes.data(), bytes.size()}};
    if (!co_await socket.send_all(std::move(pieces))) fatal("echo: send failed");
    const auto received = co_await socket.receive_exactly(bytes);
    if (!received || *received != bytes.size()) fatal("echo: receive failed");
    times.record((loop.now_precise() - sent).ns);
  }
}

struct ServerUse {
  Duration cpu;
  std::uint64_t waits = 0;
};
Task<ServerUse> server_use(Loop& here, Loop& there) {
  Loop* server = &there;
  co_return co_await call_on(here, 0, [server] {
    return ServerUse{thread_cpu_time(), server->backend().counters().waits};
  });
}

Task<void> clients(benchmark::State& state, ShardThreads& shards, std::uint16_t port,
                   std::atomic<bool>& ended) {
  Loop& loop = shards.loop(1);
  std::vector<Socket> sockets;
  std::vector<std::vector<std::uint8_t>> bytes;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    auto socket = co_await Socket::connect(loop, {"127.0.0.1", port});
    if (!socket) fatal(socket.error().message());
    sockets.push_back(std::move(*socket));
    bytes.emplace_back(static_cast<std::size_t>(state.range(1)), std::uint8_t{1});
  }
  Histogram times;
  Scope scope(loop);
  const ServerUse before = co_await server_use(loop, shards.loop(0));
  for (auto _ : state) {
    for (std::size_t i = 0; i < sockets.size(); ++i)
      scope.spawn(request(loop, sockets[i], bytes[i], kRequestsPerConnection, times));
    co_await scope.join();
  }
  const ServerUse after = co_await server_use(loop, shards.loop(0));
  const double requests = static_cast<double>(state.iterations()) * kRequestsPerConnection *
                          static_cast<double>(state.range(0));
  state.SetItemsProcessed(static_cast<std::int64_t>(requests));
  state.counters["server_cpu_us"] =
      static_cast<double>((after.cpu - before.cpu).ns) / 1e3 / requests;
  state.counters["server_enters"] = static_cast<double>(after.waits - before.waits) / requests;
  state.counters["p50_us"] = static_cast<double>(times.percentile(0.5)) / 1e3;
  state.counters["p99_us"] = static_cast<double>(times.percentile(0.99)) / 1e3;
  for (Socket& socket : sockets) co_await socket.close();
  ended = true;
  ended.notify_all();
}

void tcp_echo(benchmark::State& state) {
  auto shards =
      ShardThreads::start({.count = 2}, [](std::uint32_t) { return make_uring_backend(); });
  if (!shards) fatal(shards.error().message());
  Server server((*shards)->loop(0));
  (*shards)->post(0, [&] { server.loop.start(Server::run(server)); });
  server.port.wait(0);
  std::atomic<bool> ended = false;
  const auto port = static_cast<std::uint16_t>(server.port.load());
  (*shards)->post(1, [&] { (*shards)->loop(1).start(clients(state, **shards, port, ended)); });
  ended.wait(false);
  (*shards)->post(0, [&] { server.loop.start(Server::stop(server)); });
  server.ended.wait(false);
}
BENCHMARK(tcp_echo)
    ->ArgNames({"connections", "bytes"})
    ->Args({1, 100})
    ->Args({32, 100})
    ->Args({256, 100})
    ->Args({32, 16384})
    ->UseRealTime();

}  // namespace
}  // namespace drave::io
