#include "tools/sim/cluster/member.h"

#include <fmt/format.h>

#include <utility>

#include "base/assert.h"
#include "protocol/messages/end_quorum_epoch.h"
#include "raftlog/raft_log.h"

namespace drave::simulation {

namespace {

std::vector<std::string> settings_of(const io::sim::Node& machine, const Member::Options& options) {
  const std::string clients = fmt::format("PLAINTEXT://{}:{}", machine.host(), kClientPort);
  const std::string others = fmt::format("CONTROLLER://{}:{}", machine.host(), kControllerPort);
  std::vector<std::string> texts{fmt::format("node.id={}", options.id)};
  switch (options.roles) {
    case Roles::both: texts.push_back("listeners=" + clients + "," + others); break;
    case Roles::controller:
      texts.push_back("process.roles=controller");
      texts.push_back("listeners=" + others);
      texts.push_back("advertised.listeners=" + others);
      break;
    case Roles::broker: texts.push_back("process.roles=broker"); break;
  }
  texts.insert(texts.end(), options.settings.begin(), options.settings.end());
  return texts;
}

}  // namespace

Member::Member(io::sim::Node& machine, const Options& options)
    : node_(machine, config_for(machine, settings_of(machine, options))), shards_(options.shards) {
  node_.set_format(options.format);
}

void Member::start() {
  ASSERT(!machine().is_running());
  ++life_;
  node_.start(shards_);
}

broker::QuorumController* Member::controller() {
  broker::Node* node = node_.any_node();
  if (node == nullptr || (!is_ready() && node->lifecycle() == nullptr)) return nullptr;
  return node->controller().has_stopped() ? nullptr : &node->controller();
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
  node_.spawn(ask_to_hand_over(log, std::move(request)));
}

}  // namespace drave::simulation
