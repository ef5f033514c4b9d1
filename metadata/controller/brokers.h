#pragma once
// What the active controller answers to its brokers and to other controllers: registration,
// heartbeats, fencing, blocks of producer ids. As Kafka decides them, with its codes.
//
// Pure. An answer's `texts`, if any, begin with why it refuses (these responses carry a code only):
// something for the log. Records of these decisions need not be atomic (cut_records, batching.h),
// and none of them is bounded by kRecordsPerRequestMax.
//
// `next_offset` is the offset that the first of the records will have, if all go into the log next.
//
// Of a broker that has many partitions, decisions are taken in two steps: what becomes of the
// partitions is planned, carried out in pieces (PartitionSweep), and then the rest is decided, with
// `is_swept`. No other plan may be made in between, nor features updated; what else is decided
// then, the sweep revisits. A registration is not refused for what was heard in between. Without a
// plan a decision does it all.

#include <cstdint>
#include <optional>

#include "metadata/controller/context.h"
#include "metadata/controller/heartbeat_tracker.h"
#include "metadata/controller/leadership.h"
#include "metadata/record_list.h"
#include "protocol/messages/allocate_producer_ids.h"
#include "protocol/messages/broker_heartbeat.h"
#include "protocol/messages/broker_registration.h"
#include "protocol/messages/controller_registration.h"
#include "protocol/messages/unregister_broker.h"
#include "protocol/owned_message.h"

namespace drave::metadata {

// BrokerRegistration. The broker begins fenced; its epoch is the offset of its registration record,
// which is the last one that is added. The same incarnation again amends its registration and keeps
// its epoch and state.
//
// A broker id whose registration has a session is taken (DUPLICATE_BROKER_REGISTRATION), with one
// exception to Kafka's rule: who names the epoch of that registration as the one before and has one
// of its directories is that broker, started again; a directory is locked by one process at a time,
// so the earlier one has ended, and nobody waits for its session to end.
//
// Naming the epoch before also says that nothing acknowledged was lost (KIP-966: a clean shutdown).
// A Drave node may say so whenever its directories are whole, as acknowledged means on disk.
protocol::OwnedMessage<protocol::BrokerRegistrationResponse> register_broker_request(
    const ControllerContext& context, const protocol::BrokerRegistrationRequest& request,
    std::int16_t version, const HeartbeatTracker& tracker, Instant now, Offset next_offset,
    RecordList& records, bool is_swept = false);
std::optional<PartitionSweep> plan_registration(const ControllerContext& context,
                                                const protocol::BrokerRegistrationRequest& request,
                                                std::int16_t version,
                                                const HeartbeatTracker& tracker, Instant now);

// BrokerHeartbeat: takes the broker into service when it has followed the log to its registration,
// out of it when it wants that, and lets it shut down: at once if nobody can take over what it
// leads (every partition has one replica), else when all others know their new leaders.
enum class BrokerState : std::uint8_t { fenced, unfenced, controlled_shutdown, shutdown_now };
struct HeartbeatPlan {
  BrokerState state = BrokerState::fenced;  // after the heartbeat
  std::optional<PartitionSweep> sweep;
  Uuid swept_directory;  // that the sweep is about; zero: it is about the state
};
HeartbeatPlan plan_heartbeat(const ControllerContext& context,
                             const protocol::BrokerHeartbeatRequest& request,
                             HeartbeatTracker& tracker, Instant now);
protocol::OwnedMessage<protocol::BrokerHeartbeatResponse> broker_heartbeat(
    const ControllerContext& context, const protocol::BrokerHeartbeatRequest& request,
    const HeartbeatPlan& plan, HeartbeatTracker& tracker, Offset next_offset, RecordList& records);

// One broker that was not heard of for a session, if there is one: it has none from now on and is
// to be fenced. Ask again after that was appended, until there is none.
std::optional<NodeId> next_to_fence(const ControllerContext& context, HeartbeatTracker& tracker,
                                    Instant now);
std::optional<PartitionSweep> plan_fencing(const ControllerContext& context, NodeId broker);

// Out of service. Nothing is added about a broker that is fenced and leads nothing.
void fence_broker(const ControllerContext& context, NodeId broker, RecordList& records,
                  bool is_swept = false);
// Into service.
void unfence_broker(const ControllerContext& context, NodeId broker, RecordList& records,
                    bool is_swept = false);

protocol::OwnedMessage<protocol::UnregisterBrokerResponse> unregister_broker(
    const ControllerContext& context, const protocol::UnregisterBrokerRequest& request,
    RecordList& records, bool is_swept = false);
std::optional<PartitionSweep> plan_unregistration(const ControllerContext& context,
                                                  const protocol::UnregisterBrokerRequest& request);

protocol::OwnedMessage<protocol::ControllerRegistrationResponse> register_controller_request(
    const ControllerContext& context, const protocol::ControllerRegistrationRequest& request,
    RecordList& records);

protocol::OwnedMessage<protocol::AllocateProducerIdsResponse> allocate_producer_ids(
    const ControllerContext& context, const protocol::AllocateProducerIdsRequest& request,
    RecordList& records);

}  // namespace drave::metadata
