// drave-raftlog: a node of the replicated log by itself. `drave bench quorum` starts three of them.

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "io/process.h"
#include "io/threads.h"
#include "io/uring/uring_backend.h"
#include "tools/cli/cli11.h"
#include "tools/raftlog/commands.h"
#include "tools/raftlog/node.h"

namespace drave::raft {
namespace {

constexpr int kExitUsage = 2;

struct Arguments {
  NodeOptions node;
  std::vector<std::string> voters;
  std::int64_t election_ms = 1000;
  std::int64_t fetch_ms = 2000;
  std::int64_t request_ms = 2000;
  std::int64_t spin_us = 0;
};

// "1@127.0.0.1:9093"
bool parse_voter(const std::string& text, Voter& voter) {
  const std::size_t at = text.find('@');
  const std::size_t colon = text.rfind(':');
  if (at == std::string::npos || colon == std::string::npos || colon < at) return false;
  voter.id = std::atoi(text.substr(0, at).c_str());
  voter.endpoints = {{"CONTROLLER", text.substr(at + 1, colon - at - 1),
                      static_cast<std::uint16_t>(std::atoi(text.c_str() + colon + 1))}};
  return voter.endpoints[0].port != 0;
}

// Standard input, line by line, until it ends or the program does.
class Input {
 public:
  Input() : ended_(::eventfd(0, EFD_CLOEXEC)) { ASSERT(ended_ >= 0); }
  ~Input() { ::close(ended_); }
  Input(const Input&) = delete;

  // From any thread.
  void end() { (void)!::write(ended_, "\1\0\0\0\0\0\0\0", sizeof(std::uint64_t)); }
  bool next(std::string& line) {
    std::size_t length;
    while ((length = read_.find('\n')) == std::string::npos) {
      pollfd waiting[] = {{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                          {.fd = ended_, .events = POLLIN, .revents = 0}};
      char buffer[4096];
      if (::poll(waiting, 2, -1) < 0 && errno != EINTR) return false;
      if (waiting[1].revents != 0) return false;
      if (waiting[0].revents == 0) continue;
      const ssize_t got = ::read(STDIN_FILENO, buffer, sizeof buffer);
      if (got <= 0) return false;
      read_.append(buffer, static_cast<std::size_t>(got));
    }
    line = read_.substr(0, length);
    read_.erase(0, length + 1);
    return true;
  }

 private:
  int ended_;
  std::string read_;
};

// The node and its commands; made, run and ended on the loop.
class Program {
 public:
  Program(io::ShardThreads& threads, NodeOptions options, Input& input)
      : threads_(threads), options_(std::move(options)), input_(input) {}

  void start() {
    threads_.post(0, [this] { loop().start(run()); });
  }
  void command(std::string line) {
    threads_.post(0, [this, line = std::move(line)] {
      if (commands_ != nullptr && !commands_->run(line)) begin_stop();
    });
  }
  void stop() {
    threads_.post(0, [this] { begin_stop(); });
  }
  int exit_code() const { return exit_code_; }

 private:
  io::Loop& loop() { return threads_.loop(0); }
  io::Task<void> run() {
    node_ = std::make_unique<Node>(loop(), options_);
    const Result<void> started = co_await node_->start();
    if (!started) fail(started.error());
    if (started) {
      commands_ = std::make_unique<Commands>(loop(), *node_);
      commands_->say_ready();
    }
    is_started_ = true;
    if (!started || is_stopping_) co_await end();
  }
  void begin_stop() {
    if (std::exchange(is_stopping_, true)) return;
    if (is_started_) loop().start(end());
  }
  io::Task<void> end() {
    is_stopping_ = true;
    if (commands_ != nullptr) co_await commands_->close();
    if (const Result<void> stopped = co_await node_->stop(); !stopped) fail(stopped.error());
    commands_.reset();
    node_.reset();
    threads_.stop_all();
    input_.end();
  }
  void fail(const Error& error) {
    std::fprintf(stderr, "drave-raftlog: %s\n", error.message().c_str());
    exit_code_ = 1;
  }

