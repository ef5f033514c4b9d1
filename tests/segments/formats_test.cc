#include "base/random.h"
#include "gtest/gtest.h"
#include "segments/leader_epoch_cache.h"
#include "segments/offset_checkpoint.h"
#include "segments/offset_index.h"
#include "segments/partition_metadata.h"
#include "segments/producer_snapshot.h"
#include "segments/retention.h"
#include "segments/segment.h"
#include "segments/time_index.h"
#include "segments/transaction_index.h"

namespace drave::segments {
namespace {

TEST(OffsetIndex, finds_the_largest_entry_at_or_below) {
  OffsetIndex index(100);
  EXPECT_EQ(index.lookup(500), (OffsetPosition{100, 0}));
  for (int i = 1; i <= 50; ++i) index.append(100 + i * 10, static_cast<std::uint32_t>(i * 4096));
  for (Offset offset = 100; offset < 700; ++offset) {
    const Offset step = std::min<Offset>((offset - 100) / 10, 50);
    EXPECT_EQ(index.lookup(offset),
              (OffsetPosition{100 + step * 10, static_cast<std::uint32_t>(step * 4096)}));
  }
  EXPECT_EQ(index.lookup_position(4095).position, 0u);
  EXPECT_EQ(index.lookup_position(8192).position, 8192u);
  index.truncate_to(130, 1 << 30);
  EXPECT_EQ(index.last(), (OffsetPosition{120, 8192}));
  index.truncate_to(1000, 8192);
  EXPECT_EQ(index.last(), (OffsetPosition{110, 4096}));
}

TEST(OffsetIndex, bytes_come_back_and_nonsense_is_corrupt) {
  OffsetIndex index(7);
  index.append(10, 100);
  index.append(20, 300);
  std::vector<std::uint8_t> bytes = index.encode();
  ASSERT_EQ(bytes.size(), 16u);
  auto decoded = OffsetIndex::decode(7, bytes, 400);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->entries(), index.entries());
  EXPECT_EQ(OffsetIndex::decode(7, bytes, 300).error().code, Errc::corrupt);
  bytes.resize(32);  // preallocated
  ASSERT_TRUE(OffsetIndex::decode(7, bytes, 400).has_value());
  EXPECT_EQ(OffsetIndex::decode(7, bytes, 400)->count(), 2u);
  bytes.resize(15);
  EXPECT_EQ(OffsetIndex::decode(7, bytes, 400).error().code, Errc::corrupt);
  bytes = index.encode();
  std::swap_ranges(bytes.begin(), bytes.begin() + 8, bytes.begin() + 8);
  EXPECT_EQ(OffsetIndex::decode(7, bytes, 400).error().code, Errc::corrupt);
}

TEST(TimeIndex, keeps_only_growing_timestamps) {
  TimeIndex index(10);
  EXPECT_EQ(index.lookup(5), (TimestampEntry{-1, 10}));
  index.maybe_append(100, 12);
  index.maybe_append(100, 15);
  index.maybe_append(90, 16);
  index.maybe_append(200, 20);
  EXPECT_EQ(index.count(), 2u);
  EXPECT_EQ(index.lookup(99), (TimestampEntry{-1, 10}));
  EXPECT_EQ(index.lookup(199), (TimestampEntry{100, 12}));
  EXPECT_EQ(index.lookup(1000), (TimestampEntry{200, 20}));
  const std::vector<std::uint8_t> bytes = index.encode();
  ASSERT_EQ(bytes.size(), 24u);
  EXPECT_EQ(TimeIndex::decode(10, bytes)->entries(), index.entries());
  std::vector<std::uint8_t> swapped = bytes;
  std::swap_ranges(swapped.begin(), swapped.begin() + 12, swapped.begin() + 12);
  EXPECT_EQ(TimeIndex::decode(10, swapped).error().code, Errc::corrupt);
  index.truncate_to(20);
  EXPECT_EQ(index.last(), (TimestampEntry{100, 12}));
}

TEST(TransactionIndex, collects_what_overlaps_and_knows_when_nothing_more_can) {
  TransactionIndex index;
  index.append({1, 0, 5, 6});
  index.append({2, 3, 9, 10});
  index.append({3, 20, 30, 25});
  std::vector<AbortedEntry> found;
  EXPECT_FALSE(index.collect(6, 40, found));
  EXPECT_EQ(found, (std::vector<AbortedEntry>{{2, 3, 9, 10}, {3, 20, 30, 25}}));
  found.clear();
  EXPECT_TRUE(index.collect(0, 4, found));
  EXPECT_EQ(found, (std::vector<AbortedEntry>{{1, 0, 5, 6}}));
  const std::vector<std::uint8_t> bytes = index.encode();
  ASSERT_EQ(bytes.size(), 3 * 34u);
  EXPECT_EQ(TransactionIndex::decode(0, bytes)->entries(), index.entries());
  EXPECT_EQ(TransactionIndex::decode(6, bytes).error().code, Errc::corrupt);
  EXPECT_EQ(TransactionIndex::decode(0, ByteView(bytes).first(50)).error().code, Errc::corrupt);
  index.truncate_to(30);
  EXPECT_EQ(index.entries().size(), 2u);
}

TEST(LeaderEpochCache, answers_as_kip_101_and_279_say) {
  LeaderEpochCache cache;
  EXPECT_EQ(cache.end_offset_for(0, 10).epoch, -1);
  EXPECT_TRUE(cache.assign(2, 0));
  EXPECT_TRUE(cache.assign(4, 10));
  EXPECT_TRUE(cache.assign(5, 20));
  EXPECT_FALSE(cache.assign(5, 25));
  struct Row {
    LeaderEpoch asked;
    EpochEnd answer;
  };
  for (const Row& row : {Row{-1, {-1, -1}}, Row{1, {1, 0}}, Row{2, {2, 10}}, Row{3, {2, 10}},
                         Row{4, {4, 20}}, Row{5, {5, 33}}, Row{6, {-1, -1}}}) {
    const EpochEnd answer = cache.end_offset_for(row.asked, 33);
    EXPECT_EQ(answer.epoch, row.answer.epoch) << row.asked;
    EXPECT_EQ(answer.end_offset, row.answer.end_offset) << row.asked;
  }
  EXPECT_EQ(cache.epoch_of(0), 2);
  EXPECT_EQ(cache.epoch_of(19), 4);
  EXPECT_EQ(cache.epoch_of(1000), 5);
  EXPECT_EQ(cache.encode(20), "0\n2\n2 0\n4 10\n");
  LeaderEpochCache end = cache;
  EXPECT_TRUE(end.truncate_from_end(15));
  EXPECT_EQ(end.latest(), 4);
  LeaderEpochCache start = cache;
  EXPECT_TRUE(start.truncate_from_start(12));
  EXPECT_EQ(start.entries(), (std::vector<EpochEntry>{{4, 12}, {5, 20}}));
  EXPECT_TRUE(start.truncate_from_start(20));
  EXPECT_EQ(start.entries(), (std::vector<EpochEntry>{{5, 20}}));
  // A batch that contradicts what is known wins.
  EXPECT_TRUE(cache.assign(6, 15));
  EXPECT_EQ(cache.entries(), (std::vector<EpochEntry>{{2, 0}, {4, 10}, {6, 15}}));
}

TEST(LeaderEpochCache, text_comes_back_and_nonsense_is_corrupt) {
  const std::string text = "0\n2\n0 0\n3 17\n";
  EXPECT_EQ(LeaderEpochCache::decode(text)->encode(), text);
  for (const char* bad : {"", "0", "0\n", "0\n1\n", "0\n1\n1\n", "0\n1\n1 2 3\n", "0\n1\nx 2\n",
                          "0\n0\n1 2\n", "0\n-1\n", "0\n1\n-1 2\n", "0\n1\n1  2\n"}) {
    EXPECT_EQ(LeaderEpochCache::decode(bad).error().code, Errc::corrupt) << bad;
  }
  EXPECT_EQ(LeaderEpochCache::decode("1\n0\n").error().code, Errc::unsupported);
}

TEST(OffsetCheckpoint, text_comes_back_and_nonsense_is_corrupt) {
  const OffsetCheckpoint checkpoint{{{"a.b-c", 3}, 7}, {{"a.b-c", 12}, 0}, {{"t", 0}, 99}};
  EXPECT_EQ(*decode_offset_checkpoint(encode_offset_checkpoint(checkpoint)), checkpoint);
  EXPECT_TRUE(decode_offset_checkpoint("0\n0\n")->empty());
  for (const char* bad : {"", "0\n1\n", "0\n1\nt 0\n", "0\n1\nt 0 0 0\n", "0\n1\n 0 0\n",
                          "0\n1\nt x 0\n", "0\n1\nt 0 -1\n", "0\n1\nt 0 0\nt 1 0\n"}) {
    EXPECT_EQ(decode_offset_checkpoint(bad).error().code, Errc::corrupt) << bad;
  }
}

TEST(PartitionMetadata, text_comes_back_and_nonsense_is_corrupt) {
  const Uuid id = Uuid::from_random(12345, 67890);
  EXPECT_EQ(*decode_partition_metadata(encode_partition_metadata(id)), id);
  EXPECT_EQ(decode_partition_metadata("version: 1\ntopic_id: x").error().code, Errc::unsupported);
  for (const char* bad : {"", "version: 0", "version: 0\ntopic_id: short", "topic_id: x\n",
                          "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA"}) {
    EXPECT_EQ(decode_partition_metadata(bad).error().code, Errc::corrupt) << bad;
  }
}

TEST(ProducerSnapshot, any_changed_byte_is_noticed) {
  ProducerStates states;
  states.update({5, 1, 0, 4, 10, 14, 1000, false});
  states.update({6, 0, 7, 7, 15, 15, 1001, true});
  std::vector<std::uint8_t> bytes = encode_producer_snapshot(states);
  ASSERT_EQ(bytes.size(), 10u + 2 * 46);
  ProducerStates loaded;
  loaded.load(*decode_producer_snapshot(bytes));
  EXPECT_EQ(encode_producer_snapshot(loaded), bytes);
  EXPECT_EQ(loaded.first_unstable_offset(), 15);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] ^= 0x10;
    EXPECT_FALSE(decode_producer_snapshot(bytes).has_value()) << i;
    bytes[i] ^= 0x10;
  }
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_producer_snapshot(ByteView(bytes).first(size)).has_value());
  }
}

