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
inline constexpr std::int64_t kIdleReadBytesMax = 4 * kMiB;

// From this many bytes on a piece goes to its segment with O_DIRECT, below it through the page
// cache (segments/README.md has the measurement).
inline constexpr std::size_t kDirectPieceMin = 256 * kKiB;

// What one read from a disk asks for at least through the page cache; at least past it, and what is
// read ahead.
inline constexpr std::size_t kReadAheadMin = 256 * kKiB;
inline constexpr std::size_t kReadAheadMax = kMiB;

// So many pieces are read ahead of a reader, the second one when the first has come: a disk is at
// its best with more than one read at a time.
inline constexpr int kPiecesAhead = 2;

// Segments are read past the page cache (filling it costs more than the copy out of it). On a disk
// that reads less than kSlowReadsPerSecond, as a shard sees it over so many bytes, what was read so
// many times its size is worth a place in it.
inline constexpr std::uint64_t kDirectReadsMax = 2;
inline constexpr std::int64_t kSlowReadsPerSecond = 250 * 1000 * 1000;
inline constexpr std::uint64_t kReadRateBytes = 32 * kMiB;
// An answer of less is not worth it when more is wanted: the disk is asked instead.
inline constexpr std::size_t kReadWorthBytes = 64 * kKiB;
// Pieces of segments in memory for the next readers, per shard; as much more as tails lend, who
// keep half of their own bound. Half of the pieces may be what was read ahead and nobody has asked
// for yet.
inline constexpr std::size_t kReadCacheBytes = 12 * kMiB;
inline constexpr std::size_t kReadPiecesMax = 256;
// Reads under way for which there was no room: further ones wait.
inline constexpr std::size_t kReadsBeyondMax = 16;
// Places of a log's files where readers stopped lately, by which those who go on are known.
inline constexpr std::size_t kReadHints = 16;
// A place that reads differently so often is rot.
inline constexpr int kBadReadsMax = 4;

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
