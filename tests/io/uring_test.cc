// What holds for the io_uring backend alone: counts of system calls, refusals in words, sockets'
// options, cleaning up.

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string>

#include "io/file.h"
#include "io/process.h"
#include "io/scope.h"
#include "io/socket.h"
#include "io/uring/probe.h"
#include "io/uring/uring_backend.h"
#include "tests/io/run.h"
#include "tests/io/uring_world.h"

namespace drave::io::test {
namespace {

// --- Refusals

TEST(UringProbe, every_cause_is_named_with_its_remedy) {
  UringSurroundings plain;
  plain.kernel = "5.10.0";
  plain.memlock_max = 64 * 1024;
  UringSurroundings sysctl_two = plain;
  sysctl_two.disabled_sysctl = 2;
  UringSurroundings sysctl_one = plain;
  sysctl_one.disabled_sysctl = 1;
  UringSurroundings seccomp = plain;
  seccomp.has_seccomp = true;
  const struct {
    int system;
    UringSurroundings where;
    std::vector<std::string> words;
  } cases[] = {
      {ENOSYS, plain, {"5.10.0", "no io_uring", "Linux 6.1", "CONFIG_IO_URING"}},
      {ENOSYS, seccomp, {"seccomp", "io_uring_setup"}},
      {EPERM, seccomp, {"seccomp", "Docker", "Kubernetes", "--security-opt", "seccompProfile"}},
      {EPERM, sysctl_two, {"kernel.io_uring_disabled=2", "sysctl -w kernel.io_uring_disabled=0"}},
      {EPERM, sysctl_one, {"kernel.io_uring_disabled=1", "kernel.io_uring_group"}},
      {EPERM, plain, {"EPERM", "SELinux"}},
      {ENOMEM, plain, {"RLIMIT_MEMLOCK is 64 KiB", "LimitMEMLOCK="}},
      {EMFILE, plain, {"LimitNOFILE="}},
      {EINVAL, plain, {"5.10.0", "too old", "Linux 6.1"}},
  };
  for (const auto& one : cases) {
    const Error error = explain_setup_failure(one.system, one.where);
    EXPECT_EQ(error.code, Errc::unsupported);
    EXPECT_EQ(error.system, one.system);
    EXPECT_EQ(error.message().find('\n'), std::string::npos) << "one line";
    for (const auto& word : one.words)
      EXPECT_NE(error.message().find(word), std::string::npos) << word << " in " << error.message();
  }
  EXPECT_NE(explain_missing("msg_ring", plain).message().find("lacks msg_ring"), std::string::npos);
}

// Runs `body` in a child; true if it returned true there.
bool in_child(bool (*body)()) {
  const pid_t child = fork();
  if (child == 0) _exit(body() ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool deny_io_uring_setup() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(filter), filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST(UringProbe, seccomp_that_denies_it_is_recognised) {
  EXPECT_TRUE(in_child([] {
    if (!deny_io_uring_setup()) return false;
    auto backend = make_uring_backend();
    if (backend) return false;
    return backend.error().system == EPERM &&
           backend.error().message().find("seccomp") != std::string::npos;
  }));
}

TEST(UringProbe, exhausted_descriptors_are_recognised) {
#if __has_feature(undefined_behavior_sanitizer)
  GTEST_SKIP() << "the sanitizer needs a pipe for its own check of objects";
#endif
  EXPECT_TRUE(in_child([] {
    const rlimit none{0, 0};
    setrlimit(RLIMIT_NOFILE, &none);
    auto backend = make_uring_backend();
    return !backend.has_value();
  }));
}

// --- Counts

Task<void> write_many(World& world, int count, std::uint64_t& waits, std::uint64_t& submitted) {
  Loop& loop = world.loop(0);
  auto file = co_await File::open(loop, join_path(world.scratch(), "a"),
                                  OpenOptions{.write = true, .create = true});
  CO_ASSERT_OK(file);
  std::uint8_t byte = 1;
  iovec vector{&byte, 1};
  std::vector<std::unique_ptr<Operation>> operations;
  int completed = 0;
  const BackendCounters before = loop.backend().counters();
  for (int i = 0; i < count; ++i) {
    operations.push_back(std::make_unique<Operation>());
    Operation& operation = *operations.back();
    operation.code = OperationCode::read;
    operation.handle = file->handle();
    operation.vectors = &vector;
    operation.vector_count = 1;
    operation.owner = &completed;
    operation.complete = [](Operation& done) { ++*static_cast<int*>(done.owner); };
    loop.submit(operation);
  }
  while (completed < count) co_await yield(loop);
  waits = loop.backend().counters().waits - before.waits;
  submitted = loop.backend().counters().submitted - before.submitted;
  CO_ASSERT_OK(co_await file->close());
}
TEST(UringBackend, operations_of_one_pass_share_one_system_call) {
  auto world = make_uring_world(1);
  std::uint64_t waits = 0;
  std::uint64_t submitted = 0;
  run(*world, write_many(*world, 200, waits, submitted));
  EXPECT_EQ(submitted, 200u);
  EXPECT_LE(waits, 2u);
}

TEST(UringBackend, more_operations_than_the_queue_holds_all_complete) {
  auto world = make_uring_world(1);
  std::uint64_t waits = 0;
  std::uint64_t submitted = 0;
  run(*world, write_many(*world, 20'000, waits, submitted));
  EXPECT_EQ(submitted, 20'000u);
  EXPECT_LE(waits, 20'000u / 512 + 50);
}

Task<void> serve(Socket& socket, int requests) {
  std::uint8_t buffer[100];
  for (int i = 0; i < requests; ++i) {
    auto received = co_await socket.receive();
    CO_ASSERT_OK(received);
    const std::size_t size = received->bytes().size();
    std::copy_n(received->bytes().begin(), size, buffer);
    received->release();
    std::vector<iovec> pieces;
    pieces.push_back({buffer, size});
    CO_ASSERT_OK(co_await socket.send_all(std::move(pieces)));
  }
}
Task<void> request(Socket& socket, int requests) {
  std::uint8_t out[100] = {};
  std::uint8_t in[100];
  for (int i = 0; i < requests; ++i) {
    std::vector<iovec> pieces;
    pieces.push_back({out, sizeof(out)});
    CO_ASSERT_OK(co_await socket.send_all(std::move(pieces)));
    EXPECT_EQ(*co_await socket.receive_exactly(in), sizeof(in));
  }
}
Task<void> count_echo(World& world, int connections, int requests, double& waits_per_request,
                      std::uint64_t& frames_from_heap) {
  Loop& loop = world.loop(0);
  auto listener = co_await Listener::open(loop, world.listen_address());
  CO_ASSERT_OK(listener);
  std::vector<Socket> servers;
  std::vector<Socket> clients;
  for (int i = 0; i < connections; ++i) {
    auto client = co_await Socket::connect(loop, world.connect_address(listener->port()));
    CO_ASSERT_OK(client);
    clients.push_back(std::move(*client));
    auto accepted = co_await listener->accept();
    CO_ASSERT_OK(accepted);
    servers.emplace_back(loop, accepted->handle);
  }
  for (const bool warm : {true, false}) {
    const std::uint64_t waits = loop.backend().counters().waits;
    const std::uint64_t heap = FramePool::heap_count();
    Scope scope(loop);
    for (Socket& socket : servers) scope.spawn(serve(socket, requests));
    for (Socket& socket : clients) scope.spawn(request(socket, requests));
    co_await scope.join();
    if (warm) continue;
    waits_per_request = static_cast<double>(loop.backend().counters().waits - waits) /
                        (connections * static_cast<double>(requests));
    frames_from_heap = FramePool::heap_count() - heap;
  }
  for (auto* sockets : {&servers, &clients}) {
    for (Socket& socket : *sockets) co_await socket.close();
  }
  co_await listener->close();
}
TEST(UringBackend, echo_needs_few_system_calls_and_no_heap) {
  auto world = make_uring_world(1);
  double waits_per_request = 0;
  std::uint64_t frames_from_heap = 0;
  run(*world, count_echo(*world, 32, 50, waits_per_request, frames_from_heap));
  // Client and server share this loop: an echo is two sends and two receives.
  EXPECT_LE(waits_per_request, 0.5);
  EXPECT_EQ(frames_from_heap, 0u);
}

TEST(UringBackend, idle_pass_without_work_makes_no_system_call) {
  auto world = make_uring_world(1);
  Loop& loop = world->loop(0);
  loop.pass(loop.now());
  loop.pass(loop.now());
  const std::uint64_t waits = loop.backend().counters().waits;
  for (int i = 0; i < 100; ++i) loop.pass(Instant{});
  EXPECT_EQ(loop.backend().counters().waits, waits);
}

TEST(UringBackend, punts_are_counted) {
  auto world = make_uring_world(1);
  struct Use {
    static Task<void> go(World& in) {
      auto file = co_await File::open(in.loop(0), join_path(in.scratch(), "a"),
                                      OpenOptions{.write = true, .create = true});
      CO_ASSERT_OK(file);
      CO_ASSERT_OK(co_await file->write(0, as_bytes("x")));
      CO_ASSERT_OK(co_await file->sync_data());
      CO_ASSERT_OK(co_await file->close());
    }
  };
  run(*world, Use::go(*world));
  EXPECT_EQ(world->loop(0).backend().counters().punts, 3u);
}

// --- Sockets

Task<void> check_options(World& world) {
  Loop& loop = world.loop(0);
  auto listener = co_await Listener::open(loop, world.listen_address());
  CO_ASSERT_OK(listener);
  auto client = co_await Socket::connect(loop, world.connect_address(listener->port()));
  CO_ASSERT_OK(client);
  auto accepted = co_await listener->accept();
  CO_ASSERT_OK(accepted);
  EXPECT_EQ(accepted->peer.host, "127.0.0.1");
  Socket server(loop, accepted->handle);
  for (const Handle handle : {client->handle(), server.handle()}) {
    int no_delay = 0;
    socklen_t size = sizeof(no_delay);
    getsockopt(handle.value, IPPROTO_TCP, TCP_NODELAY, &no_delay, &size);
    EXPECT_EQ(no_delay, 1);
  }
  // Another shard of this process may share the port.
  auto second = co_await Listener::open(loop, {"127.0.0.1", listener->port()});
  CO_ASSERT_OK(second);
  co_await second->close();
  co_await client->close();
  co_await server.close();
  co_await listener->close();
}
TEST(UringSockets, are_set_up_for_requests_and_answers) {
  auto world = make_uring_world(1);
  run(*world, check_options(*world));
}

Task<void> connect_by_name(World& world) {
  Loop& loop = world.loop(0);
  auto listener = co_await Listener::open(loop, world.listen_address());
  CO_ASSERT_OK(listener);
  // ::1 may come first and refuse; then 127.0.0.1 is tried.
  auto client = co_await Socket::connect(loop, {"localhost", listener->port()});
  CO_ASSERT_OK(client);
  auto accepted = co_await listener->accept();
  CO_ASSERT_OK(accepted);
  co_await client->close();
  co_await Socket(loop, accepted->handle).close();
  co_await listener->close();
  auto nowhere = co_await Socket::connect(loop, {"no-such-host.invalid", 1});
  EXPECT_FALSE(nowhere.has_value());
}
TEST(UringSockets, names_are_resolved_and_their_addresses_tried) {
  auto world = make_uring_world(1);
  run(*world, connect_by_name(*world));
}

Task<void> listen_on_foreign_port(World& world, std::uint16_t port) {
  auto listener = co_await Listener::open(world.loop(0), {"127.0.0.1", port});
  EXPECT_FALSE(listener.has_value());
  if (!listener) EXPECT_EQ(listener.error().system, EADDRINUSE);
}
TEST(UringSockets, port_of_somebody_else_is_refused_though_it_could_be_shared) {
  const int other = socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  setsockopt(other, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(other, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(other, 1), 0);
  getsockname(other, reinterpret_cast<sockaddr*>(&address), &size);
  auto world = make_uring_world(1);
  run(*world, listen_on_foreign_port(*world, ntohs(address.sin_port)));
  ::close(other);
}

TEST(UringSockets, accept_without_descriptors_says_busy) {
  EXPECT_TRUE(in_child([] {
    auto world = make_uring_world(1);
    bool saw_busy = false;
    struct Use {
      static Task<void> go(World& in, bool& busy) {
        Loop& loop = in.loop(0);
        auto listener = co_await Listener::open(loop, in.listen_address());
        CO_ASSERT_OK(listener);
        auto client = co_await Socket::connect(loop, in.connect_address(listener->port()));
        CO_ASSERT_OK(client);
        rlimit old{};
        getrlimit(RLIMIT_NOFILE, &old);
        const rlimit none{0, old.rlim_max};
        setrlimit(RLIMIT_NOFILE, &none);
        auto refused = co_await listener->accept();
        busy = !refused && refused.error().code == Errc::busy;
        setrlimit(RLIMIT_NOFILE, &old);
        auto accepted = co_await listener->accept();
        busy = busy && accepted.has_value();
        co_await Socket(loop, accepted->handle).close();
        co_await client->close();
        co_await listener->close();
      }
    };
    run(*world, Use::go(*world, saw_busy));
    return saw_busy;
  }));
}

// --- Ends

TEST(UringBackend, dies_with_operations_in_flight_without_leaving_them_to_the_kernel) {
  int descriptors[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, descriptors), 0);
  Operation operation;
  std::uint8_t byte = 0;
  iovec vector{&byte, 1};
  {
    auto backend = make_uring_backend();
    ASSERT_TRUE(backend.has_value());
    operation.code = OperationCode::receive;
    operation.handle = Handle{descriptors[0]};
    operation.vectors = &vector;
    operation.vector_count = 1;
    operation.in_flight = true;
    (*backend)->submit(operation);
    IntrusiveList<Operation> completed;
    (*backend)->wait(Instant{}, completed);
    EXPECT_TRUE(completed.empty());
  }
  EXPECT_FALSE(operation.in_flight);
  const std::uint8_t sent = 7;
  ASSERT_EQ(write(descriptors[1], &sent, 1), 1);
  EXPECT_EQ(byte, 0) << "the kernel has let go of the memory";
  ::close(descriptors[0]);
  ::close(descriptors[1]);
}

TEST(UringBackend, costs_little_memory_at_rest) {
  const std::uint64_t before = memory_use()->resident;
  auto backend = make_uring_backend();
  ASSERT_TRUE(backend.has_value());
  IntrusiveList<Operation> completed;
  (*backend)->wait(Instant{}, completed);
  EXPECT_LT(memory_use()->resident, before + 2 * 1024 * 1024);
}

}  // namespace
}  // namespace drave::io::test
