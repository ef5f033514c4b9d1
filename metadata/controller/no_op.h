#pragma once
// When the active controller writes a NoOpRecord (metadata.max.idle.interval.ms): after that long
// without a record, so that a leader that cannot commit any more finds out, and followers see that
// they have caught up. A quorum of one with no broker but its own needs none. 0: never.

#include "base/units.h"
#include "metadata/record_list.h"

namespace drave::metadata {

class NoOpClock {
 public:
  explicit NoOpClock(Duration idle_max) : idle_max_(idle_max) {}

  // Something was appended, or this node has become the active controller.
  void appended(Instant now) { last_ = now; }
  bool is_due(Instant now) const { return idle_max_.ns > 0 && now >= last_ + idle_max_; }
  // When it will be if nothing is appended before.
  Instant next() const { return idle_max_.ns > 0 ? last_ + idle_max_ : Instant::never(); }

  static RecordList records() {
    RecordList records;
    records.add(protocol::NoOpRecord());
    return records;
  }

 private:
  Duration idle_max_;
  Instant last_;
};

}  // namespace drave::metadata
