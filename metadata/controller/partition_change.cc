#include "metadata/controller/partition_change.h"

#include <algorithm>
#include <set>

#include "metadata/features.h"

namespace drave::metadata {

namespace {

constexpr std::int8_t kRecovering = 1;

bool contains(const std::vector<NodeId>& ids, NodeId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

bool same_set(std::vector<NodeId> left, std::vector<NodeId> right) {
  std::sort(left.begin(), left.end());
  std::sort(right.begin(), right.end());
  return left == right;
}

class Change {
 public:
  Change(const PartitionImage& partition, const PartitionGoal& goal, const PartitionRules& rules)
      : partition_(partition),
        goal_(goal),
        rules_(rules),
        isr_(goal.isr),
        elr_(partition.eligible_leader_replicas) {}

  std::optional<protocol::PartitionChangeRecord> build() {
    find_eligible();
    elect();
    if (!rules_.elr || record_.isr.has_value()) elr_.clear();
    if (!same_set(elr_, partition_.eligible_leader_replicas))
      record_.eligible_leader_replicas = elr_;
    // Without eligible leader replicas an ISR is never empty: its last member stays.
    if (!record_.isr.has_value() && (!isr_.empty() || rules_.elr) && isr_ != partition_.isr)
      record_.isr = isr_;
    bump_epoch_of_shrink();
    remember_last_leader();
    if (!goal_.directories.empty() && goal_.directories != partition_.directories)
      record_.directories = goal_.directories;
    drop_unknown_fields();
    const bool changes = record_.leader != kLeaderUnchanged || record_.isr.has_value() ||
                         record_.eligible_leader_replicas.has_value() ||
                         record_.last_known_elr.has_value() || record_.directories.has_value() ||
                         record_.leader_recovery_state >= 0;
    return changes ? std::optional(std::move(record_)) : std::nullopt;
  }

 private:
  // Below the minimum, who leaves the ISR stays eligible, unless it may have lost something.
  void find_eligible() {
    if (!rules_.elr) return;
    if (isr_.size() >= rules_.min_isr) return elr_.clear();
    std::set<NodeId> candidates(elr_.begin(), elr_.end());
    candidates.insert(partition_.isr.begin(), partition_.isr.end());
    elr_.clear();
    for (const NodeId id : candidates)
      if (!contains(isr_, id) && id != goal_.unclean_replica) elr_.push_back(id);
  }

  bool is_valid(NodeId id) const {
    const bool has_all = contains(isr_, id) || (isr_.empty() && contains(elr_, id));
    return has_all && goal_.may_lead(id);
  }

  NodeId clean_leader() const {
    if (goal_.election == Election::preferred && is_valid(partition_.replicas.front()))
      return partition_.replicas.front();
    if (is_valid(partition_.leader)) return partition_.leader;
    for (const NodeId id : partition_.replicas)
      if (is_valid(id)) return id;
    return kNoLeader;
  }

  // When nobody is in sync or eligible: the one that led last; else, if it may be, anybody.
  NodeId unclean_leader() const {
    const std::vector<NodeId>& last = partition_.last_known_elr;
    if (rules_.elr && isr_.empty() && elr_.empty() && last.size() == 1 &&
        goal_.may_lead(last.front()))
      return last.front();
    if (goal_.election == Election::unclean)
      for (const NodeId id : partition_.replicas)
        if (goal_.may_lead(id)) return id;
    return kNoLeader;
  }

  void elect() {
    if (partition_.replicas.empty()) return;
    NodeId leader = clean_leader();
    bool unclean = false;
    if (leader == kNoLeader) {
      leader = unclean_leader();
      unclean = leader != kNoLeader;
    }
    if (leader == partition_.leader) return;
    record_.leader = leader;
    if (contains(elr_, leader)) {
      isr_ = {leader};
      std::erase(elr_, leader);
    }
    if (!unclean) return;
    record_.isr = std::vector<NodeId>{leader};
    if (partition_.leader_recovery_state != kRecovering)
      record_.leader_recovery_state = kRecovering;
  }

  // Brokers before 3.6-IV0 rely on it.
  void bump_epoch_of_shrink() {
    if (rules_.metadata_version >= metadata_level::kNoEpochOfShrink) return;
    if (record_.leader != kLeaderUnchanged || !record_.isr.has_value()) return;
    for (const NodeId id : partition_.isr)
      if (!contains(*record_.isr, id)) record_.leader = partition_.leader;
  }

  void remember_last_leader() {
    if (!rules_.elr) return;
    if (record_.leader == kNoLeader && partition_.last_known_elr.empty())
      record_.last_known_elr = std::vector<NodeId>{partition_.leader};
    else if (record_.leader >= 0 && !partition_.last_known_elr.empty())
      record_.last_known_elr = std::vector<NodeId>();
  }

  void drop_unknown_fields() {
    const std::int16_t version = partition_version(rules_.metadata_version);
    if (version < 1) record_.directories.reset();
    if (version < 2) record_.eligible_leader_replicas.reset();
    if (version < 2) record_.last_known_elr.reset();
  }

  const PartitionImage& partition_;
  const PartitionGoal& goal_;
  const PartitionRules& rules_;
  std::vector<NodeId> isr_;
  std::vector<NodeId> elr_;
  protocol::PartitionChangeRecord record_;
};

}  // namespace

PartitionRules partition_rules(const ControllerContext& context, const TopicImage& topic) {
  static const ConfigDef& min_isr = *find_config(ConfigScope::topic, "min.insync.replicas");
  static const ConfigDef& unclean =
      *find_config(ConfigScope::topic, "unclean.leader.election.enable");
  const ConfigLayers layers =
      context.layers(context.image.configs({ConfigResourceType::topic, topic.name}));
  PartitionRules rules;
  rules.metadata_version = context.image.feature(kMetadataVersion);
  rules.elr = context.image.feature(kElrVersion) > 0;
  if (const auto value = resolve_config(unclean, layers))
    rules.unclean_election = value->value == "true";
  const std::size_t replicas =
      topic.partitions.empty() ? 1 : topic.partitions.begin()->second.replicas.size();
  if (const auto value = resolve_config(min_isr, layers))
    rules.min_isr =
        static_cast<std::size_t>(std::max(1L, std::strtol(value->value.c_str(), nullptr, 10)));
  rules.min_isr = std::min(rules.min_isr, std::max<std::size_t>(replicas, 1));
  return rules;
}

std::optional<protocol::PartitionChangeRecord> change_partition(const PartitionImage& partition,
                                                                const PartitionGoal& goal,
                                                                const PartitionRules& rules) {
  return Change(partition, goal, rules).build();
}

}  // namespace drave::metadata
