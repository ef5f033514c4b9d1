#pragma once
// What the bench sends: pre-encoded produce requests, fetches, or stamped records that are read
// back.

#include <map>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "base/ids.h"
#include "protocol/record_batch.h"
#include "tools/bench/engine.h"

namespace drave::bench {

enum class Mode { produce, consume, latency };

struct Plan {
  Mode mode = Mode::produce;
  std::string topic = "drave-bench";
  std::int32_t connections = 4;
  std::int32_t in_flight = 4;  // per connection, of the closed loop
  std::int32_t records = 1;    // per request
  std::int32_t size = 1024;    // of a value
  double rate = 0;             // requests per second, at moments fixed in advance; 0: closed loop
  std::int16_t acks = -1;
  protocol::Codec codec = protocol::Codec::none;
  std::int32_t fetch_bytes = 1024 * 1024;
  double seconds = 10;
  double warm_seconds = 2;
  std::int16_t produce_version = 9;
  std::int16_t fetch_version = 12;
};

struct Share {  // what one broker leads
  client::Endpoint endpoint;
  std::vector<PartitionIndex> partitions;
  std::map<PartitionIndex, Offset> start;  // where reading begins
};

struct Counts {
  std::uint64_t requests = 0;
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
  std::uint64_t errors = 0;
  std::int16_t last_error = 0;
};

// What was measured so far; reset() when the warming is over.
struct Measured {
  Counts counts;
  Histogram latency_ns;     // intended moment of sending to answer
  Histogram end_to_end_ns;  // of mode latency: intended moment of sending to its being read

  void reset() {
    counts = {};
    std::destroy_at(&latency_ns);
    std::construct_at(&latency_ns);
    std::destroy_at(&end_to_end_ns);
    std::construct_at(&end_to_end_ns);
  }
};

class BenchWorkload : public Workload {
 public:
  // Connects and begins; `shares` are not empty.
  static Result<std::unique_ptr<BenchWorkload>> create(Engine& engine, const Plan& plan,
                                                       std::vector<Share> shares,
                                                       client::Milliseconds timeout);
  std::int64_t send_due(std::int64_t now) override;
  Result<void> answered(Channel& channel, ByteView answer, std::int64_t began,
                        std::int64_t now) override;
  // No more requests from now on.
  void stop() { stopped_ = true; }
  Measured& measured() { return measured_; }

 private:
  // A connection's part of the work.
  struct Lane {
    bool is_fetch = false;
    const Share* share = nullptr;
    std::vector<Frame> frames;  // pre-encoded, by the index into share->partitions
    std::size_t next = 0;       // index of the partition that is next
    std::map<PartitionIndex, Offset> at;
  };

  BenchWorkload(Engine& engine, const Plan& plan, std::vector<Share> shares)
      : engine_(engine), plan_(plan), shares_(std::move(shares)) {}
  Result<void> open(client::Milliseconds timeout);
  Result<void> add_lane(const Share& share, bool is_fetch, client::Milliseconds timeout);
  Result<Frame> produce_frame(PartitionIndex partition, std::int64_t stamp_ns) const;
  Result<Frame> fetch_frame(Lane& lane) const;
  void send_one(std::size_t lane, std::int64_t began);
  Result<void> produce_answered(ByteView answer, std::int64_t began, std::int64_t now);
  Result<void> fetch_answered(Lane& lane, ByteView answer, std::int64_t began, std::int64_t now);
  void count_records(Lane& lane, PartitionIndex partition, ByteView records, std::int64_t now);
  void note_error(std::int16_t code);

  Engine& engine_;
  const Plan plan_;
  std::vector<Share> shares_;
  std::vector<Lane> lanes_;  // by the index of the channel
  std::size_t next_lane_ = 0;
  double next_send_ns_ = 0;
  std::size_t batch_size_ = 0;
  bool stopped_ = false;
  Measured measured_;
};

}  // namespace drave::bench
