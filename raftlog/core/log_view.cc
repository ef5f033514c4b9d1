#include "raftlog/core/log_view.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace drave::raft {

LogView::LogView(OffsetAndEpoch start, Offset end, std::vector<EpochStart> epochs,
                 std::vector<VotersAt> voters)
    : start_(start),
      end_(end),
      flushed_(end),
      epochs_(std::move(epochs)),
      voters_(std::move(voters)) {
  ASSERT_AT_MOST(start_.offset, end_);
  if (voters_.empty()) voters_.emplace_back();
}

LeaderEpoch LogView::epoch_before(Offset offset) const {
  ASSERT_AT_MOST(start_.offset, offset);
  const auto behind =
      std::partition_point(epochs_.begin(), epochs_.end(),
                           [offset](const EpochStart& each) { return each.start < offset; });
  return behind == epochs_.begin() ? start_.epoch : std::prev(behind)->epoch;
}

OffsetAndEpoch LogView::end_of(LeaderEpoch epoch) const {
  const auto above =
      std::partition_point(epochs_.begin(), epochs_.end(),
                           [epoch](const EpochStart& each) { return each.epoch <= epoch; });
  if (above == epochs_.begin()) return start_;
  return {above == epochs_.end() ? end_ : above->start, std::prev(above)->epoch};
}

void LogView::append(Offset end, LeaderEpoch epoch) {
  ASSERT_LESS(end_, end);
  ASSERT_AT_MOST(epoch_before(end_), epoch);
  if (epochs_.empty() || epochs_.back().epoch < epoch) epochs_.push_back({epoch, end_});
  end_ = end;
}

void LogView::truncate(Offset to) {
  ASSERT(start_.offset <= to && to < end_);
  while (!epochs_.empty() && epochs_.back().start >= to) epochs_.pop_back();
  while (voters_.size() > 1 && voters_.back().offset >= to) voters_.pop_back();
  end_ = to;
  flushed_ = std::min(flushed_, to);
  ++generation_;
}

bool LogView::flush(std::uint64_t generation, Offset end) {
  if (generation != generation_ || end <= flushed_) return false;
  ASSERT_AT_MOST(end, end_);
  flushed_ = end;
  return true;
}

void LogView::reset(OffsetAndEpoch id) {
  start_ = id;
  end_ = flushed_ = id.offset;
  epochs_.clear();
  ++generation_;
}

void LogView::move_start(OffsetAndEpoch start) {
  if (start.offset <= start_.offset) return;
  ASSERT_AT_MOST(start.offset, flushed_);
  start_ = start;
  while (epochs_.size() > 1 && epochs_[1].start <= start.offset) epochs_.erase(epochs_.begin());
  if (epochs_.empty()) return;
  epochs_.front().start = start.offset;
  if (start.offset == end_) epochs_.clear();
}

void LogView::add_voters(Offset offset, VoterSet voters) {
  ASSERT_LESS(voters_.back().offset, offset);
  voters_.push_back({offset, std::move(voters)});
}

void LogView::set_voters(VoterSet voters) {
  voters_.assign(1, {-1, std::move(voters)});
}

void LogView::forget_voters_before(Offset committed) {
  while (voters_.size() > 1 && voters_[1].offset < committed) voters_.erase(voters_.begin());
}

}  // namespace drave::raft
