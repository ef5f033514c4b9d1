#include "tools/raftlog/cluster.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <utility>

extern char** environ;

namespace drave::raft_bench {
namespace {

constexpr std::int64_t kStartTimeoutMs = 30'000;
constexpr std::int64_t kStopTimeoutMs = 30'000;
constexpr std::int64_t kPollMs = 2;

volatile std::sig_atomic_t interrupted = false;

// Ports of 127.0.0.1 on which nobody listens now.
Result<std::vector<std::uint16_t>> free_ports(int count) {
  std::vector<std::uint16_t> ports;
  std::vector<int> sockets;
  for (int i = 0; i < count; ++i) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockets.push_back(fd);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* raw = reinterpret_cast<sockaddr*>(&address);
    if (fd < 0 || ::bind(fd, raw, size) != 0 || ::getsockname(fd, raw, &size) != 0) break;
    ports.push_back(ntohs(address.sin_port));
  }
  for (const int fd : sockets)
    if (fd >= 0) ::close(fd);
  if (ports.size() != static_cast<std::size_t>(count))
    return std::unexpected(error_from_errno(errno, "no free ports"));
  return ports;
}

// What a node says of each group, of all nodes that run.
bool have_leaders(const std::vector<Json>& answers, std::size_t& first_leader) {
  const std::size_t groups = answers.front()["groups"].size();
  for (std::size_t group = 0; group < groups; ++group) {
    const Json& reference = answers.front()["groups"][group];
    std::size_t leading = answers.size();
    for (std::size_t i = 0; i < answers.size(); ++i) {
      const Json& mine = answers[i]["groups"][group];
      if (mine["leader"] != reference["leader"] || mine["epoch"] != reference["epoch"])
        return false;
      if (mine["leading"].get<bool>()) leading = i;
    }
    if (leading == answers.size()) return false;
    if (group == 0) first_leader = leading;
  }
  return true;
}

bool have_the_same(const std::vector<Json>& answers) {
  return std::ranges::all_of(answers, [&](const Json& one) {
    const Json& groups = one["groups"];
    const Json& reference = answers.front()["groups"];
    for (std::size_t i = 0; i < groups.size(); ++i) {
      if (groups[i]["high_watermark"] != reference[i]["high_watermark"]) return false;
      if (groups[i]["high_watermark"] != groups[i]["end"]) return false;
    }
    return true;
  });
}

}  // namespace

std::int64_t now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

void pause_ms(std::int64_t span) {
  const std::int64_t until = now_ns() + span * 1'000'000;
  for (std::int64_t left = span; left > 0 && !interrupted; left = (until - now_ns()) / 1'000'000)
    ::poll(nullptr, 0, static_cast<int>(left));
}

void interrupt() {
  interrupted = true;
}

// --- One process

NodeProcess::~NodeProcess() {
  if (is_running()) kill();
  close_pipes();
}

void NodeProcess::close_pipes() {
  for (int* fd : {&to_, &from_})
    if (*fd >= 0) ::close(std::exchange(*fd, -1));
}

Result<void> NodeProcess::start() {
  int in[2];
  int out[2];
  if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0)
    return std::unexpected(error_from_errno(errno, "pipe"));
  close_pipes();
  read_.clear();
  to_ = in[1];
  from_ = out[0];
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  std::vector<char*> argv{program_.data()};
  for (std::string& argument : arguments_) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const int failed =
      ::posix_spawn(&pid_, program_.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(in[0]);
  ::close(out[1]);
  if (failed != 0) {
    pid_ = -1;
    return std::unexpected(error_from_errno(failed, program_));
  }
  TRY(ready_, receive(kStartTimeoutMs));
  return {};
}

