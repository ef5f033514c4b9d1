#pragma once
// Processes of drave-raftlog on this machine, as one quorum: started, steered, stopped, killed.
//
// For programs that may block: every call returns when it is done, or with an error when a node
// did not answer in time. What still runs is killed when this dies.

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace drave::raft_bench {

using Json = nlohmann::ordered_json;

struct ClusterOptions {
  std::string program;    // of a node
  std::string directory;  // a folder for each node is made in it
  int nodes = 3;
  int groups = 1;
  std::int64_t election_ms = 1000;
  std::int64_t fetch_ms = 2000;
  std::int64_t request_ms = 2000;
  std::int64_t spin_us = 0;
};

// CLOCK_MONOTONIC, which all processes of a machine share.
std::int64_t now_ns();
void pause_ms(std::int64_t span);
// From a signal's handler: what waits returns, and every call from now on fails with
// Errc::canceled.
void interrupt();

class NodeProcess {
 public:
  NodeProcess(std::string program, std::vector<std::string> arguments)
      : program_(std::move(program)), arguments_(std::move(arguments)) {}
  ~NodeProcess();
  NodeProcess(const NodeProcess&) = delete;

  Result<void> start();  // returns what the node says when it is up: ready()
  const Json& ready() const { return ready_; }
  bool is_running() const { return pid_ > 0; }

  Result<void> send(const Json& command);
  // The next line that it says.
  Result<Json> receive(std::int64_t timeout_ms = 10'000);
  Result<Json> ask(const Json& command, std::int64_t timeout_ms = 10'000);
  int descriptor() const { return from_; }
  // SIGSTOP, SIGCONT.
  void signal(int number);
  // SIGKILL, and waits until it is gone.
  void kill();
  // Stops it cleanly.
  Result<void> stop();
  // Until it has ended by itself; an error if it did not do so cleanly.
  Result<void> wait();

 private:
  void reap();
  void close_pipes();

  std::string program_;
  std::vector<std::string> arguments_;
  pid_t pid_ = -1;
  int to_ = -1;    // its standard input
  int from_ = -1;  // its standard output
  std::string read_;
  Json ready_;
};

class Cluster {
 public:
  // Starts all nodes; they find each other at ports that were free a moment before.
  static Result<std::unique_ptr<Cluster>> start(const ClusterOptions& options);

  std::size_t size() const { return nodes_.size(); }
  NodeProcess& node(std::size_t index) { return *nodes_[index]; }
  // Every group has a leader that may append, and all running nodes agree who it is. Returns the
  // index of the leader of the first group.
  Result<std::size_t> wait_for_leaders(std::int64_t timeout_ms = 30'000);
  // All running nodes have the same high watermark, in every group.
  Result<void> wait_for_replicas(std::int64_t timeout_ms = 30'000);
  // The same command to all running nodes, then their answers.
  Result<std::vector<Json>> ask_all(const Json& command, std::int64_t timeout_ms = 10'000);
  // The first line that any of the running nodes says, `except` apart, and who says it.
  Result<std::pair<std::size_t, Json>> receive_any(std::size_t except, std::int64_t timeout_ms);
  Result<void> stop();

 private:
  std::vector<std::unique_ptr<NodeProcess>> nodes_;
};

}  // namespace drave::raft_bench
