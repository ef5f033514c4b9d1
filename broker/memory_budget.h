#pragma once
// A bound on memory that clients can make the node hold, shared by all shards.
//
// Takers that do not fit wait on their own shard (Shard::memory_room) and try again when something
// of that shard was released, or after kRetry, since other shards do not announce theirs. One taker
// may exceed the bound at a time, so that whatever is allowed by itself is served in the end.

#include <atomic>
#include <cstdint>

#include "base/assert.h"
#include "base/units.h"

namespace drave::broker {

class MemoryBudget {
 public:
  static constexpr Duration kRetry = milliseconds(5);

  explicit MemoryBudget(std::int64_t bytes_max) : bytes_max_(bytes_max) {}

  // Takes `bytes` if they fit, or if `who` (any address that stays until give_back; null: nobody)
  // is the one that may exceed.
  bool try_take(std::int64_t bytes, const void* who) {
    const std::int64_t before = held_.fetch_add(bytes, std::memory_order_relaxed);
    if (before + bytes <= bytes_max_) return true;
    const void* nobody = nullptr;
    if (who != nullptr && (large_.compare_exchange_strong(nobody, who) || nobody == who))
      return true;
    held_.fetch_sub(bytes, std::memory_order_relaxed);
    return false;
  }
  // As try_take() for what is small: there is a quarter more for those, beyond the one that exceeds
  // the bound (by half of it at most), so that they do not wait for the large.
  bool try_take_small(std::int64_t bytes) {
    const std::int64_t before = held_.fetch_add(bytes, std::memory_order_relaxed);
    if (before + bytes <= bytes_max_ + bytes_max_ / 2 + bytes_max_ / 4) return true;
    held_.fetch_sub(bytes, std::memory_order_relaxed);
    return false;
  }
  // For bytes that have come already and can only be kept or dropped, there is as much again, which
  // nobody may exceed and whoever exceeds the bound does not take up.
  bool try_take_arrived(std::int64_t bytes) {
    const std::int64_t before = arrived_.fetch_add(bytes, std::memory_order_relaxed);
    if (before + bytes <= bytes_max_) return true;
    arrived_.fetch_sub(bytes, std::memory_order_relaxed);
    return false;
  }
  void give_back_arrived(std::int64_t bytes) {
    const std::int64_t before = arrived_.fetch_sub(bytes, std::memory_order_relaxed);
    ASSERT_AT_MOST(bytes, before);
  }
  // What was taken as arrived counts as taken from now on.
  void keep_arrived(std::int64_t bytes) {
    give_back_arrived(bytes);
    held_.fetch_add(bytes, std::memory_order_relaxed);
  }
  // Returns what was taken; `all`: `who` holds nothing any more.
  void give_back(std::int64_t bytes, const void* who, bool all) {
    const std::int64_t before = held_.fetch_sub(bytes, std::memory_order_relaxed);
    ASSERT_AT_MOST(bytes, before);
    const void* expected = who;
    if (all) large_.compare_exchange_strong(expected, nullptr);
  }

  // What `from` holds, `to` will give back.
  void hand_over(const void* from, const void* to) {
    const void* expected = from;
    large_.compare_exchange_strong(expected, to);
  }

  // Of what is held, `bytes` more (or less) are needed by the node itself: their owners wait for
  // it, not it for them.
  void note_needed(std::int64_t bytes) { needed_.fetch_add(bytes, std::memory_order_relaxed); }
  bool is_mostly_needed() const { return 2 * needed_.load(std::memory_order_relaxed) > held(); }

  std::int64_t bytes_max() const { return bytes_max_; }
  std::int64_t held() const { return held_.load(std::memory_order_relaxed); }
  std::int64_t arrived() const { return arrived_.load(std::memory_order_relaxed); }
  // Somebody waits: those who hold without progress are to go.
  bool is_short() const { return waiting_.load(std::memory_order_relaxed) > 0; }
  void begin_wait() { waiting_.fetch_add(1, std::memory_order_relaxed); }
  void end_wait() { waiting_.fetch_sub(1, std::memory_order_relaxed); }

 private:
  const std::int64_t bytes_max_;
  std::atomic<std::int64_t> held_{0};
  std::atomic<std::int64_t> arrived_{0};
  std::atomic<std::int64_t> needed_{0};
  std::atomic<int> waiting_{0};
  std::atomic<const void*> large_{nullptr};
};

}  // namespace drave::broker
