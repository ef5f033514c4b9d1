#pragma once
// What will happen, ordered by (time, order of scheduling): the only source of order in a world.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/assert.h"
#include "base/units.h"

namespace drave::io::sim {

enum class EventKind : std::uint8_t { pass, flight, wire, connect, callback };

// Lives as long as the world.
class EventTarget {
 public:
  virtual void on_event(EventKind kind, std::uint64_t a, std::uint64_t b) = 0;

 protected:
  ~EventTarget() = default;
};

struct Event {
  Instant at;
  std::uint64_t number;
  EventTarget* target;
  EventKind kind;
  std::uint64_t a;
  std::uint64_t b;
};

class EventQueue {
 public:
  bool empty() const { return heap_.empty(); }
  std::size_t size() const { return heap_.size(); }
  const Event& first() const { return heap_.front(); }
  void push(Instant at, EventTarget& target, EventKind kind, std::uint64_t a, std::uint64_t b) {
    heap_.push_back({at, next_number_++, &target, kind, a, b});
    std::push_heap(heap_.begin(), heap_.end(), later);
  }
  Event pop() {
    ASSERT(!heap_.empty());
    std::pop_heap(heap_.begin(), heap_.end(), later);
    const Event event = heap_.back();
    heap_.pop_back();
    return event;
  }

 private:
  static bool later(const Event& left, const Event& right) {
    return left.at != right.at ? left.at > right.at : left.number > right.number;
  }
  std::vector<Event> heap_;
  std::uint64_t next_number_ = 0;
};

}  // namespace drave::io::sim
