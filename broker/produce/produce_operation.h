#pragma once
// One Produce request on its way: judged on the connection's shard, appended on the shards that own
// its partitions, answered when all that it appended is on disk.
//
//   connection's shard          partition's shard
//   validate each batch
//   go  ------------------->    check the sequence, append to log and journal
//       <------- appended       (the frame's bytes are no longer needed)
//       <----------- done       when durable: the journal's completion
//   answer
//
// Parts go to their shards in the order of the requests, so one connection's batches reach a
// partition in that order. Nothing here suspends but validation of large batches.
//
// Almost all requests are for one partition: all that is needed for one stands in the operation
// itself, which comes from the frame pool.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/fixed_array.h"
#include "broker/net/request.h"
#include "broker/shard.h"
#include "io/frame_pool.h"
#include "io/mailbox.h"
#include "io/timer_wheel.h"
#include "protocol/batch_validator.h"
#include "protocol/error_code.h"
#include "protocol/messages/produce.h"

namespace drave::broker {

class Access;
class ProduceOperation;
class ProducePart;

// One partition of the request.
struct PartitionAppend {
  struct Durable : segments::DurableWaiter {
    PartitionAppend* append = nullptr;
  };

  // What is to be appended.
  PartitionIndex index = 0;  // as the request says
  TopicIdPartition id;
  MutableByteView batch;
  protocol::AcceptedBatch accepted;
  std::vector<std::uint8_t> recompressed;  // backs `batch` where the topic has its own codec
  LeaderEpoch leader_epoch = -1;           // as the connection's shard knows it

  // What came of it.
  protocol::ErrorCode error = protocol::ErrorCode::none;
  std::string message;
  std::vector<protocol::RecordFailure> record_failures;
  Offset base_offset = -1;
  Offset log_start = -1;
  TimestampMs append_time = -1;

  bool appended = false;
  Durable durable;
  ProducePart* part = nullptr;
  PartitionAppend* next = nullptr;  // of the same part
};

// The partitions of the request that one shard owns.
class ProducePart {
 public:
  ProducePart() = default;
  ProducePart(const ProducePart&) = delete;

  // On the partitions' shard. Appends what is not appended yet; false: a log is full, try again
  // when room() says so.
  bool try_append();
  // Where to wait after try_append() returned false.
  io::WaitQueue& room() {
    ASSERT(room_ != nullptr);
    return *room_;
  }

 private:
  friend class ProduceOperation;
  struct PartMessage : io::Message {
    ProducePart* part = nullptr;
  };

  void begin(ProduceOperation& operation, std::uint32_t shard);
  void add(PartitionAppend& append);
  void arrive();
  bool append_one(PartitionAppend& append);
  void wait_for_duplicate(PartitionAppend& append, Replica& replica, Offset end);
  void wait_durable(PartitionAppend& append, Replica& replica, Offset end);
  void one_settled();
  void send_home(PartMessage& message);

  ProduceOperation* operation_ = nullptr;
  Shard* shard_ = nullptr;  // of the partitions
  std::uint32_t shard_number_ = 0;
  PartitionAppend* last_ = nullptr;
  PartitionAppend* next_ = nullptr;  // those before it were tried
  std::size_t unsettled_ = 1;        // waits for durability, and one for the appending itself
  io::WaitQueue* room_ = nullptr;
  PartMessage go_;
  PartMessage appended_;
  PartMessage done_;
};

class ProduceOperation {
 public:
  static void* operator new(std::size_t size) { return io::FramePool::allocate(size); }
  static void operator delete(void* object, std::size_t size) {
    io::FramePool::release(object, size);
  }

  // Validates and sends the parts on their way; the answer follows. `request` has been decoded into
  // `message`, whose views live in the request's frame.
  static io::Task<void> start(Request request, protocol::ProduceRequest message);

 private:
  friend class ProducePart;
  struct Topic {
    std::string name;
    TopicId id;
    std::size_t first = 0;  // of its partitions in appends_
    std::size_t count = 0;
  };
  struct Timeout : io::Timer {
    using io::Timer::Timer;
    ProduceOperation* operation = nullptr;
  };

  ProduceOperation(Request request, const protocol::ProduceRequest& message);
  ~ProduceOperation() = default;

  io::Task<void> judge(const protocol::ProduceRequest& message, Access access);
  io::Task<void> judge_partition(const ServedTopic* topic, protocol::ErrorCode topic_error,
                                 std::optional<ByteView> records, PartitionAppend& append);
  io::Task<void> recompress(metadata::TopicConfig config, PartitionAppend& append);
  void dispatch();
  ProducePart& part_of(std::uint32_t shard);
  std::span<ProducePart> parts() { return {parts_.begin(), part_count_}; }
  void on_appended();
  void on_done();
  void on_timeout();
  void answer();
  void finish();

  Shard& shard_;
  Connection& connection_;
  Response* response_;  // null once answered
  FrameRef frame_;
  std::int16_t version_;
  std::int16_t acks_;
  std::int32_t timeout_ms_;
  bool has_transactional_id_;
  FixedArray<Topic> topics_;
  FixedArray<PartitionAppend> appends_;
  FixedArray<ProducePart> parts_;
  std::size_t part_count_ = 0;  // of parts_ those that are used
  std::size_t parts_appending_ = 0;
  std::size_t parts_open_ = 0;
  Timeout timeout_;
};

}  // namespace drave::broker
