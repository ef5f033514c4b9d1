#pragma once
// The bounds of a replicated log's driver, and what happens at each.

#include <cstddef>
#include <cstdint>

#include "base/ids.h"
#include "base/units.h"

namespace drave::raft {

// Kafka's bound of one batch of the metadata log: what is larger is refused (too_large).
inline constexpr std::size_t kBatchBytesMax = 8 << 20;
// A batch of proposals ends at about this size; the next ones go into another.
inline constexpr std::size_t kProposedBatchBytes = 1 << 20;
// Of one read of the log, for the listener or for a replica. One batch may be larger.
inline constexpr std::size_t kLogReadBytes = 1 << 20;
// Of one piece of a snapshot.
inline constexpr std::size_t kSnapshotPieceBytes = 1 << 20;
// What bytes_since_snapshot() says where one is wanted at once: more than anybody's bound, and more
// may be added.
inline constexpr std::int64_t kSnapshotAtOnce = INT64_MAX / 2;
// That the log or a snapshot cannot be read is said once in so long.
inline constexpr Duration kUnreadableTold = seconds(30);
// What finds no space on the disk is tried again after so long, and said once in so long.
inline constexpr Duration kNoSpaceRetry = milliseconds(100);
inline constexpr Duration kNoSpaceTold = seconds(30);
// A snapshot that was found whole is not looked at again for so long.
inline constexpr Duration kSnapshotCheckedFor = seconds(60);
// Of one look at what may be deleted of the log.
inline constexpr int kSegmentsDeletedAtOnce = 16;
// Of what a voter says of where it listens; the set of all goes into one batch. More is refused
// (INVALID_REQUEST). A name of DNS has 253 bytes.
inline constexpr std::size_t kListenersMax = 16;
inline constexpr std::size_t kListenerNameBytesMax = 255;
inline constexpr std::size_t kHostBytesMax = 255;
// A leader that stops waits so long for what it appended, and for a successor.
inline constexpr Duration kStopWaitMax = seconds(1);
// A node that knows of no leader for so long says so in its log.
inline constexpr Duration kLeaderlessTold = seconds(10);
// Nodes that a replica is connected to, by their ids: voters, bootstrap servers, and whoever was
// said to lead. Beyond, the connections that were not used for longest end.
inline constexpr std::size_t kLinksMax = 64;
// How bootstrap servers are named: this, and from there downwards.
inline constexpr NodeId kFirstBootstrapId = -2;

static_assert(kProposedBatchBytes <= kBatchBytesMax);

}  // namespace drave::raft
