#include "io/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace drave::io {
namespace {

constexpr std::int64_t kTickNs = 1'000'000;

// The first tick at or after a moment.
std::int64_t tick_at_or_after(Instant moment) {
  return moment.ns / kTickNs + (moment.ns % kTickNs > 0 ? 1 : 0);
}

// The last tick at or before a moment.
std::int64_t tick_at_or_before(Instant moment) {
  return moment.ns / kTickNs - (moment.ns % kTickNs < 0 ? 1 : 0);
}

}  // namespace

// A tick t belongs to level L where t and tick_ first differ, seen from the top, in groups of six
// bits; its slot is that group of t. So a level holds only slots after the current one, and a slot
// of level L > 0 is spread over lower levels when the wheel reaches its first tick.

TimerWheel::TimerWheel(Instant start) : tick_(tick_at_or_before(start) + 1) {
  ASSERT(start.ns >= 0);
}

void TimerWheel::arm(Timer& timer, Instant deadline) {
  disarm(timer);
  timer.deadline_ = deadline;
  ++armed_count_;
  place(timer);
}

void TimerWheel::disarm(Timer& timer) {
  if (!timer.is_armed()) return;
  take_out(timer);
  --armed_count_;
}

void TimerWheel::place(Timer& timer) {
  const std::int64_t tick = tick_at_or_after(timer.deadline_);
  if (tick < tick_) {
    timer.level_ = kDue;
    due_.push_back(timer);
    return;
  }
  const std::uint64_t different = static_cast<std::uint64_t>(tick ^ tick_);
  const int level =
      different == 0 ? 0 : (static_cast<int>(std::bit_width(different)) - 1) / kSlotBits;
  if (level >= kLevels) {
    timer.level_ = kFar;
    far_.push_back(timer);
    return;
  }
  const int slot = static_cast<int>(tick >> (level * kSlotBits)) & (kSlots - 1);
  timer.level_ = static_cast<std::uint8_t>(level);
  timer.slot_ = static_cast<std::uint8_t>(slot);
  slots_[level][slot].push_back(timer);
  occupied_[level] |= std::uint64_t{1} << slot;
}

void TimerWheel::take_out(Timer& timer) {
  timer.unlink();
  if (timer.level_ < kLevels && slots_[timer.level_][timer.slot_].empty())
    occupied_[timer.level_] &= ~(std::uint64_t{1} << timer.slot_);
}

void TimerWheel::replace_all(IntrusiveList<Timer>& timers) {
  IntrusiveList<Timer> moving;
  moving.splice_back(timers);
  while (!moving.empty()) place(moving.pop_front());
}

void TimerWheel::cascade() {
  if ((tick_ & ((std::int64_t{1} << (kLevels * kSlotBits)) - 1)) == 0) replace_all(far_);
  for (int level = kLevels - 1; level > 0; --level) {
    const int shift = level * kSlotBits;
    if ((tick_ & ((std::int64_t{1} << shift) - 1)) != 0) continue;
    const int slot = static_cast<int>(tick_ >> shift) & (kSlots - 1);
    occupied_[level] &= ~(std::uint64_t{1} << slot);
    replace_all(slots_[level][slot]);
  }
}

// The first tick, not before tick_, at which a timer fires or a slot must be spread; INT64_MAX if
// there is none.
std::int64_t TimerWheel::next_event() const {
  std::int64_t first = INT64_MAX;
  for (int level = 0; level < kLevels; ++level) {
    const int shift = level * kSlotBits;
    const int current = static_cast<int>(tick_ >> shift) & (kSlots - 1);
    const std::uint64_t ahead = occupied_[level] & (~std::uint64_t{0} << current);
    if (ahead == 0) continue;
    const std::int64_t base = (tick_ >> (shift + kSlotBits)) << (shift + kSlotBits);
    const std::int64_t slot = std::countr_zero(ahead);
    first = std::min(first, base + (slot << shift));
  }
  if (!const_cast<IntrusiveList<Timer>&>(far_).empty()) {
    const std::int64_t span = std::int64_t{1} << (kLevels * kSlotBits);
    first = std::min(first, (tick_ + span - 1) / span * span);
  }
  return first;
}

std::size_t TimerWheel::expire(Instant now) {
  const std::int64_t last = tick_at_or_before(now);
  for (std::int64_t event = next_event(); event <= last; event = next_event()) {
    tick_ = event;
    cascade();
    const int slot = static_cast<int>(tick_) & (kSlots - 1);
    auto& expired = slots_[0][slot];
    occupied_[0] &= ~(std::uint64_t{1} << slot);
    expired.for_each([](Timer& timer) { timer.level_ = kDue; });
    due_.splice_back(expired);
    ++tick_;
  }
  tick_ = std::max(tick_, last + 1);
  // What the functions below arm for the past lands in due_ again, for the next call.
  IntrusiveList<Timer> firing;
  firing.splice_back(due_);
  std::size_t fired = 0;
  for (; !firing.empty(); ++fired) {
    Timer& timer = firing.pop_front();
    --armed_count_;
    timer.fire_(timer);
  }
  return fired;
}

Instant TimerWheel::next_deadline() const {
  auto& due = const_cast<IntrusiveList<Timer>&>(due_);
  if (!due.empty()) return due.front().deadline();
  const std::int64_t event = next_event();
  if (event > INT64_MAX / kTickNs) return Instant::never();
  return Instant{event * kTickNs};
}

}  // namespace drave::io
