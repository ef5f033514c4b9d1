#include "tools/sim/sim_node.h"

#include <fmt/format.h>

#include <cstdio>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "io/sync.h"

namespace drave::simulation {

namespace {

constexpr const char* kClusterId = "MkU3OEVBNTcwNTJENDM2Qg";

}  // namespace

broker::BrokerConfig config_for(const io::sim::Node& machine,
                                const std::vector<std::string>& settings) {
  const std::string clients = fmt::format("PLAINTEXT://{}:{}", machine.host(), kClientPort);
  std::vector<std::string> texts{"node.id=1",
                                 "process.roles=broker,controller",
                                 "listeners=" + clients,
                                 "controller.listener.names=CONTROLLER",
                                 "advertised.listeners=" + clients,
                                 "log.dirs=data",
                                 "drave.http.listener=off",
                                 "drave.journal.bytes=16MiB",
                                 "drave.journal.file.bytes=1MiB"};
  texts.insert(texts.end(), settings.begin(), settings.end());
  std::vector<broker::Property> properties;
  for (const std::string& text : texts) {
    auto property = broker::parse_override(text);
    ASSERT(property.has_value());
    properties.push_back(std::move(*property));
  }
  broker::LoadedConfig loaded = broker::load_broker_config(properties, {});
  for (const std::string& error : loaded.errors) fmt::print(stderr, "{}\n", error);
  ASSERT(loaded.errors.empty());
  return *loaded.config;
}

void SimNode::set_format(raft::FormatOptions options) {
  if (options.cluster_id.empty()) options.cluster_id = kClusterId;
  options.node_id = config_.node_id;
  options.directories = config_.log_dirs;
  options.metadata_directory = config_.metadata_log_dir;
  options.controller_host = machine_.host();
  options.controller_port = kControllerPort;
  options.ignore_formatted = true;
  format_ = std::move(options);
}

void SimNode::start(std::uint32_t shards) {
  is_ready_ = is_stopping_ = has_stopped_ = has_failed_ = false;
  node_ = nullptr;  // a corpse may be left behind that does not come to its end
  problem_.clear();
  machine_.start([this](io::sim::Process& process) { return run(process); }, shards);
}

std::vector<std::size_t> SimNode::connections_of_shards() {
  std::vector<std::size_t> counts;
  for (std::uint32_t i = 0; node() != nullptr && i < node_->shard_count(); ++i)
    counts.push_back(node_->shard(i).connection_count());
  return counts;
}

io::Task<void> SimNode::run(io::sim::Process& process) {
  std::vector<io::Loop*> loops;
  for (std::uint32_t i = 0; i < process.shard_count(); ++i) loops.push_back(&process.loop(i));
  broker::Node node(loops, config_);
  io::Gate stop(process.loop(0));
  process.on_stop([&stop, &node] {
    if (stop.is_open()) node.hurry();
    node.cancel_start();
    stop.open();
  });
  node.on_failed([this, &process, &stop](const std::string& why) {
    if (!process.is_dead()) {
      problem_ = why;
      has_failed_ = true;
    }
    stop.open();
  });
  Result<void> formatted;
  if (format_.has_value()) {
    if (auto done = co_await raft::format(process.loop(0), *format_); !done)
      formatted = std::unexpected(std::move(done).error());
  }
  if (formatted)
    co_await serve(process, node, stop);
  else if (!process.is_dead())
    problem_ = formatted.error().message();
  if (!process.is_dead()) has_stopped_ = true;
}

io::Task<void> SimNode::serve(io::sim::Process& process, broker::Node& node, io::Gate& stop) {
  io::Scope asked(process.loop(0));
  node_ = &node;
  asked_ = &asked;
  const Result<void> started = co_await node.start();
  if (started) {
    if (!process.is_dead()) is_ready_ = true;
    co_await stop.wait();
  } else if (!process.is_dead()) {
    problem_ = started.error().message();
    LOG_WARN("sim", "node={} did not start: {}", config_.node_id, problem_);
  }
  is_stopping_ = true;
  co_await node.stop();
  co_await asked.join();
  is_ready_ = false;
  node_ = nullptr;
}

}  // namespace drave::simulation