Result<void> NodeProcess::send(const Json& command) {
  const std::string line = command.dump() + "\n";
  if (::write(to_, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    return std::unexpected(error_from_errno(errno, "a node takes no commands"));
  return {};
}

Result<Json> NodeProcess::receive(std::int64_t timeout_ms) {
  const std::int64_t deadline = now_ns() + timeout_ms * 1'000'000;
  std::size_t end;
  while ((end = read_.find('\n')) == std::string::npos) {
    const std::int64_t left = (deadline - now_ns()) / 1'000'000;
    pollfd waiting{.fd = from_, .events = POLLIN, .revents = 0};
    const int ready = left < 0 || interrupted ? 0 : ::poll(&waiting, 1, static_cast<int>(left));
    if (interrupted) return failure(Errc::canceled, "interrupted");
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) return failure(Errc::timed_out, "a node does not answer");
    char buffer[65536];
    const ssize_t got = ::read(from_, buffer, sizeof buffer);
    if (got <= 0) return failure(Errc::closed, "a node has ended");
    read_.append(buffer, static_cast<std::size_t>(got));
  }
  Json document = Json::parse(read_.substr(0, end), nullptr, false);
  read_.erase(0, end + 1);
  if (document.is_discarded() || document.contains("error"))
    return failure(Errc::invalid, "a node says what makes no sense");
  return document;
}

Result<Json> NodeProcess::ask(const Json& command, std::int64_t timeout_ms) {
  TRY_VOID(send(command));
  return receive(timeout_ms);
}

void NodeProcess::signal(int number) {
  if (is_running()) ::kill(pid_, number);
}

void NodeProcess::reap() {
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

void NodeProcess::kill() {
  if (!is_running()) return;
  signal(SIGKILL);
  reap();
}

Result<void> NodeProcess::stop() {
  if (!is_running()) return {};
  TRY_VOID(send({{"do", "stop"}}));
  return wait();
}

Result<void> NodeProcess::wait() {
  const std::int64_t deadline = now_ns() + kStopTimeoutMs * 1'000'000;
  int status = 0;
  while (::waitpid(pid_, &status, WNOHANG) == 0) {
    if (now_ns() > deadline) return failure(Errc::timed_out, "a node does not stop");
    pause_ms(kPollMs);
  }
  pid_ = -1;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return failure(Errc::io, "a node ended with status " + std::to_string(status));
  return {};
}

// --- All of them

Result<std::unique_ptr<Cluster>> Cluster::start(const ClusterOptions& options) {
  // A node that has ended is an error of the next command, not of this process.
  ::signal(SIGPIPE, SIG_IGN);
  TRY(const std::vector<std::uint16_t> ports, free_ports(options.nodes));
  auto cluster = std::make_unique<Cluster>();
  for (int i = 0; i < options.nodes; ++i) {
    std::vector<std::string> arguments{
        "--id",          std::to_string(i + 1),
        "--dir",         options.directory + "/node-" + std::to_string(i + 1),
        "--groups",      std::to_string(options.groups),
        "--election-ms", std::to_string(options.election_ms),
        "--fetch-ms",    std::to_string(options.fetch_ms),
        "--request-ms",  std::to_string(options.request_ms),
        "--spin-us",     std::to_string(options.spin_us),
        "--voters"};
    for (int j = 0; j < options.nodes; ++j)
      arguments.push_back(std::to_string(j + 1) + "@127.0.0.1:" + std::to_string(ports[j]));
    cluster->nodes_.push_back(std::make_unique<NodeProcess>(options.program, std::move(arguments)));
  }
  for (const auto& node : cluster->nodes_) TRY_VOID(node->start());
  return cluster;
}

Result<std::vector<Json>> Cluster::ask_all(const Json& command, std::int64_t timeout_ms) {
  for (const auto& node : nodes_)
    if (node->is_running()) TRY_VOID(node->send(command));
  std::vector<Json> answers;
  for (const auto& node : nodes_) {
    if (!node->is_running()) continue;
    TRY(Json answer, node->receive(timeout_ms));
    answers.push_back(std::move(answer));
  }
  return answers;
}

Result<std::size_t> Cluster::wait_for_leaders(std::int64_t timeout_ms) {
  const std::int64_t deadline = now_ns() + timeout_ms * 1'000'000;
  while (now_ns() < deadline) {
    TRY(const std::vector<Json> answers, ask_all({{"do", "status"}}));
    std::size_t leader = 0;
    if (have_leaders(answers, leader)) {
      // As an index of all nodes.
      for (std::size_t i = 0; i < nodes_.size(); ++i) {
        if (nodes_[i]->is_running() && leader-- == 0) return i;
      }
    }
    pause_ms(kPollMs);
  }
  return failure(Errc::timed_out, "the nodes elect no leader");
}

Result<void> Cluster::wait_for_replicas(std::int64_t timeout_ms) {
  const std::int64_t deadline = now_ns() + timeout_ms * 1'000'000;
  while (now_ns() < deadline) {
    TRY(const std::vector<Json> answers, ask_all({{"do", "status"}}));
    if (have_the_same(answers)) return {};
    pause_ms(kPollMs);
  }
  return failure(Errc::timed_out, "replicas do not catch up");
}

Result<std::pair<std::size_t, Json>> Cluster::receive_any(std::size_t except,
                                                          std::int64_t timeout_ms) {
  std::vector<pollfd> waiting;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const bool is_asked = i != except && nodes_[i]->is_running();
    waiting.push_back(
        {.fd = is_asked ? nodes_[i]->descriptor() : -1, .events = POLLIN, .revents = 0});
  }
  const int ready = ::poll(waiting.data(), waiting.size(), static_cast<int>(timeout_ms));
  if (interrupted) return failure(Errc::canceled, "interrupted");
  if (ready <= 0) return failure(Errc::timed_out, "no node answers");
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (waiting[i].revents == 0) continue;
    TRY(Json answer, nodes_[i]->receive());
    return std::pair{i, std::move(answer)};
  }
  return failure(Errc::io, "poll");
}

Result<void> Cluster::stop() {
  Result<void> first;
  const auto note = [&first](Result<void> result) {
    if (!result && first) first = std::move(result);
  };
  for (const auto& node : nodes_)
    if (node->is_running()) note(node->send({{"do", "stop"}}));
  for (const auto& node : nodes_)
    if (node->is_running()) note(node->wait());
  return first;
}

}  // namespace drave::raft_bench
