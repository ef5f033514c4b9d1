// How decisions of many records are cut into batches.

#include "metadata/controller/batching.h"

#include "metadata/loader.h"
#include "protocol/batch_builder.h"
#include "tests/metadata/decision_support.h"

namespace drave::metadata::testing {
namespace {

RecordList configs(int count, std::size_t value_size) {
  RecordList records;
  const std::string value(value_size, 'v');
  for (int index = 0; index < count; ++index) {
    const std::string name = "key-" + std::to_string(index);
    protocol::ConfigRecord record;
    record.resource_type = 4;
    record.name = name;
    record.value = value;
    records.add(record);
  }
  return records;
}

std::vector<std::uint8_t> batch_of(const RecordList& records, Offset base) {
  protocol::BatchOptions options;
  options.base_offset = base;
  options.leader_epoch = 1;
  protocol::BatchBuilder builder(options);
  for (std::size_t index = 0; index < records.size(); ++index)
    builder.append(1'700'000'000'000, std::nullopt, records[index]);
  return std::move(builder).finish();
}

// Every batch is within the limits; the image after each.
std::vector<std::size_t> apply_batches(const std::vector<RecordList>& batches,
                                       const BatchLimits& limits) {
  Loader loader;
  Offset base = 0;
  std::vector<std::size_t> visible;
  for (const RecordList& batch : batches) {
    EXPECT_GT(batch.size(), 0u);
    EXPECT_LE(batch.size(), limits.records_max);
    const std::vector<std::uint8_t> bytes = batch_of(batch, base);
    EXPECT_LE(bytes.size(), limits.bytes_max);
    const Result<void> applied = loader.apply(*protocol::parse_batch(bytes));
    EXPECT_TRUE(applied.has_value()) << applied.error().message();
    base += static_cast<Offset>(batch.size());
    visible.push_back(loader.image()->configs({ConfigResourceType::broker, ""}).size());
  }
  EXPECT_FALSE(loader.in_transaction());
  return visible;
}

TEST(CutRecords, what_fits_is_one_batch_as_it_is) {
  const BatchLimits limits{100'000, 10};
  auto batches = cut_records(configs(10, 10), Atomicity::all, "x", 30, limits);
  ASSERT_TRUE(batches.has_value());
  EXPECT_EQ(apply_batches(*batches, limits), std::vector<std::size_t>{10});
  EXPECT_EQ(batches->front().size(), 10u);
  EXPECT_TRUE(cut_records(RecordList(), Atomicity::all, "x", 30, limits)->empty());
}

TEST(CutRecords, a_transaction_is_visible_at_its_end) {
  const BatchLimits limits{100'000, 10};
  auto batches = cut_records(configs(38, 10), Atomicity::all, "many", 13, limits);
  ASSERT_TRUE(batches.has_value());
  EXPECT_EQ(apply_batches(*batches, limits), (std::vector<std::size_t>{0, 0, 0, 38}));
  EXPECT_EQ(apply_batches(*cut_records(configs(39, 10), Atomicity::all, "m", 13, limits), limits),
            (std::vector<std::size_t>{0, 0, 0, 0, 39}));
}

TEST(CutRecords, bytes_count_as_records_do) {
  const BatchLimits limits{10'000, 10'000};
  auto batches = cut_records(configs(25, 1000), Atomicity::all, "large", 30, limits);
  ASSERT_TRUE(batches.has_value());
  EXPECT_EQ(apply_batches(*batches, limits), (std::vector<std::size_t>{0, 0, 25}));
  for (std::size_t size = 9700; size < 9900; ++size) {
    const auto one = cut_records(configs(1, size), Atomicity::each, "one", 30, limits);
    if (one.has_value()) apply_batches(*one, limits);
  }
}

TEST(CutRecords, what_need_not_be_atomic_is_visible_in_pieces) {
  const BatchLimits limits{100'000, 10};
  auto batches = cut_records(configs(25, 10), Atomicity::each, "x", 7, limits);
  ASSERT_TRUE(batches.has_value());
  EXPECT_EQ(apply_batches(*batches, limits), (std::vector<std::size_t>{10, 20, 25}));
}

TEST(CutRecords, what_cannot_be_less_is_as_large_as_the_log_takes) {
  const BatchLimits limits{.bytes_max = 1000, .uncut_bytes_max = 30'000};
  const auto sizes = [&](RecordList records, Atomicity atomicity, std::int16_t version) {
    std::vector<std::size_t> counts;
    const auto batches = cut_records(std::move(records), atomicity, "x", version, limits);
    EXPECT_TRUE(batches.has_value());
    if (!batches) return counts;
    for (const RecordList& batch : *batches) counts.push_back(batch.size());
    return counts;
  };
  using Counts = std::vector<std::size_t>;
  EXPECT_EQ(sizes(configs(1, 20'000), Atomicity::each, 30), Counts{1});
  EXPECT_EQ(sizes(configs(1, 20'000), Atomicity::all, 30), Counts{1});
  EXPECT_EQ(sizes(configs(3, 20'000), Atomicity::each, 30), (Counts{1, 1, 1}));
  EXPECT_EQ(sizes(configs(2, 20'000), Atomicity::all, 30), (Counts{1, 1, 1, 1}));
  EXPECT_EQ(sizes(configs(200, 100), Atomicity::all, 0), Counts{200}) << "no transactions yet";
  EXPECT_EQ(cut_records(configs(1, 30'000), Atomicity::each, "x", 30, limits).error().code,
            Errc::too_large);
}

TEST(CutRecords, what_cannot_be_is_refused_whole) {
  EXPECT_EQ(cut_records(configs(11, 10), Atomicity::all, "x", 12, {100'000, 10}).error().code,
            Errc::too_large);
  EXPECT_EQ(cut_records(configs(3, 20'000), Atomicity::each, "x", 30, {10'000, 10}).error().code,
            Errc::too_large);
  EXPECT_EQ(cut_records(configs(3, 20'000), Atomicity::all, "x", 30, {10'000, 10}).error().code,
            Errc::too_large);
}

}  // namespace
}  // namespace drave::metadata::testing
