#pragma once
// The client of scenario `wire`, and what it knows: which records were acknowledged, and which
// batch is under way. It outlives client and server; records are numbered 0, 1, 2, ... and their
// number is also their sequence.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "io/sim/world.h"
#include "io/socket.h"
#include "protocol/wire.h"
#include "tools/sim/scenario.h"

namespace drave::simulation {

inline constexpr std::uint16_t kWirePort = 9092;

class WireProducer {
 public:
  WireProducer(std::uint64_t seed, std::string host) : random_(seed), host_(std::move(host)) {}

  // The program of the client's machine: looks whether all is there that was acknowledged, then
  // produces until it is killed.
  io::Task<void> run(io::sim::Process& process);

  const std::optional<Violation>& violation() const { return violation_; }
  void violate(std::string invariant, std::string detail);
  Tally& tally() { return tally_; }
  std::uint64_t acknowledged() const { return acknowledged_; }
  std::uint64_t verified_count() const { return verified_count_; }

 private:
  // One connection.
  struct Link {
    io::Socket socket;
    std::int32_t correlation_id = 0;
  };
  template <class M>
  struct Answer {
    M message;
    std::vector<std::uint8_t> frame;  // its views point here
  };

  template <class Request>
  std::vector<std::uint8_t> frame_of(Link& link, const Request& request, std::int16_t version);
  template <class Response, class Request>
  io::Task<Result<Answer<Response>>> call(Link& link, Request request, std::int16_t version);
  io::Task<Result<void>> visit(io::sim::Process& process, Link& first, Link& second,
                               bool& is_verified);
  io::Task<Result<void>> prepare(io::sim::Process& process, Link& link);
  io::Task<Result<void>> verify(io::sim::Process& process, Link& link);
  bool take_records(ByteView records, std::uint64_t& count, std::int64_t& offset);
  void make_batch(TimestampMs now_ms);
  io::Task<Result<void>> produce(io::sim::Process& process, Link& first, Link& second);
  io::Task<void> send_batch(io::sim::Process& process, Link& link, Result<void>& outcome);

  Random random_;
  std::string host_;
  std::optional<Violation> violation_;
  Tally tally_;
  std::int64_t producer_id_ = -1;
  std::int16_t producer_epoch_ = 0;
  std::uint64_t acknowledged_ = 0;  // records
  std::uint64_t batch_end_ = 0;     // number behind the last of the batch under way
  std::vector<std::uint8_t> batch_;
  std::uint64_t verified_count_ = 0;
};

}  // namespace drave::simulation
