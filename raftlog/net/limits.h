#pragma once
// The bounds of calls between nodes, each with what happens when it is reached.

#include <cstddef>

#include "base/units.h"

namespace drave::raft {

// Bytes of one frame. A peer that announces more is a stranger: its connection ends.
inline constexpr std::size_t kRpcFrameBytesMax = 64 * kMiB;
// A frame that announces more than arrived gets memory in steps of what has arrived, from this on.
inline constexpr std::size_t kRpcFrameBytesFirst = 16 * kKiB;
// Calls of one connection that are not yet answered. A client's next call waits; a server does not
// read on.
inline constexpr std::size_t kRpcInFlightMax = 128;
// Bytes of answers that a server's peer has not taken; then its socket is not read. One answer may
// be larger.
inline constexpr std::size_t kRpcUnsentBytesMax = 4 * kMiB;
// Connections of a server; more are closed at once.
inline constexpr std::size_t kRpcConnectionsMax = 256;
// When file descriptors ran out, accepting pauses for so long.
inline constexpr Duration kRpcAcceptPause = milliseconds(100);

static_assert(kRpcFrameBytesFirst <= kRpcFrameBytesMax);

}  // namespace drave::raft