TEST(SegmentFileName, is_parsed_as_it_is_made) {
  EXPECT_EQ(segment_file_name(42, ".log"), "00000000000000000042.log");
  const auto parsed = parse_segment_file_name("00000000000000000042.log.deleted");
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->first, 42);
  EXPECT_EQ(parsed->second, ".log.deleted");
  for (const char* other :
       {"quorum-state", "0.log", "00000000000000000042", ".lock", "0000000000000000004x.log",
        "99999999999999999999.log", "00000000000000000000-0000000000.checkpoint"}) {
    EXPECT_FALSE(parse_segment_file_name(other).has_value()) << other;
  }
}

TEST(Retention, is_decided_by_time_size_and_start_but_never_above_the_high_watermark) {
  const std::vector<SegmentFacts> segments{
      {0, 10, 100, 1000, 0}, {10, 20, 100, 2000, 0}, {20, 30, 100, 3000, 0}, {30, 35, 50, 4000, 0}};
  LogConfig config;
  config.retention_ms = -1;
  const auto count = [&](TimestampMs now, Offset start, Offset watermark) {
    return count_deletable(segments, config, {now, start, watermark});
  };
  EXPECT_EQ(count(1'000'000, 0, 35), 0u);
  EXPECT_EQ(count(0, 9, 35), 0u);
  EXPECT_EQ(count(0, 10, 35), 1u);
  EXPECT_EQ(count(0, 35, 35), 3u);  // the newest stays
  config.retention_ms = 500;
  EXPECT_EQ(count(1500, 0, 35), 0u);
  EXPECT_EQ(count(1501, 0, 35), 1u);
  EXPECT_EQ(count(9000, 0, 35), 4u);
  EXPECT_EQ(count(9000, 0, 34), 3u);
  EXPECT_EQ(count(9000, 0, 5), 0u);
  config.retention_ms = -1;
  config.retention_bytes = 150;
  EXPECT_EQ(count(0, 0, 35), 2u);
  config.retention_bytes = 0;
  EXPECT_EQ(count(0, 0, 35), 4u);
  config.retention_bytes = 250;
  EXPECT_EQ(count(0, 0, 35), 1u);
  config.cleanup_delete = false;
  config.cleanup_compact = true;
  EXPECT_EQ(count(9000, 10, 35), 1u);
}

}  // namespace
}  // namespace drave::segments
