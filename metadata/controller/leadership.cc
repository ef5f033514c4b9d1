#include "metadata/controller/leadership.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>

#include "base/assert.h"
#include "metadata/controller/partition_change.h"
#include "metadata/features.h"
#include "protocol/error_code.h"

namespace drave::metadata {

namespace {

using protocol::ErrorCode;

std::int16_t code_of(ErrorCode code) {
  return static_cast<std::int16_t>(code);
}

bool contains(const std::vector<NodeId>& ids, NodeId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// What happens to a broker; -1 where nothing does.
struct BrokerChange {
  NodeId removed = -1;  // neither in ISRs nor leading any more
  NodeId added = -1;    // may lead, whatever its registration says
  NodeId unclean = -1;  // removed, and not eligible either
  NodeId leaving = -1;  // leads nothing new
};

bool may_lead(const Image& image, const BrokerChange& change, const PartitionImage& partition,
              NodeId id) {
  const RegistrationImage* broker = image.broker(id);
  if (broker == nullptr || id == change.removed || id == change.unclean || id == change.leaving)
    return false;
  return (id == change.added || broker->is_active()) && has_directory(*broker, partition);
}

PartitionGoal goal_of(const Image& image, const BrokerChange& change,
                      const PartitionImage& partition, bool unclean_election) {
  PartitionGoal goal;
  for (const NodeId id : partition.isr)
    if (id != change.removed && id != change.unclean) goal.isr.push_back(id);
  goal.unclean_replica = change.unclean;
  goal.election = unclean_election ? Election::unclean : Election::online;
  goal.may_lead = [&image, change, &partition](NodeId id) {
    return may_lead(image, change, partition, id);
  };
  return goal;
}

void add_change(protocol::PartitionChangeRecord& record, const TopicId& topic, PartitionIndex index,
                std::int16_t metadata_version, RecordList& records) {
  record.topic_id = topic;
  record.partition_id = index;
  records.add(record, partition_version(metadata_version));
}

// Where a walk over all partitions stands, in the order of topics' names, and when it stops.
struct Walk {
  std::string topic = {};
  PartitionIndex partition = 0;
  std::size_t looked_at_max = SIZE_MAX;
  std::size_t changed_max = SIZE_MAX;
  std::size_t topics_changed_max = SIZE_MAX;
  bool is_of_one_topic = false;
  std::size_t looked_at = 0;
};

// Changes the partitions that `concerns` picks. False: it stopped before the end.
template <class Concerns>
bool change_partitions(const ControllerContext& context, const BrokerChange& change,
                       Concerns concerns, Walk& walk, RecordList& records) {
  const auto& topics = context.image.topics().by_name();
  const std::size_t changed_before = records.size();
  std::size_t topics_changed = 0;
  for (auto at = topics.lower_bound(walk.topic); at != topics.end(); ++at) {
    const TopicImage& topic = *at->second;
    if (topics_changed == walk.topics_changed_max) {
      walk.topic = topic.name;
      walk.partition = 0;
      return false;
    }
    std::optional<PartitionRules> rules;
    auto place = topic.partitions.lower_bound(at->first == walk.topic ? walk.partition : 0);
    for (; place != topic.partitions.end(); ++place) {
      const auto& [index, partition] = *place;
      if (walk.looked_at >= walk.looked_at_max ||
          records.size() - changed_before >= walk.changed_max) {
        walk.topic = topic.name;
        walk.partition = index;
        return false;
      }
      ++walk.looked_at;
      if (!concerns(partition)) continue;
      if (!rules.has_value()) rules = partition_rules(context, topic);
      auto record = change_partition(
          partition, goal_of(context.image, change, partition, rules->unclean_election), *rules);
      if (record.has_value())
        add_change(*record, topic.id, index, rules->metadata_version, records);
    }
    if (rules.has_value()) ++topics_changed;
    if (walk.is_of_one_topic) break;
  }
  return true;
}

// Nobody looks for what is not there.
bool has_work(const Image& image, NodeId broker, SweepStep step) {
  const ReplicaCounts counts = image.replica_counts(broker);
  switch (step) {
    case SweepStep::out_of_isrs:
    case SweepStep::out_of_directory:
    case SweepStep::unclean_out_of_isrs: return counts.in_isr > 0;
    case SweepStep::out_of_elrs:
    case SweepStep::unclean_out_of_elrs: return counts.in_elr > 0;
    case SweepStep::lead_again: return image.replica_counts(kNoLeader).leads > 0;
  }
  return true;
}

// Whose change a step is; `directory` counts for out_of_directory.
struct Swept {
  NodeId broker;
  Uuid directory = {};
};

bool take_step(const ControllerContext& context, const Swept& swept, SweepStep step, Walk& walk,
               RecordList& records) {
  const NodeId broker = swept.broker;
  if (!has_work(context.image, broker, step)) return true;
  const auto in_isr = [broker](const PartitionImage& partition) {
    return contains(partition.isr, broker);
  };
  const auto in_elr = [broker](const PartitionImage& partition) {
    return contains(partition.eligible_leader_replicas, broker);
  };
  const auto is_there = [&swept](const PartitionImage& partition) {
    for (std::size_t i = 0; i < partition.replicas.size() && i < partition.directories.size(); ++i)
      if (partition.replicas[i] == swept.broker) return partition.directories[i] == swept.directory;
    return false;
  };
  const auto leaderless = [](const PartitionImage& partition) {
    return partition.leader == kNoLeader;
  };
  switch (step) {
    case SweepStep::out_of_isrs:
      return change_partitions(context, {.removed = broker}, in_isr, walk, records);
    case SweepStep::out_of_elrs:
      return change_partitions(context, {.removed = broker}, in_elr, walk, records);
    case SweepStep::unclean_out_of_isrs:
      return change_partitions(context, {.unclean = broker}, in_isr, walk, records);
    case SweepStep::unclean_out_of_elrs:
      return change_partitions(context, {.unclean = broker}, in_elr, walk, records);
    case SweepStep::out_of_directory:
      return change_partitions(context, {.removed = broker}, is_there, walk, records);
    case SweepStep::lead_again:
      return change_partitions(context, {.added = broker}, leaderless, walk, records);
  }
  return true;
}

void take_whole_step(const ControllerContext& context, const Swept& swept, SweepStep step,
                     RecordList& records) {
  Walk walk;
  take_step(context, swept, step, walk, records);
}

}  // namespace

std::optional<NodeId> PartitionSweep::leaving() const {
  const bool leaves = std::any_of(all_steps_.begin(), all_steps_.end(), [](SweepStep step) {
    return step != SweepStep::out_of_directory && step != SweepStep::lead_again;
  });
  return leaves ? std::optional<NodeId>(broker_) : std::nullopt;
}

std::optional<PartitionSweep> PartitionSweep::plan(const Image& image, NodeId broker,
                                                   std::vector<SweepStep> steps,
                                                   const Uuid& directory) {
  std::erase_if(steps, [&](SweepStep step) {
    // Who leaves an ISR may become eligible by that.
    const bool may_come = step == SweepStep::out_of_elrs || step == SweepStep::unclean_out_of_elrs;
    return !has_work(image, broker, step) &&
           !(may_come && has_work(image, broker, SweepStep::out_of_isrs));
  });
  std::int64_t partitions = image.replica_counts(kNoLeader).leads;
  for (const auto& [id, registration] : image.brokers())
    partitions += image.replica_counts(id).leads;
  if (steps.empty() || partitions <= static_cast<std::int64_t>(kChangedMax)) return std::nullopt;
  return PartitionSweep(broker, std::move(steps), directory);
}

bool PartitionSweep::next(const ControllerContext& context, RecordList& records) {
  ASSERT(!steps_.empty());
  Walk walk{topic_, partition_, kLookedAtMax, kChangedMax, kTopicsChangedMax};
  if (take_step(context, {broker_, directory_}, steps_.front(), walk, records)) {
    steps_.erase(steps_.begin());
    walk = {};
  }
  topic_ = std::move(walk.topic);
  partition_ = walk.partition;
  return !steps_.empty();
}

bool PartitionSweep::revisit(const ControllerContext& context, const std::set<std::string>& topics,
                             RecordList& records) {
  ASSERT(steps_.empty());
  if (revisited_ == all_steps_.size()) return false;
  Walk walk{topic_, partition_, kLookedAtMax, kChangedMax, kTopicsChangedMax, true};
  bool is_full = false;
  for (auto at = topics.lower_bound(topic_); at != topics.end() && !is_full; ++at) {
    if (walk.topic != *at) walk.partition = 0;
    walk.topic = *at;
    if (context.image.topics().find(*at) == nullptr) continue;
    const std::size_t before = records.size();
    is_full = !take_step(context, {broker_, directory_}, all_steps_[revisited_], walk, records);
    walk.changed_max -= records.size() - before;
    if (records.size() > before) --walk.topics_changed_max;
  }
  if (!is_full) {
    ++revisited_;
    walk = {};
  }
  topic_ = std::move(walk.topic);
  partition_ = walk.partition;
  return revisited_ < all_steps_.size();
}

void add_changed_topics(const Image& before, const Image& after, std::set<std::string>& names) {
  SharedMap<std::string, TopicPtr>::for_each_change(
      before.topics().by_name(), after.topics().by_name(),
      [&names](const std::string& name, auto, auto) { names.insert(name); });
}

std::vector<PartitionSweep> left_over(const Image& image) {
  std::vector<PartitionSweep> sweeps;
  for (const auto& [id, broker] : image.brokers())
    if (broker.fenced && leads_any(image, id)) sweeps.push_back({id, {SweepStep::out_of_isrs}});
  if (leads_any(image, kNoLeader)) sweeps.push_back({-1, {SweepStep::lead_again}});
  return sweeps;
}

void remove_from_isrs(const ControllerContext& context, NodeId broker, RecordList& records) {
  take_whole_step(context, {broker}, SweepStep::out_of_isrs, records);
}

void remove_from_elrs(const ControllerContext& context, NodeId broker, RecordList& records) {
  take_whole_step(context, {broker}, SweepStep::out_of_elrs, records);
}

void remove_unclean(const ControllerContext& context, NodeId broker, RecordList& records) {
  take_whole_step(context, {broker}, SweepStep::unclean_out_of_isrs, records);
  take_whole_step(context, {broker}, SweepStep::unclean_out_of_elrs, records);
}

void remove_directory(const ControllerContext& context, NodeId broker, const Uuid& directory,
                      RecordList& records) {
  take_whole_step(context, {broker, directory}, SweepStep::out_of_directory, records);
}

void lead_again(const ControllerContext& context, NodeId broker, RecordList& records) {
  take_whole_step(context, {broker}, SweepStep::lead_again, records);
}

bool leads_any(const Image& image, NodeId broker) {
  return image.replica_counts(broker).leads > 0;
}

bool can_hand_over(const ControllerContext& context, NodeId broker) {
  if (!leads_any(context.image, broker)) return false;
  const BrokerChange leaving{.removed = broker};
  for (const auto& [name, topic] : context.image.topics().by_name()) {
    for (const auto& [index, partition] : topic->partitions) {
      if (partition.leader != broker || partition.replicas.size() < 2) continue;
      for (const NodeId id : partition.replicas)
        if (may_lead(context.image, leaving, partition, id)) return true;
    }
  }
  return false;
}

// --- ElectLeaders

namespace {

struct Problem {
  ErrorCode code = ErrorCode::none;
  std::string text;
};

Problem problem_of(ErrorCode code) {
  return {code, std::string(protocol::message(code))};
}

// One partition's election. The topic is there.
Problem elect(const ControllerContext& context, const TopicImage& topic, PartitionIndex index,
              Election election, RecordList& records) {
  const auto found = topic.partitions.find(index);
  if (found == topic.partitions.end()) {
    return {ErrorCode::unknown_topic_or_partition,
            fmt::format("No such partition as {}-{}", topic.name, index)};
  }
  const PartitionImage& partition = found->second;
  const bool preferred_leads =
      !partition.replicas.empty() && partition.leader == partition.replicas.front();
  if (election == Election::preferred ? preferred_leads : partition.leader != kNoLeader)
    return problem_of(ErrorCode::election_not_needed);
  const PartitionRules rules = partition_rules(context, topic);
  const BrokerChange nothing_new{.leaving = context.leaving.value_or(-1)};
  PartitionGoal goal = goal_of(context.image, nothing_new, partition, false);
  goal.election = election;
  auto record = change_partition(partition, goal, rules);
  if (!record.has_value()) {
    return problem_of(election == Election::preferred ? ErrorCode::preferred_leader_not_available
                                                      : ErrorCode::eligible_leaders_not_available);
  }
  add_change(*record, topic.id, index, rules.metadata_version, records);
  return {};
}

// A null list of topics means every partition.
class ElectionOfLeaders final : public Decision<protocol::ElectLeadersResponse> {
 public:
  ElectionOfLeaders(const ControllerContext& context, const protocol::ElectLeadersRequest& request)
      : context_(context),
        request_(request),
        election_(request.election_type == 0 ? Election::preferred : Election::unclean),
        topic_(context_.image.topics().by_name().begin()) {}

