#pragma once
// Partitions whose leader or ISR has to change because of a broker: the records, for all of them.
//
// All walk the image's partitions once (10,000 take about a millisecond); nobody keeps an index of
// brokers.

#include "metadata/controller/context.h"
#include "metadata/record_list.h"
#include "protocol/messages/assign_replicas_to_dirs.h"
#include "protocol/messages/elect_leaders.h"
#include "protocol/owned_message.h"

namespace drave::metadata {

// Out of service: out of the ISRs, and another leads where one may.
void remove_from_isrs(const ControllerContext& context, NodeId broker, RecordList& records);
// Out of the sets of eligible leaders, too: it will not come back.
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
protocol::OwnedMessage<protocol::ElectLeadersResponse> elect_leaders(
    const ControllerContext& context, const protocol::ElectLeadersRequest& request,
    RecordList& records);

// The answer when nothing of it is done: the code as a whole, which version 0 cannot say, and of
// every partition that was named.
void refuse_election(const protocol::ElectLeadersRequest& request, std::int16_t error_code,
                     protocol::ElectLeadersResponse& answer);

// AssignReplicasToDirs: a broker says where it keeps its replicas.
protocol::OwnedMessage<protocol::AssignReplicasToDirsResponse> assign_replicas_to_dirs(
    const ControllerContext& context, const protocol::AssignReplicasToDirsRequest& request,
    RecordList& records);

}  // namespace drave::metadata
