#pragma once
// Deadlines of a loop: a hierarchical timing wheel with ticks of one millisecond; O(1) to arm and
// to disarm, no allocation. Most deadlines (fetch waits, session timeouts) are disarmed, never
// fired.

#include <cstdint>

#include "base/intrusive_list.h"
#include "base/units.h"

namespace drave::io {

// Something that happens at a moment. Lives in its owner, which disarms it before it dies.
class Timer : public ListLink<> {
 public:
  using Fire = void (*)(Timer&);
  explicit Timer(Fire fire) : fire_(fire) {}
  bool is_armed() const { return is_linked(); }
  Instant deadline() const { return deadline_; }

 private:
  friend class TimerWheel;
  Fire fire_;
  Instant deadline_;
  std::uint8_t level_ = 0;
  std::uint8_t slot_ = 0;
};

class TimerWheel {
 public:
  explicit TimerWheel(Instant start);

  // Fires at the first expire() at or after `deadline`, never before it, at most one tick late.
  // An armed timer is moved.
  void arm(Timer& timer, Instant deadline);
  void disarm(Timer& timer);

  // Fires what is due, in order of tick; timers that fire() arms for now or the past fire in the
  // next call. Returns how many fired.
  std::size_t expire(Instant now);

  // When expire() must be called next: no later than the earliest deadline, perhaps earlier (a
  // cascade); Instant::never() if nothing is armed.
  Instant next_deadline() const;

  std::size_t armed_count() const { return armed_count_; }

 private:
  static constexpr int kLevels = 6;
  static constexpr int kSlotBits = 6;
  static constexpr int kSlots = 1 << kSlotBits;
  // Levels of timers that stand in no slot.
  static constexpr std::uint8_t kFar = kLevels;      // beyond what the wheel spans (two years)
  static constexpr std::uint8_t kDue = kLevels + 1;  // fires in the next expire(), whenever it is

  void place(Timer& timer);
  void take_out(Timer& timer);
  void replace_all(IntrusiveList<Timer>& timers);
  void cascade();
  std::int64_t next_event() const;

  IntrusiveList<Timer> slots_[kLevels][kSlots];
  IntrusiveList<Timer> far_;
  IntrusiveList<Timer> due_;
  std::uint64_t occupied_[kLevels] = {};  // bit per slot
  std::int64_t tick_;                     // all ticks before this one have expired
  std::size_t armed_count_ = 0;
};

}  // namespace drave::io
