#include "segments/offset_index.h"

#include <algorithm>

#include "base/assert.h"

namespace drave::segments {

Result<OffsetIndex> OffsetIndex::decode(Offset base_offset, ByteView bytes,
                                        std::uint64_t segment_size) {
  if (bytes.size() % kEntrySize != 0) {
    return failure(Errc::corrupt, "offset index: size is no multiple of 8");
  }
  OffsetIndex index(base_offset);
  const std::size_t count = bytes.size() / kEntrySize;
  index.entries_.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* at = bytes.data() + i * kEntrySize;
    const auto relative = load_big<std::int32_t>(at);
    const auto position = load_big<std::int32_t>(at + 4);
    if (relative == 0 && position == 0 && i > 0) break;
    if (relative < 0 || position < 0 || static_cast<std::uint64_t>(position) >= segment_size) {
      return failure(Errc::corrupt, "offset index: an entry points outside of the segment");
    }
    const Entry entry{static_cast<std::uint32_t>(relative), static_cast<std::uint32_t>(position)};
    if (!index.entries_.empty() &&
        (entry.relative_offset <= index.entries_.back().relative_offset ||
         entry.position <= index.entries_.back().position)) {
      return failure(Errc::corrupt, "offset index: entries do not grow");
    }
    index.entries_.push_back(entry);
  }
  return index;
}

std::vector<std::uint8_t> OffsetIndex::encode() const {
  std::vector<std::uint8_t> bytes(entries_.size() * kEntrySize);
  std::uint8_t* at = bytes.data();
  for (const Entry& entry : entries_) {
    store_big(at, entry.relative_offset);
    store_big(at + 4, entry.position);
    at += kEntrySize;
  }
  return bytes;
}

void OffsetIndex::append(Offset offset, std::uint32_t position) {
  const Offset relative = offset - base_offset_;
  ASSERT(relative >= 0 && relative <= INT32_MAX);
  ASSERT(entries_.empty() || relative > entries_.back().relative_offset);
  entries_.push_back({static_cast<std::uint32_t>(relative), position});
}

OffsetPosition OffsetIndex::lookup(Offset offset) const {
  auto after = std::upper_bound(
      entries_.begin(), entries_.end(), offset - base_offset_,
      [](Offset wanted, const Entry& entry) { return wanted < Offset{entry.relative_offset}; });
  if (after == entries_.begin()) return {base_offset_, 0};
  return at(static_cast<std::size_t>(after - entries_.begin()) - 1);
}

OffsetPosition OffsetIndex::lookup_position(std::uint32_t position) const {
  auto after = std::upper_bound(
      entries_.begin(), entries_.end(), position,
      [](std::uint32_t wanted, const Entry& entry) { return wanted < entry.position; });
  if (after == entries_.begin()) return {base_offset_, 0};
  return at(static_cast<std::size_t>(after - entries_.begin()) - 1);
}

void OffsetIndex::truncate_to(Offset offset, std::uint32_t position) {
  while (!entries_.empty() && (base_offset_ + Offset{entries_.back().relative_offset} >= offset ||
                               entries_.back().position >= position)) {
    entries_.pop_back();
  }
}

OffsetPosition OffsetIndex::last() const {
  return entries_.empty() ? OffsetPosition{base_offset_, 0} : at(entries_.size() - 1);
}

std::vector<OffsetPosition> OffsetIndex::entries() const {
  std::vector<OffsetPosition> all;
  all.reserve(entries_.size());
  for (std::size_t i = 0; i < entries_.size(); ++i) all.push_back(at(i));
  return all;
}

}  // namespace drave::segments
