#pragma once
// Bounds of what partition logs hold and do at once.

#include <cstddef>
#include <cstdint>

#include "base/units.h"

namespace drave::segments {

// A tail's memory comes in chunks; the next one is twice the size of the last. A batch that does
// not fit gets a chunk of its own size.
inline constexpr std::size_t kChunkBytesMin = 4 * kKiB;
inline constexpr std::size_t kChunkBytesMax = kMiB;
// Freed chunks that are kept to be used again.
inline constexpr std::int64_t kIdleChunkBytesMax = 16 * kMiB;

// From this many bytes on a piece goes to its segment with O_DIRECT, below it through the page
// cache (segments/README.md has the measurement).
inline constexpr std::size_t kDirectPieceMin = 256 * kKiB;

// What one read from a disk asks for at least, and at most while a reader goes on where it stopped.
inline constexpr std::size_t kReadAheadMin = 256 * kKiB;
inline constexpr std::size_t kReadAheadMax = kMiB;

// What a pass of recovery reads at once. A larger batch is read by itself.
inline constexpr std::size_t kScanBytes = kMiB;

// Indexes of closed segments in memory, per shard; the least recently used are dropped.
inline constexpr std::int64_t kIndexBytesMax = 32 * kMiB;

// Journal entries of a log are remembered one by one until they are durable, then together as long
// as they span less than this.
inline constexpr std::int64_t kMarkBytesMin = 256 * kKiB;

// Text and snapshot files beside the segments. A larger one is refused as corrupt.
inline constexpr std::size_t kSmallFileBytesMax = 64 * kMiB;

}  // namespace drave::segments
