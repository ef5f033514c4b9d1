#pragma once
// Links between the nodes of a simulated quorum: delay with a long tail, loss, duplicates, cuts of
// one or both directions.

#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "base/ids.h"
#include "base/random.h"
#include "base/units.h"

namespace drave::simulation::quorum {

struct NetworkOptions {
  std::uint64_t delay_us = 200;
  std::uint64_t late_one_in = 200;  // and then up to `late_ms` more
  std::uint64_t late_ms = 2000;
  std::uint64_t loss_one_in = 0;  // 0: never
  std::uint64_t duplicate_one_in = 0;
};

class Network {
 public:
  explicit Network(Random& random) : random_(random) {}

  NetworkOptions& options() { return options_; }
  void cut(NodeId from, NodeId to, Instant until) { cuts_[{from, to}] = until; }
  void heal() { cuts_.clear(); }
  bool is_cut(NodeId from, NodeId to, Instant now) const {
    const auto found = cuts_.find({from, to});
    return found != cuts_.end() && now < found->second;
  }
  Duration delay() {
    bool is_late = false;
    return delay(is_late);
  }
  Duration delay(bool& is_late) {
    const std::uint64_t usual = options_.delay_us / 2 + random_.below(options_.delay_us + 1);
    std::uint64_t us = usual;
    is_late = options_.late_one_in > 0 && random_.one_in(options_.late_one_in);
    if (is_late) us += random_.below(options_.late_ms * 1000 + 1);
    return microseconds(static_cast<std::int64_t>(us));
  }
  bool loses() { return options_.loss_one_in > 0 && random_.one_in(options_.loss_one_in); }
  bool doubles() {
    return options_.duplicate_one_in > 0 && random_.one_in(options_.duplicate_one_in);
  }

 private:
  Random& random_;
  NetworkOptions options_;
  std::map<std::pair<NodeId, NodeId>, Instant> cuts_;  // until when
};

}  // namespace drave::simulation::quorum
