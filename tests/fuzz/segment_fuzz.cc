// What stands in a log directory: indexes, snapshots, checkpoints, and a whole partition that is
// recovered from damaged files.
//
// The low nibble of the first byte chooses the reader; of segments, bit 4 says that the stop was
// clean, bit 5 mends the CRCs of what looks like batches, bit 6 that a journal follows. A segment's
// input is its .log, and behind the first "\xffINDEX\xff" its .index.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "base/log.h"
#include "io/sim/world.h"
#include "protocol/record_batch.h"
#include "segments/file_cache.h"
#include "segments/leader_epoch_cache.h"
#include "segments/offset_checkpoint.h"
#include "segments/offset_index.h"
#include "segments/partition_log_impl.h"
#include "segments/partition_metadata.h"
#include "segments/producer_snapshot.h"
#include "segments/tail.h"
#include "segments/time_index.h"
#include "segments/transaction_index.h"

namespace drave::segments {
namespace {

constexpr const char* kPath = "/data/t-0";

void read_small(std::uint8_t choice, ByteView bytes) {
  const std::vector<std::uint8_t> same(bytes.begin(), bytes.end());
  switch (choice) {
    case 0:
      if (const auto index = OffsetIndex::decode(5, bytes, 1 << 20)) {
        for (const OffsetPosition& entry : index->entries()) {
          ASSERT(index->lookup(entry.offset) == entry);
        }
      }
      break;
    case 1:
      if (const auto index = TimeIndex::decode(5, bytes)) {
        for (const TimestampEntry& entry : index->entries()) {
          ASSERT(index->lookup(entry.timestamp) == entry);
        }
      }
      break;
    case 2:
      if (const auto index = TransactionIndex::decode(5, bytes)) ASSERT(index->encode() == same);
      break;
    case 3:
      if (auto entries = decode_producer_snapshot(bytes)) {
        ProducerStates states;
        states.load(std::move(*entries));
        ASSERT(decode_producer_snapshot(encode_producer_snapshot(states)).has_value());
      }
      break;
    case 4:
      if (const auto epochs = LeaderEpochCache::decode(as_text(bytes))) {
        ASSERT(LeaderEpochCache::decode(epochs->encode())->entries() == epochs->entries());
      }
      break;
    case 5:
      if (const auto offsets = decode_offset_checkpoint(as_text(bytes))) {
        ASSERT(*decode_offset_checkpoint(encode_offset_checkpoint(*offsets)) == *offsets);
      }
      break;
    default:
      if (const auto id = decode_partition_metadata(as_text(bytes))) {
        ASSERT(*decode_partition_metadata(encode_partition_metadata(*id)) == *id);
      }
  }
}

void mend(std::vector<std::uint8_t>& log) {
  std::size_t at = 0;
  while (at < log.size()) {
    const auto peek = protocol::peek_batch(ByteView(log).subspan(at));
    if (peek.status != protocol::BatchPeek::Status::whole) return;
    const MutableByteView batch = MutableByteView(log).subspan(at, peek.size);
    if (peek.magic == protocol::kBatchMagic && peek.size >= protocol::kBatchHeaderSize) {
      protocol::set_batch_crc(batch);
    }
    at += peek.size;
  }
}

// Reads until the end or the first damage; every batch that comes is whole and right.
io::Task<void> read_through(PartitionLog& log) {
  Offset from = log.log_start();
  while (from < log.end()) {
    ReadRequest request;
    request.offset = from;
    request.bytes_max = 3000;
    request.at_least_one_batch = true;
    auto result = co_await log.read(request);
    if (!result) {
      ASSERT(result.error().code == Errc::corrupt);
      co_return;
    }
    if (result->size == 0) co_return;
    for (const LogPiece& piece : result->pieces) {
      protocol::BatchIterator batches(piece.bytes());
      while (auto batch = batches.next()) {
        ASSERT(batch->crc_matches());
        ASSERT(batch->last_offset() >= from);
        from = batch->last_offset() + 1;
      }
      ASSERT(batches.remaining() == 0);
    }
  }
}

io::Task<void> recover(io::sim::Process& process, RecoveryHints hints, bool& ended) {
  Offset end = -1;
  for (int turn = 0; turn < 2; ++turn) {
    TailBudget tails(process.loop(), kMiB);
    FileCache files(process.loop(), 8);
    LogServices services;
    services.loop = &process.loop();
    services.tails = &tails;
    services.files = &files;
    auto log =
        co_await PartitionLogImpl::open(services, kPath, "t", {{7, 1}, 0}, LogConfig{}, hints);
    ASSERT(log.has_value());
    if (hints.journal_first) (void)co_await (*log)->finish_replay();
    ASSERT((*log)->log_start() <= (*log)->end());
    co_await read_through(**log);
    (void)co_await (*log)->find_by_timestamp(1, (*log)->end());
    (void)co_await (*log)->aborted_transactions((*log)->log_start(), (*log)->end());
    // Recovering again changes nothing.
    if (turn == 1) ASSERT_EQUAL((*log)->end(), end);
    end = (*log)->end();
    const auto flushed = co_await (*log)->flush();
    ASSERT(flushed.has_value());
    if (turn == 1) ASSERT((co_await (*log)->close()).has_value());
  }
  ended = true;
}

void recover_segment(std::uint8_t flags, ByteView input) {
  constexpr std::string_view kSeparator = "\xffINDEX\xff";
  const std::size_t cut = std::min(as_text(input).find(kSeparator), input.size());
  std::vector<std::uint8_t> log(input.begin(), input.begin() + static_cast<std::ptrdiff_t>(cut));
  if ((flags & 0x20) != 0) mend(log);
  io::sim::World world(1);
  io::sim::Node& node = world.add_node();
  node.disk().make_directory("/data");
  node.disk().make_directory(kPath);
  const std::string name = std::string(kPath) + "/00000000000000000000";
  node.disk().put(name + ".log", log);
  if (cut < input.size()) {
    node.disk().put(name + ".index", input.subspan(cut + kSeparator.size()));
    node.disk().put(name + ".timeindex", {});
  }
  RecoveryHints hints;
  hints.clean = (flags & 0x10) != 0;
  hints.recovery_point = flags % 3 == 0 ? 20 : 0;
  if (!hints.clean && (flags & 0x40) != 0) hints.journal_first = 10;
  bool ended = false;
  node.start([&](io::sim::Process& process) { return recover(process, hints, ended); });
  world.run_until([&] { return ended; }, seconds(3600));
  ASSERT(ended);
}

}  // namespace
}  // namespace drave::segments

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > (1U << 20)) return 0;
  static const bool quiet = drave::log::set_level("*", "off");
  (void)quiet;
  const drave::ByteView input(data + 1, size - 1);
  const std::uint8_t choice = data[0] & 0x0f;
  if (choice < 7) {
    drave::segments::read_small(choice, input);
  } else {
    drave::segments::recover_segment(data[0], input);
  }
  return 0;
}
