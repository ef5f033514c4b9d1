#pragma once
// One Fetch request: its partitions are read on the shards that own them, in parallel; where there
// is less than the client wants, each shard's part waits on its replicas until there is enough in
// all, or the client's time is up.
//
// The operation lives on the connection's shard in handle_fetch's coroutine; its parts live on the
// partitions' shards while they run, and come home with what they found.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/fetch/fetch_session.h"
#include "broker/net/connection.h"
#include "broker/net/request.h"
#include "broker/shard.h"
#include "io/mailbox.h"
#include "io/sync.h"

namespace drave::broker {

class FetchOperation;

// What was found for one item.
struct FetchOutcome {
  protocol::ErrorCode error = protocol::ErrorCode::none;
  Offset high_watermark = -1;
  Offset last_stable_offset = -1;
  Offset log_start = -1;
  segments::EpochEnd diverging;
  LeaderEpoch current_epoch = -1;  // told with fenced or unknown epochs
  std::vector<segments::AbortedTransaction> aborted;
  segments::ReadResult data;
};

// The items of the request that one shard owns.
class FetchPart {
 public:
  FetchPart(FetchOperation& operation, std::uint32_t shard);

 private:
  friend class FetchOperation;
  friend std::int64_t take_reserved(FetchOperation& operation, const Response& by);
  struct PartMessage : io::Message {
    FetchPart* part = nullptr;
  };
  struct Waiter : DataWaiter {
    FetchPart* part = nullptr;
  };

  io::Task<void> run();
  io::Task<void> read_all();
  void give_up_data();
  io::Task<bool> reserve(std::int64_t bytes);
  io::Task<void> read_one(std::size_t item);
  void send_home(PartMessage& message);
  bool has_enough() const;
  bool has_visible_data() const;
  std::int64_t bytes_to_reserve() const;
  // Waits for news of a replica, a cancel, or the deadline.
  io::Task<void> wait_for_news();

  FetchOperation& operation_;
  std::uint32_t shard_number_;
  Shard* shard_;
  std::vector<std::size_t> items_;  // of the plan
  std::vector<std::unique_ptr<Waiter>> waiters_;
  io::WaitQueue news_;  // of the part's shard
  bool cancelled_ = false;
  bool running_ = true;
  bool may_read_ = true;  // there was memory for records
  bool settled_ = false;  // an error, a divergence: answer at once
  std::int64_t found_bytes_ = 0;
  PartMessage go_;
  PartMessage cancel_;
  PartMessage cancel_taken_;  // the answer to cancel_: nothing of this part is on its way any more
  PartMessage done_;
  bool cancel_sent_ = false;
  std::int64_t reserved_bytes_ = 0;  // of the node's response budget
};

class FetchOperation : public Parked {
 public:
  struct Limits {
    std::int64_t bytes_min = 1;
    std::int64_t bytes_max = 0;
    Instant deadline;
    bool read_committed = false;
    bool is_replica = false;
    std::int16_t version = 0;
  };

  FetchOperation(Shard& shard, Connection& connection, FetchPlan plan, Limits limits);
  ~FetchOperation();

  // Runs to the end; then outcomes() has an entry for each item of the plan.
  io::Task<void> run();
  std::vector<FetchOutcome>& outcomes() { return outcomes_; }
  const FetchPlan& plan() const { return plan_; }

 private:
  friend class FetchPart;
  void start_parts();
  FetchPart& part_of(std::uint32_t shard);
  void on_part_done();
  void cancel_all();
  void trim();

  friend std::int64_t take_reserved(FetchOperation& operation, const Response& by);

  Shard& shard_;
  FetchPlan plan_;
  Limits limits_;
  std::vector<FetchOutcome> outcomes_;
  std::vector<std::unique_ptr<FetchPart>> parts_;
  std::size_t parts_running_ = 0;
  std::size_t cancels_on_way_ = 0;
  bool cancelled_ = false;
  io::WaitQueue ended_;
  // Bytes found by all parts; each adds its own and all look.
  std::atomic<std::int64_t> found_bytes_{0};
};

// Bytes of the node's response budget that the parts hold still: the caller's to give back from now
// on.
std::int64_t take_reserved(FetchOperation& operation, const Response& by);

}  // namespace drave::broker
