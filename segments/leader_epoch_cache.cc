#include "segments/leader_epoch_cache.h"

#include <algorithm>

#include "segments/text_file.h"

namespace drave::segments {

Result<LeaderEpochCache> LeaderEpochCache::decode(std::string_view text) {
  CountedLines lines(text);
  LeaderEpochCache cache;
  TRY_VOID(lines.read_header());
  for (std::string_view line; lines.next(line);) {
    std::int64_t epoch = 0;
    std::int64_t start = 0;
    if (!take_integer(line, epoch) || !take_integer(line, start) || !line.empty() || epoch < 0 ||
        epoch > INT32_MAX || start < 0) {
      return failure(Errc::corrupt, "leader-epoch-checkpoint: a line is not `epoch offset`");
    }
    cache.assign(static_cast<LeaderEpoch>(epoch), start);
  }
  TRY_VOID(lines.finish());
  return cache;
}

std::string LeaderEpochCache::encode(Offset end) const {
  std::string body;
  std::size_t count = 0;
  for (const EpochEntry& entry : entries_) {
    if (entry.start_offset >= end) break;
    body += std::to_string(entry.epoch) + " " + std::to_string(entry.start_offset) + "\n";
    ++count;
  }
  return "0\n" + std::to_string(count) + "\n" + body;
}

bool LeaderEpochCache::assign(LeaderEpoch epoch, Offset start_offset) {
  if (!entries_.empty() && entries_.back().epoch == epoch &&
      entries_.back().start_offset <= start_offset) {
    return false;
  }
  while (!entries_.empty() &&
         (entries_.back().epoch >= epoch || entries_.back().start_offset >= start_offset)) {
    entries_.pop_back();
  }
  entries_.push_back({epoch, start_offset});
  return true;
}

bool LeaderEpochCache::truncate_from_end(Offset offset) {
  bool changed = false;
  while (!entries_.empty() && entries_.back().start_offset >= offset) {
    entries_.pop_back();
    changed = true;
  }
  return changed;
}

bool LeaderEpochCache::truncate_from_start(Offset offset) {
  std::size_t below = 0;
  while (below < entries_.size() && entries_[below].start_offset < offset) ++below;
  if (below == 0) return false;
  EpochEntry holds = entries_[below - 1];
  holds.start_offset = offset;
  const bool ends_here = below < entries_.size() && entries_[below].start_offset == offset;
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(below));
  if (!ends_here) entries_.insert(entries_.begin(), holds);
  return true;
}

LeaderEpoch LeaderEpochCache::epoch_of(Offset offset) const {
  auto after = std::upper_bound(
      entries_.begin(), entries_.end(), offset,
      [](Offset wanted, const EpochEntry& entry) { return wanted < entry.start_offset; });
  return after == entries_.begin() ? -1 : std::prev(after)->epoch;
}

EpochEnd LeaderEpochCache::end_offset_for(LeaderEpoch epoch, Offset log_end) const {
  if (epoch < 0 || entries_.empty()) return {-1, -1};
  if (epoch == entries_.back().epoch) return {epoch, log_end};
  auto higher = std::upper_bound(
      entries_.begin(), entries_.end(), epoch,
      [](LeaderEpoch wanted, const EpochEntry& entry) { return wanted < entry.epoch; });
  if (higher == entries_.end()) return {-1, -1};
  // Below all that are known: nothing of that epoch can stand above where the first one begins.
  if (higher == entries_.begin()) return {epoch, higher->start_offset};
  return {std::prev(higher)->epoch, higher->start_offset};
}

}  // namespace drave::segments