  bool next(RecordList& records) override {
    if (request_.election_type != 0 && request_.election_type != 1) {
      refuse_election(request_, code_of(ErrorCode::invalid_request), answer.message);
      return false;
    }
    Piece piece(records);
    left_ = kLookedAtMax;
    return request_.topic_partitions.has_value() ? next_asked(piece, records)
                                                 : next_of_all(piece, records);
  }

 private:
  static constexpr std::size_t kLookedAtMax = 1000;

  bool next_of_all(Piece& piece, RecordList& records) {
    const auto& topics = context_.image.topics().by_name();
    for (; topic_ != topics.end(); ++topic_, index_ = 0, in_topic_ = false) {
      const TopicImage& topic = *topic_->second;
      if (!std::exchange(in_topic_, true)) begin_topic(answer.keep(topic.name));
      for (auto at = topic.partitions.lower_bound(index_); at != topic.partitions.end(); ++at) {
        index_ = at->first;
        if (is_full(piece, records)) return true;
        add(at->first, elect(context_, topic, at->first, election_, records), true);
      }
    }
    return false;
  }

  bool next_asked(Piece& piece, RecordList& records) {
    const auto& topics = *request_.topic_partitions;
    for (; asked_ < topics.size(); ++asked_, position_ = 0, in_topic_ = false) {
      const auto& asked = topics[asked_];
      if (!std::exchange(in_topic_, true)) begin_topic(asked.topic);
      for (; position_ < asked.partitions.size(); ++position_) {
        if (is_full(piece, records)) return true;
        take(asked.topic, asked.partitions[position_], records);
      }
    }
    return false;
  }

