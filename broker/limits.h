#pragma once
// The bounds of a node towards its clients, each with what happens when it is reached. What an
// operator may set has a configuration key instead (CONFIG.md).

#include <cstddef>
#include <cstdint>

#include "base/units.h"

namespace drave::broker {

// Requests of one connection that are not yet answered; then its socket is not read.
inline constexpr std::size_t kRequestsInFlightMax = 128;

// Fetches of one connection that wait until the answers before them are sent; then its socket is
// not read. They are served one at a time in any case.
inline constexpr std::size_t kFetchesInLineMax = 8;

// Bytes of one connection's answers that its peer has not taken; then its socket is not read. One
// answer may be larger.
inline constexpr std::size_t kUnsentBytesMax = 4 * kMiB;

// A frame that announces more than arrived gets memory in steps of what has arrived, from this on.
inline constexpr std::size_t kFrameBytesFirst = 64 * kKiB;
// A connection that sent a whole frame of some size gets so much at once for its next ones, at most
// this: it need not be copied as it grows.
inline constexpr std::size_t kFrameBytesProvenMax = kMiB;

// Frames being assembled are bounded by drave.memory.request.bytes: more wait. An assembly that
// stalls while others wait is closed.
inline constexpr Duration kAssemblyStallMax = seconds(2);
// One that waits for memory for so long is closed, too, unless complete requests have most of it.
inline constexpr Duration kAssemblyWaitMax = seconds(5);

// Records of answers that are being read or sent, of the whole node: fetches wait.
inline constexpr std::int64_t kResponseBytesMax = 20 * kMiB;
// Records of one answer; one batch may be larger. MemoryBudget::try_take_small() relies on the
// half.
inline constexpr std::int64_t kFetchBytesMax = kResponseBytesMax / 2;

// A fetch of at most so much does not wait while only large ones are stuck.
inline constexpr std::int64_t kSmallFetchBytes = 64 * kKiB;

// From the first byte of a frame to its last, plus a second for each 64 KiB.
inline constexpr Duration kFrameTimeMax = seconds(30);
// An answer of which the peer takes nothing for so long: the connection is closed; sooner if
// fetches of others wait for memory.
inline constexpr Duration kSendStallMax = seconds(30);
inline constexpr Duration kSendStallUnderPressureMax = seconds(1);
// After the peer finished sending, its answers may be taken for so long.
inline constexpr Duration kDrainTimeMax = seconds(5);
// A node that stops answers what it has read; then connections are cut. Of clients, and once the
// node has handed over, of other controllers.
inline constexpr Duration kStopDrainMax = seconds(5);
// For so long of it requests that another controller decides are forwarded; then they are refused.
inline constexpr Duration kStopForwardMax = seconds(1);
// After the last answer of a node that stops the peer has so long to close: a socket that is closed
// while requests wait in it is reset, and the reset may overtake the answer.
inline constexpr Duration kStopLingerMax = seconds(1);
// How often a connection's deadlines are looked at.
inline constexpr Duration kWatchPeriod = milliseconds(500);

// How long a stopping broker waits for the controller to let it go; and for a controller that
// answers at all: where all nodes stop together, the last ones find none.
inline constexpr Duration kControlledShutdownMax = seconds(3);
inline constexpr Duration kControllerAbsentMax = seconds(1);

// Topics that are being created because clients asked about them: more are not begun, and whoever
// asks again later has better luck. And how long an answer waits for its own.
inline constexpr std::size_t kAutoCreationsMax = 10'000;
inline constexpr Duration kAutoCreationWait = milliseconds(500);

// How often a shard publishes its gauges for /metrics.
inline constexpr Duration kGaugePeriod = seconds(1);

// Pieces of one gathered send.
inline constexpr std::size_t kSendPiecesMax = 512;

// Of the file descriptors that the process may have, one in so many is a connection's at most: logs
// go on rolling, topics go on being made, when clients would take all. Connections beyond are
// closed at once.
inline constexpr std::uint64_t kDescriptorsPerConnection = 2;
// When file descriptors ran out, accepting pauses for so long.
inline constexpr Duration kAcceptPause = milliseconds(100);

}  // namespace drave::broker
