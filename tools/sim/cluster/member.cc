#include "tools/sim/cluster/member.h"

#include <fmt/format.h>

#include "base/log.h"
#include "io/scope.h"
#include "io/sync.h"
#include "protocol/messages/end_quorum_epoch.h"
#include "raftlog/raft_log.h"

namespace drave::simulation {

namespace {

constexpr const char* kClusterId = "MkU3OEVBNTcwNTJENDM2Qg";

std::vector<std::string> settings_of(const io::sim::Node& machine, const Member::Options& options) {
  const std::string clients = fmt::format("PLAINTEXT://{}:{}", machine.host(), kClientPort);
  const std::string others = fmt::format("CONTROLLER://{}:{}", machine.host(), kControllerPort);
  std::vector<std::string> texts{fmt::format("node.id={}", options.id),
                                 "controller.listener.names=CONTROLLER",
                                 "log.dirs=data",
                                 "drave.http.listener=off",
                                 "drave.journal.bytes=16MiB",
                                 "drave.journal.file.bytes=1MiB"};
  switch (options.roles) {
    case Roles::both:
      texts.push_back("process.roles=broker,controller");
      texts.push_back("listeners=" + clients + "," + others);
      texts.push_back("advertised.listeners=" + clients);
      break;
    case Roles::controller:
      texts.push_back("process.roles=controller");
      texts.push_back("listeners=" + others);
      texts.push_back("advertised.listeners=" + others);
      break;
    case Roles::broker:
      texts.push_back("process.roles=broker");
      texts.push_back("listeners=" + clients);
      texts.push_back("advertised.listeners=" + clients);
      break;
  }
  texts.insert(texts.end(), options.settings.begin(), options.settings.end());
  return texts;
}

broker::BrokerConfig config_for(const io::sim::Node& machine, const Member::Options& options) {
  std::vector<broker::Property> properties;
  for (const std::string& text : settings_of(machine, options)) {
    auto property = broker::parse_override(text);
    ASSERT(property.has_value());
    properties.push_back(std::move(*property));
  }
  broker::LoadedConfig loaded = broker::load_broker_config(properties, {});
  for (const std::string& error : loaded.errors) fmt::print(stderr, "{}\n", error);
  ASSERT(loaded.errors.empty());
  return *loaded.config;
}

}  // namespace

Member::Member(io::sim::Node& machine, const Options& options)
    : machine_(machine),
      config_(config_for(machine, options)),
      format_(options.format),
      shards_(options.shards) {
  format_.cluster_id = kClusterId;
  format_.node_id = options.id;
  format_.directories = config_.log_dirs;
  format_.metadata_directory = config_.metadata_log_dir;
  format_.controller_host = machine.host();
  format_.controller_port = kControllerPort;
  format_.ignore_formatted = true;
}

void Member::start() {
  ASSERT(!machine_.is_running());
  is_ready_ = is_stopping_ = false;
  node_ = nullptr;  // a corpse may be left behind that does not come to its end
  problem_.clear();
  has_failed_ = false;
  ++life_;
  machine_.start([this](io::sim::Process& process) { return run(process); }, shards_);
}

broker::QuorumController* Member::controller() {
  if (node_ == nullptr || (!is_ready_ && node_->lifecycle() == nullptr)) return nullptr;
  return node_->controller().has_stopped() ? nullptr : &node_->controller();
}

namespace {

io::Task<void> ask_to_hand_over(raft::RaftLog& log, protocol::EndQuorumEpochRequest request) {
  [[maybe_unused]] const auto answer = co_await log.end_quorum_epoch(request, 0);
}

}  // namespace

void Member::hand_over_to(NodeId successor) {
  raft::RaftLog& log = controller()->raft();
  protocol::EndQuorumEpochRequest request;
  auto& topic = request.topics.emplace_back();
  topic.topic_name = raft::kMetadataTopic;
  auto& partition = topic.partitions.emplace_back();
  partition.leader_id = id();
  partition.leader_epoch = log.epoch();
  partition.preferred_successors.push_back(successor);
  scope_->spawn(ask_to_hand_over(log, std::move(request)));
}

io::Task<void> Member::run(io::sim::Process& process) {
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
  const auto formatted = co_await raft::format(process.loop(0), format_);
  if (formatted)
    co_await serve(process, node, stop);
  else if (!process.is_dead())
    problem_ = formatted.error().message();
}

io::Task<void> Member::serve(io::sim::Process& process, broker::Node& node, io::Gate& stop) {
  node_ = &node;
  io::Scope asked(process.loop(0));
  scope_ = &asked;
  const Result<void> started = co_await node.start();
  if (started) {
    if (!process.is_dead()) is_ready_ = true;
    co_await stop.wait();
  } else if (!process.is_dead()) {
    problem_ = started.error().message();
    LOG_WARN("sim", "node={} did not start: {}", id(), problem_);
  }
  is_stopping_ = true;
  co_await node.stop();
  co_await asked.join();
  is_ready_ = false;
  node_ = nullptr;
}

}  // namespace drave::simulation
