#include "segments/time_index.h"

#include <algorithm>

#include "base/assert.h"

namespace drave::segments {

Result<TimeIndex> TimeIndex::decode(Offset base_offset, ByteView bytes) {
  if (bytes.size() % kEntrySize != 0) {
    return failure(Errc::corrupt, "time index: size is no multiple of 12");
  }
  TimeIndex index(base_offset);
  const std::size_t count = bytes.size() / kEntrySize;
  index.entries_.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* at = bytes.data() + i * kEntrySize;
    const auto timestamp = load_big<std::int64_t>(at);
    const auto relative = load_big<std::int32_t>(at + 8);
    if (timestamp == 0 && relative == 0 && i > 0) break;
    const bool grows =
        index.entries_.empty() ||
        (timestamp > index.entries_.back().timestamp && relative >= 0 &&
         static_cast<std::uint32_t>(relative) >= index.entries_.back().relative_offset);
    if (relative < 0 || timestamp < 0 || !grows) {
      return failure(Errc::corrupt, "time index: entries do not grow");
    }
    index.entries_.push_back({timestamp, static_cast<std::uint32_t>(relative)});
  }
  return index;
}

std::vector<std::uint8_t> TimeIndex::encode() const {
  std::vector<std::uint8_t> bytes(entries_.size() * kEntrySize);
  std::uint8_t* at = bytes.data();
  for (const Entry& entry : entries_) {
    store_big(at, entry.timestamp);
    store_big(at + 8, entry.relative_offset);
    at += kEntrySize;
  }
  return bytes;
}

void TimeIndex::maybe_append(TimestampMs timestamp, Offset offset) {
  if (timestamp <= last().timestamp) return;
  const Offset relative = offset - base_offset_;
  ASSERT(relative >= 0 && relative <= INT32_MAX);
  entries_.push_back({timestamp, static_cast<std::uint32_t>(relative)});
}

TimestampEntry TimeIndex::lookup(TimestampMs timestamp) const {
  auto after = std::upper_bound(
      entries_.begin(), entries_.end(), timestamp,
      [](TimestampMs wanted, const Entry& entry) { return wanted < entry.timestamp; });
  if (after == entries_.begin()) return {-1, base_offset_};
  --after;
  return {after->timestamp, base_offset_ + after->relative_offset};
}

void TimeIndex::truncate_to(Offset offset) {
  while (!entries_.empty() && base_offset_ + entries_.back().relative_offset >= offset) {
    entries_.pop_back();
  }
}

TimestampEntry TimeIndex::last() const {
  if (entries_.empty()) return {-1, base_offset_};
  return {entries_.back().timestamp, base_offset_ + entries_.back().relative_offset};
}

std::vector<TimestampEntry> TimeIndex::entries() const {
  std::vector<TimestampEntry> all;
  all.reserve(entries_.size());
  for (const Entry& entry : entries_) {
    all.push_back({entry.timestamp, base_offset_ + entry.relative_offset});
  }
  return all;
}

}  // namespace drave::segments
