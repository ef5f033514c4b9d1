#pragma once
// Every bound of the consensus core, and what happens when it is reached.

#include <cstddef>
#include <cstdint>

#include "base/ids.h"
#include "base/units.h"

namespace drave::raft {

// Voters of a quorum. A larger set is refused where it is asked for (INVALID_REQUEST), by
// formatting and by a log that is opened with it.
inline constexpr std::size_t kVotersMax = 16;
// Replicas, voters and observers, of which a leader remembers what they fetched. The observer that
// was silent longest makes room.
inline constexpr std::size_t kReplicasMax = 1024;
// An observer that has not fetched for so long is not told of any more.
inline constexpr Duration kObserverKept = seconds(300);
// Fetches that wait at the leader for something to send, one of each replica. Beyond, an empty
// answer goes at once: to an observer its own, to make room for a voter that of an observer.
inline constexpr std::size_t kParkedFetchesMax = 1024;
// Replies that wait until the state that they promise is durable. Beyond, a request is refused
// (BROKER_NOT_AVAILABLE) before it changes anything, and its sender tries again. A leader that
// stops answers the fetches that waited on top of it.
inline constexpr std::size_t kHeldRepliesMax = 64;
// Voter sets above the high watermark. Of a fetch that brings more, the rest is fetched again.
inline constexpr std::size_t kVoterSetsMax = 32;
// Epochs of which the log holds records. A node with more does not campaign until a snapshot has
// moved the start of its log.
inline constexpr std::size_t kLogEpochsMax = 1 << 16;
// The newest epoch there may be. What names a newer one is refused (INVALID_REQUEST) or, where it
// is a reply, not believed: no epoch could follow it.
inline constexpr LeaderEpoch kEpochMax = INT32_MAX - 1;
// How far ahead of its own an epoch may be that a node takes because a request names it. Beyond,
// the request is refused (INVALID_REQUEST; a fetch, with which a replica makes its leader go on in
// a newer epoch, UNKNOWN_LEADER_EPOCH). What those say whom this node itself asks is believed, so
// that who was away for longer catches up.
inline constexpr LeaderEpoch kEpochLeapMax = 1 << 16;

static_assert(kVotersMax < kReplicasMax);
static_assert(kReplicasMax <= kParkedFetchesMax, "a replica waits with one fetch at a time");
static_assert(kVotersMax < kHeldRepliesMax, "each voter may ask at the same time");

}  // namespace drave::raft
