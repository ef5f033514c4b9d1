// draved: the node.

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/log.h"
#include "broker/config/broker_config.h"
#include "broker/config/server_properties.h"
#include "broker/http/http_server.h"
#include "broker/limits.h"
#include "broker/node.h"
#include "io/process.h"
#include "io/threads.h"
#include "io/uring/uring_backend.h"

namespace drave::broker {
namespace {

// Exit codes; README.md of this folder explains them.
constexpr int kExitOk = 0;
constexpr int kExitStart = 1;   // the node could not start, or failed
constexpr int kExitConfig = 2;  // the command line or the configuration is wrong

struct Arguments {
  std::string file;
  std::string profile;
  std::vector<std::string> overrides;
  bool check = false;
};

Result<std::string> read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return failure(Errc::not_found, path + ": cannot be read");
  return std::string(std::istreambuf_iterator<char>(in), {});
}

LoadedConfig load(const Arguments& arguments) {
  std::vector<Property> properties;
  LoadedConfig loaded;
  if (!arguments.profile.empty()) {
    std::optional<std::vector<Property>> named = profile(arguments.profile);
    if (!named.has_value()) {
      loaded.errors.push_back("there is no profile '" + arguments.profile + "'; there is lan");
      return loaded;
    }
    properties = std::move(*named);
  }
  if (!arguments.file.empty()) {
    const Result<std::string> text = read_text(arguments.file);
    if (!text) {
      loaded.errors.push_back(text.error().context);
      return loaded;
    }
    Result<std::vector<Property>> parsed = parse_properties(*text, arguments.file);
    if (!parsed) {
      loaded.errors.push_back(parsed.error().context);
      return loaded;
    }
    properties.insert(properties.end(), std::make_move_iterator(parsed->begin()),
                      std::make_move_iterator(parsed->end()));
  }
  for (const std::string& text : arguments.overrides) {
    Result<Property> given = parse_override(text);
    if (!given) {
      loaded.errors.push_back(given.error().context);
      return loaded;
    }
    properties.push_back(std::move(*given));
  }
  Machine machine;
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) == 0) machine.host_name = name;
  return load_broker_config(properties, machine);
}

// Runs the node on its shards until it has stopped; shard 0's thread owns it.
class Runner {
 public:
  Runner(io::ShardThreads& threads, const BrokerConfig& config) : threads_(threads) {
    std::vector<io::Loop*> loops;
    for (std::uint32_t i = 0; i < threads.count(); ++i) loops.push_back(&threads.loop(i));
    node_ = std::make_unique<Node>(std::move(loops), config);
    node_->on_failed([this](const std::string& why) { failed(why); });
  }
  void start() {
    threads_.post(0, [this] { threads_.loop(0).start(run()); });
  }
  void signaled() {
    threads_.post(0, [this] {
      if (stop_asked_) return node_->hurry();
      stop_asked_ = true;
      if (started_)
        threads_.loop(0).start(stop());
      else
        node_->cancel_start();
    });
  }
  int exit_code() const { return exit_code_; }
  Node& node() { return *node_; }

 private:
  io::Task<void> run() {
    const Result<void> started = co_await node_->start();
    started_ = true;
    if (!started && stop_asked_ && exit_code_ == kExitOk) {
      co_await stop();
    } else if (!started) {
      LOG_ERROR("broker", "the node cannot start: {}", started.error().message());
      exit_code_ = kExitStart;
      stop_asked_ = true;
      co_await stop();
    } else if (stop_asked_) {
      co_await stop();
    } else {
      LOG_INFO("broker", "ready node_id={} cluster_id={} shards={}", node_->config().node_id,
               node_->cluster_id(), node_->shard_count());
    }
  }
  void failed(const std::string& why) {
    LOG_ERROR("broker", "the node ends: {}", why);
    exit_code_ = kExitStart;
    if (std::exchange(stop_asked_, true)) return;
    if (started_) threads_.loop(0).start(stop());
  }
  io::Task<void> stop() {
    LOG_INFO("broker", "stopping");
    co_await node_->stop();
    LOG_INFO("broker", "stopped");
    threads_.stop_all();
  }

  io::ShardThreads& threads_;
  std::unique_ptr<Node> node_;
  bool started_ = false;
  bool stop_asked_ = false;
  int exit_code_ = kExitOk;
};

int serve(BrokerConfig config) {
  io::block_signals({SIGTERM, SIGINT});
  if (const auto limit = io::raise_open_files_limit(); !limit) {
    LOG_WARN("broker", "open files: {}", limit.error().message());
  } else {
    const std::uint64_t most = *limit / kDescriptorsPerConnection;
    config.connections_possible =
        static_cast<std::int32_t>(std::min<std::uint64_t>(INT32_MAX, most));
  }
  const std::uint32_t count = config.shards > 0
                                  ? static_cast<std::uint32_t>(config.shards)
                                  : static_cast<std::uint32_t>(io::allowed_processors().size());
  auto threads = io::ShardThreads::start({.count = count},
                                         [](std::uint32_t) { return io::make_uring_backend(); });
  if (!threads) {
    std::fprintf(stderr, "draved: %s\n", threads.error().message().c_str());
    return kExitStart;
  }
  Runner runner(**threads, config);
  HttpServer http(runner.node());
  if (config.http_listener.has_value()) {
    const Result<void> listening = http.start(*config.http_listener);
    if (!listening && config.http_listener->given) {
      std::fprintf(stderr, "draved: %s\n", listening.error().message().c_str());
      return kExitStart;
    }
    if (!listening) LOG_WARN("broker", "no metrics: {}", listening.error().message());
  }
  io::SignalThread signals({SIGTERM, SIGINT}, [&](int) { runner.signaled(); });
  runner.start();
  (*threads)->join();
  http.stop();
  return runner.exit_code();
}

int run(int argc, char** argv) {
  CLI::App app("draved: a Kafka-protocol broker and controller");
  Arguments arguments;
  app.add_option("file", arguments.file,
                 "server.properties; without it: one node on 127.0.0.1:9092");
  app.add_option("--profile", arguments.profile,
                 "defaults that go together; lan: nodes in one room, a lost leader is replaced "
                 "within 400 ms");
  app.add_option("--override", arguments.overrides, "key=value, as in the file; may be repeated");
  app.add_flag("--check", arguments.check,
               "read the configuration, say what is wrong with it, and exit");
  app.set_version_flag("--version", std::string("draved ") + DRAVE_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? kExitOk : kExitConfig;
  }
  const LoadedConfig loaded = load(arguments);
  for (const std::string& warning : loaded.warnings)
    std::fprintf(stderr, "warning: %s\n", warning.c_str());
  for (const std::string& error : loaded.errors) std::fprintf(stderr, "error: %s\n", error.c_str());
  if (!loaded.config.has_value()) return kExitConfig;
  if (arguments.check) {
    std::printf("the configuration is valid\n");
    return kExitOk;
  }
  log::set_level("*", loaded.config->log_level);
  for (const auto& [target, level] : loaded.config->log_levels) log::set_level(target, level);
  return serve(*loaded.config);
}

}  // namespace
}  // namespace drave::broker

int main(int argc, char** argv) {
  return drave::broker::run(argc, argv);
}