  io::ShardThreads& threads_;
  NodeOptions options_;
  Input& input_;
  std::unique_ptr<Node> node_;
  std::unique_ptr<Commands> commands_;
  bool is_started_ = false;
  bool is_stopping_ = false;
  int exit_code_ = 0;
};

int serve(const Arguments& arguments) {
  log::set_level("*", "warn");
  // Of passes that were slow; what that costs is in the figures.
  log::set_level("io", "error");
  io::block_signals({SIGTERM, SIGINT});
  (void)io::raise_open_files_limit();
  auto threads =
      io::ShardThreads::start({.count = 1, .pin = false, .spin = microseconds(arguments.spin_us)},
                              [](std::uint32_t) { return io::make_uring_backend(); });
  if (!threads) {
    std::fprintf(stderr, "drave-raftlog: %s\n", threads.error().message().c_str());
    return 1;
  }
  std::error_code failed;
  std::filesystem::create_directories(arguments.node.directory, failed);
  if (failed) {
    std::fprintf(stderr, "drave-raftlog: %s: %s\n", arguments.node.directory.c_str(),
                 failed.message().c_str());
    return 1;
  }
  Input input;
  Program program(**threads, arguments.node, input);
  io::SignalThread signals({SIGTERM, SIGINT}, [&](int) { program.stop(); });
  program.start();
  for (std::string line; input.next(line);) program.command(line);
  // Whoever started the node has told it all, or is gone.
  program.stop();
  (*threads)->join();
  return program.exit_code();
}

int run(int argc, char** argv) {
  CLI::App app("drave-raftlog: a replicated log, steered over standard input");
  Arguments arguments;
  NodeOptions& node = arguments.node;
  app.footer(
      "Commands, a line of JSON each, every one answered by a line:\n"
      "  {\"do\":\"status\"}                          leader, epoch, high watermark\n"
      "  {\"do\":\"load\",\"size\":16,\"in_flight\":256}  proposers begin; \"count\":N ends them\n"
      "  {\"do\":\"measure\"}  {\"do\":\"report\"}        counting begins anew, and ends\n"
      "  {\"do\":\"idle\"}                            proposers end\n"
      "  {\"do\":\"probe\"}  {\"do\":\"cancel\"}          when this node has led and committed\n"
      "  {\"do\":\"stop\"}                            as SIGTERM does, or the end of the input");
  app.add_option("--id", node.id, "Of this node")->required();
  app.add_option("--voters", arguments.voters, "ID@HOST:PORT of every node")->required();
  app.add_option("--dir", node.directory, "Log directory; made if it is not there")->required();
  app.add_option("--groups", node.groups, "Replicated logs that share the journal")
      ->check(CLI::Range(1, 1024));
  app.add_option("--election-ms", arguments.election_ms, "Election timeout");
  app.add_option("--fetch-ms", arguments.fetch_ms, "Fetch timeout");
  app.add_option("--request-ms", arguments.request_ms, "Request timeout");
  app.add_option("--spin-us", arguments.spin_us, "How long an idle loop looks for work");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  for (const std::string& text : arguments.voters) {
    if (!parse_voter(text, node.voters.emplace_back())) {
      std::fprintf(stderr, "drave-raftlog: %s is not ID@HOST:PORT\n", text.c_str());
      return kExitUsage;
    }
  }
  if (std::ranges::find(node.voters, node.id, &Voter::id) == node.voters.end()) {
    std::fprintf(stderr, "drave-raftlog: --voters lacks this node\n");
    return kExitUsage;
  }
  node.timers.election_timeout = milliseconds(arguments.election_ms);
  node.timers.election_backoff_max = milliseconds(arguments.election_ms);
  node.timers.fetch_timeout = milliseconds(arguments.fetch_ms);
  node.timers.request_timeout = milliseconds(arguments.request_ms);
  return serve(arguments);
}

}  // namespace
}  // namespace drave::raft

int main(int argc, char** argv) {
  return drave::raft::run(argc, argv);
}
