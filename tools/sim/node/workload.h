#pragma once
// The program of the simulated node and what is known about it: it opens a log directory, checks
// what it finds against the models, then appends, reads, truncates, deletes and creates until it is
// told to stop or something fails.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "io/sim/world.h"
#include "segments/log_directory.h"
#include "tools/sim/node/model.h"
#include "tools/sim/scenario.h"

namespace drave::simulation {

inline constexpr const char* kDataDirectory = "/data";

// One topic with one partition; deleted and created again, each time with a new id.
struct TopicSlot {
  std::string topic;
  std::uint32_t index = 0;
  PartitionModel* model = nullptr;       // the one that lives, if one does
  const PartitionModel* last = nullptr;  // the one before it, if its removal has ended
};

class Workload {
 public:
  Workload(std::uint64_t seed, std::uint32_t topic_count);

  // The program for Node::start(). One process at a time.
  io::Task<void> run(io::sim::Process& process);

  // Set before each start: errors are to be expected.
  void set_faulty(bool faulty) { faulty_ = faulty; }

  // From now on, in this life, descriptors may be missing: it may fail to start, and end uncleanly
  // when it is stopped. False: the next life begins.
  void set_starved(bool starved) { starved_ = starved; }

  // While nothing runs: a sector of a segment goes bad, below what is durable and with whole
  // batches behind it. From then on its batches may be refused, and nothing else.
  void rot(io::sim::Disk& disk);

  const std::optional<Violation>& violation() const { return violation_; }
  void violate(Violation violation);
  Tally& tally() { return tally_; }
  std::uint64_t verified_boots() const { return verified_boots_; }
  std::uint64_t acknowledged() const { return acknowledged_; }
  std::size_t topic_count() const { return slots_.size(); }

 private:
  struct Boot;
  struct AckWaiter;

  io::Task<Result<void>> format(io::Loop& loop);
  io::Task<void> run_shards(Boot& boot);
  static io::Task<void> start_on_shard(Boot& boot, std::uint32_t shard);
  io::Task<void> run_shard(Boot& boot, std::uint32_t shard);
  static io::Task<void> settle_when_over(Boot& boot, io::Loop& loop, segments::LogShard& logs,
                                         const bool& ended);
  io::Task<void> work_on_shard(Boot& boot, std::uint32_t shard, segments::LogShard& logs);
  void check_found(Boot& boot);
  io::Task<void> verify_shard(Boot& boot, std::uint32_t shard, segments::LogShard& logs);
  io::Task<void> verify_log(Boot& boot, TopicSlot& slot, segments::PartitionLog& log);
  io::Task<bool> read_through(Boot& boot, const PartitionModel& model, segments::PartitionLog& log,
                              Offset from, Offset to);
  io::Task<void> work(Boot& boot, std::uint32_t shard, TopicSlot& slot, segments::LogShard& logs);
  io::Task<bool> work_step(Boot& boot, io::Loop& loop, TopicSlot& slot, segments::LogShard& logs,
                           Random& random);
  io::Task<void> append_some(Boot& boot, io::Loop& loop, TopicSlot& slot,
                             segments::PartitionLog& log, Random& random);
  bool append_one(Boot& boot, io::Loop& loop, PartitionModel& model, segments::PartitionLog& log,
                  Random& random);
  ModelBatch make_batch(PartitionModel& model, segments::PartitionLog& log, Random& random,
                        TimestampMs now_ms);
  io::Task<void> cut(Boot& boot, PartitionModel& model, segments::PartitionLog& log,
                     Random& random);
  io::Task<void> remove(Boot& boot, TopicSlot& slot, segments::LogShard& logs);
  io::Task<segments::PartitionLog*> create(Boot& boot, TopicSlot& slot, segments::LogShard& logs,
                                           Random& random);
  segments::LogConfig config_of(const segments::PartitionToOpen& partition) const;
  void acknowledged_all();
  // True: an error that the circumstances explain; the boot ends. False: it was a violation.
  void failed(Boot& boot, const std::string& what, const Error& error);

  Random random_;
  std::vector<TopicSlot> slots_;
  std::vector<std::unique_ptr<PartitionModel>> models_;  // all that ever were
  std::set<TopicIdPartition> removed_;
  std::optional<Violation> violation_;
  Tally tally_;
  bool faulty_ = false;
  bool starved_ = false;
  bool has_rot_ = false;
  std::uint64_t boots_ = 0;
  std::uint64_t verified_boots_ = 0;
  std::uint64_t acknowledged_ = 0;
  ProducerId next_producer_id_ = 1000;
};

}  // namespace drave::simulation
