#include "segments/read_cache.h"

#include <algorithm>
#include <utility>

namespace drave::segments {

void ReadCache::add(const std::shared_ptr<Segment>& segment, std::uint64_t generation,
                    std::uint64_t position, ReadWindow window) {
  if (window.bytes.size() > bytes_max_) return;
  while (used_bytes_ + window.bytes.size() > bytes_max_) {
    used_bytes_ -= entries_.back().window.bytes.size();
    entries_.pop_back();
  }
  used_bytes_ += window.bytes.size();
  entries_.push_front({segment, generation, position, std::move(window)});
}

ReadWindow ReadCache::find(const std::shared_ptr<Segment>& segment, std::uint64_t generation,
                           std::uint64_t position) {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.generation == generation && position >= entry.position &&
           position - entry.position < entry.window.bytes.size() &&
           !entry.segment.owner_before(segment) && !segment.owner_before(entry.segment);
  });
  if (found == entries_.end()) return {};
  entries_.splice(entries_.begin(), entries_, found);
  return {found->window.owner, found->window.bytes.subspan(position - found->position)};
}

}  // namespace drave::segments
