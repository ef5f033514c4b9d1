#pragma once
// Partitions whose leader or ISR has to change because of a broker: the records, for all of them.
//
// Who has something to change walks the image's partitions; that there is nothing, the image's
// counts tell. In a large cluster the walk is taken in pieces (PartitionSweep; ElectLeaders:
// decision.h).

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "metadata/controller/context.h"
#include "metadata/controller/decision.h"
#include "metadata/record_list.h"
#include "protocol/messages/assign_replicas_to_dirs.h"
#include "protocol/messages/elect_leaders.h"
#include "protocol/owned_message.h"

namespace drave::metadata {

// What becomes of the partitions of one broker.
enum class SweepStep : std::uint8_t {
  out_of_isrs,          // another leads where one may
  out_of_elrs,          // the same where it is eligible; it stays eligible, as with Kafka
  unclean_out_of_isrs,  // it may have lost what it had acknowledged, and is not eligible either
  unclean_out_of_elrs,
  out_of_directory,  // one of its directories is gone, and with it whether it is in sync there
  lead_again,  // it leads what nobody leads and what it surely has; -1: whoever is in service does
};

// The same changes as those of the functions below, a piece at a time, for whoever appends them and
// lets others run in between. What those decide then, the walk may have passed already: revisit()
// sees to it, when there is nothing left to walk, piece by piece as well, but between its pieces
// nothing else may be decided.
//
// If the rest never comes, because the controller stopped, was deposed or had a piece refused, the
// partitions and the broker's registration do not go together: a broker in service leads nothing,
// or one that is fenced leads. No heartbeat mends that. The next controller does, before it decides
// anything (left_over); so one whose piece was refused leads no more.
class PartitionSweep {
 public:
  // Partitions looked at, and changed, in one piece: some two milliseconds.
  static constexpr std::size_t kLookedAtMax = 10'000;
  static constexpr std::size_t kChangedMax = 500;
  // Each is copied, on every node, and told to its shards: more work than its partitions.
  static constexpr std::size_t kTopicsChangedMax = 200;

  // Nothing: all together is no more than a piece, and may as well be done at once.
  static std::optional<PartitionSweep> plan(const Image& image, NodeId broker,
                                            std::vector<SweepStep> steps,
                                            const Uuid& directory = {});
  // However little it is.
  PartitionSweep(NodeId broker, std::vector<SweepStep> steps, const Uuid& directory = {})
      : broker_(broker), directory_(directory), all_steps_(steps), steps_(std::move(steps)) {}

  // Adds the changes of the next partitions; the image has those of the pieces before. False: that
  // was the last piece.
  bool next(const ControllerContext& context, RecordList& records);
  // The broker, if it goes out of service.
  std::optional<NodeId> leaving() const;
  // Adds the changes of the next of these topics, the same ones each time. False: that was the last
  // piece.
  bool revisit(const ControllerContext& context, const std::set<std::string>& topics,
               RecordList& records);

 private:
  NodeId broker_;
  Uuid directory_;  // of out_of_directory
  std::vector<SweepStep> all_steps_;
  std::vector<SweepStep> steps_;  // the one under way is the first
  std::size_t revisited_ = 0;     // of all steps
  // Where its next piece begins: topics in the order of their names.
  std::string topic_;
  PartitionIndex partition_ = 0;
};

// Adds the names of the topics that are not the same in both.
void add_changed_topics(const Image& before, const Image& after, std::set<std::string>& names);

// What brings partitions and registrations together again, whatever an earlier controller left half
// done: nobody that is fenced leads, and what nobody leads is led by whoever may. In this order.
std::vector<PartitionSweep> left_over(const Image& image);

// Out of service: out of the ISRs, and another leads where one may.
void remove_from_isrs(const ControllerContext& context, NodeId broker, RecordList& records);
// Where it is an eligible leader: another leads if one may. It stays eligible, as with Kafka.
void remove_from_elrs(const ControllerContext& context, NodeId broker, RecordList& records);
// It may have lost what it had acknowledged: neither in sync nor eligible any more.
void remove_unclean(const ControllerContext& context, NodeId broker, RecordList& records);
// One of its directories is gone.
void remove_directory(const ControllerContext& context, NodeId broker, const Uuid& directory,
                      RecordList& records);
// Comes into service: leads what nobody leads and what it surely has.
void lead_again(const ControllerContext& context, NodeId broker, RecordList& records);

bool leads_any(const Image& image, NodeId broker);
// Whether a partition that it leads could be led by somebody else.
bool can_hand_over(const ControllerContext& context, NodeId broker);

// ElectLeaders. A null list of topics means every partition; those that need no election are then
// left out of the answer.
// In pieces, or at once.
std::unique_ptr<Decision<protocol::ElectLeadersResponse>> begin_elect_leaders(
    const ControllerContext& context, const protocol::ElectLeadersRequest& request);
protocol::OwnedMessage<protocol::ElectLeadersResponse> elect_leaders(
    const ControllerContext& context, const protocol::ElectLeadersRequest& request,
    RecordList& records);

// The answer when nothing of it is done: the code as a whole, which version 0 cannot say, and of
// every partition that was named.
void refuse_election(const protocol::ElectLeadersRequest& request, std::int16_t error_code,
                     protocol::ElectLeadersResponse& answer);

// AssignReplicasToDirs: a broker says where it keeps its replicas. One that nobody leads, because
// the directory that it was in is gone, is led from then on.
protocol::OwnedMessage<protocol::AssignReplicasToDirsResponse> assign_replicas_to_dirs(
    const ControllerContext& context, const protocol::AssignReplicasToDirsRequest& request,
    RecordList& records);

}  // namespace drave::metadata