  void take(std::string_view name, PartitionIndex index, RecordList& records) {
    const TopicImage* topic = context_.image.topics().find(name);
    if (topic == nullptr)
      add(index, {ErrorCode::unknown_topic_or_partition, fmt::format("No such topic as {}", name)});
    else if (!seen_.emplace(name, index).second)
      add(index, problem_of(ErrorCode::election_not_needed));
    else
      add(index, elect(context_, *topic, index, election_, records));
  }

  bool is_full(const Piece& piece, const RecordList& records) {
    return piece.is_full(records) || left_-- == 0;
  }

  void begin_topic(std::string_view name) {
    answer.message.replica_election_results.emplace_back().topic = name;
  }

  void add(PartitionIndex index, Problem problem, bool only_if_needed = false) {
    if (only_if_needed && problem.code == ErrorCode::election_not_needed) return;
    auto& result = answer.message.replica_election_results.back().partition_result.emplace_back();
    result.partition_id = index;
    result.error_code = code_of(problem.code);
    result.error_message = std::nullopt;
    if (problem.code != ErrorCode::none)
      result.error_message = answer.keep(std::move(problem.text));
  }

  const ControllerContext context_;
  const protocol::ElectLeadersRequest& request_;
  const Election election_;
  // Of all topics: the next partition to be looked at.
  SharedMap<std::string, TopicPtr>::const_iterator topic_;
  PartitionIndex index_ = 0;
  // Of those that were asked for, likewise.
  std::size_t asked_ = 0;
  std::size_t position_ = 0;
  std::set<std::pair<std::string_view, PartitionIndex>> seen_;
  bool in_topic_ = false;  // whose results are begun
  std::size_t left_ = 0;   // partitions that this piece may still look at
};

}  // namespace

std::unique_ptr<Decision<protocol::ElectLeadersResponse>> begin_elect_leaders(
    const ControllerContext& context, const protocol::ElectLeadersRequest& request) {
  return std::make_unique<ElectionOfLeaders>(context, request);
}

protocol::OwnedMessage<protocol::ElectLeadersResponse> elect_leaders(
    const ControllerContext& context, const protocol::ElectLeadersRequest& request,
    RecordList& records) {
  return decide_at_once(begin_elect_leaders(context, request), records);
}

void refuse_election(const protocol::ElectLeadersRequest& request, std::int16_t error_code,
                     protocol::ElectLeadersResponse& answer) {
  answer.error_code = error_code;
  answer.replica_election_results.clear();
  if (!request.topic_partitions.has_value()) return;
  for (const auto& asked : *request.topic_partitions) {
    auto& results = answer.replica_election_results.emplace_back();
    results.topic = asked.topic;
    for (const PartitionIndex index : asked.partitions) {
      auto& result = results.partition_result.emplace_back();
      result.partition_id = index;
      result.error_code = error_code;
      result.error_message = std::nullopt;
    }
  }
}

// --- AssignReplicasToDirs

namespace {

// Where a broker says one of its replicas is.
struct Assignment {
  const RegistrationImage& broker;
  const Uuid& directory;
};

ErrorCode assign(const ControllerContext& context, const TopicImage& topic, PartitionIndex index,
                 const Assignment& assignment, RecordList& records) {
  const auto found = topic.partitions.find(index);
  if (found == topic.partitions.end()) return ErrorCode::unknown_topic_or_partition;
  const PartitionImage& partition = found->second;
  const NodeId broker = assignment.broker.id;
  const auto at = std::find(partition.replicas.begin(), partition.replicas.end(), broker);
  if (at == partition.replicas.end()) return ErrorCode::not_leader_or_follower;
  const PartitionRules rules = partition_rules(context, topic);
  const bool online = is_online(assignment.broker, assignment.directory);
  // Who may lead is judged by where the replica is now: one that was in a directory that is gone
  // leads from here on, and not only after the broker's next start.
  PartitionImage moved = partition;
  moved.directories.resize(moved.replicas.size());
  moved.directories[static_cast<std::size_t>(at - partition.replicas.begin())] =
      assignment.directory;
  PartitionGoal goal = goal_of(context.image, {.removed = online ? -1 : broker}, moved,
                               !online && rules.unclean_election);
  goal.directories = moved.directories;
  if (auto record = change_partition(partition, goal, rules))
    add_change(*record, topic.id, index, rules.metadata_version, records);
  return ErrorCode::none;
}

}  // namespace

protocol::OwnedMessage<protocol::AssignReplicasToDirsResponse> assign_replicas_to_dirs(
    const ControllerContext& context, const protocol::AssignReplicasToDirsRequest& request,
    RecordList& records) {
  protocol::OwnedMessage<protocol::AssignReplicasToDirsResponse> answer;
  const RegistrationImage* broker = context.image.broker(request.broker_id);
  if (context.image.feature(kMetadataVersion) < metadata_level::kDirectories)
    answer.message.error_code = code_of(ErrorCode::unsupported_version);
  else if (broker == nullptr || broker->epoch != request.broker_epoch)
    answer.message.error_code = code_of(ErrorCode::stale_broker_epoch);
  if (answer.message.error_code != 0) return answer;
  std::set<std::pair<TopicId, PartitionIndex>> seen;
  for (const auto& directory : request.directories) {
    auto& directory_answer = answer.message.directories.emplace_back();
    directory_answer.id = directory.id;
    for (const auto& asked : directory.topics) {
      auto& topic_answer = directory_answer.topics.emplace_back();
      topic_answer.topic_id = asked.topic_id;
      const TopicImage* topic = context.image.topics().find(asked.topic_id);
      for (const auto& partition : asked.partitions) {
        auto& result = topic_answer.partitions.emplace_back();
        result.partition_index = partition.partition_index;
        ErrorCode code = ErrorCode::unknown_topic_id;
        if (topic != nullptr && !seen.emplace(topic->id, partition.partition_index).second)
          code = ErrorCode::invalid_request;
        else if (topic != nullptr)
          code =
              assign(context, *topic, partition.partition_index, {*broker, directory.id}, records);
        result.error_code = code_of(code);
      }
    }
  }
  return answer;
}

}  // namespace drave::metadata
