#pragma once
// Images for the tests of metadata/.

#include "gtest/gtest.h"
#include "metadata/delta.h"
#include "metadata/image_records.h"
#include "metadata/record_list.h"

namespace drave::metadata::testing {

inline Image apply_all(const Image& base, const RecordList& records) {
  Delta delta(base);
  for (std::size_t index = 0; index < records.size(); ++index) {
    const Result<void> applied = delta.apply(records[index]);
    EXPECT_TRUE(applied.has_value()) << applied.error().message();
  }
  return std::move(delta).finish({static_cast<Offset>(records.size()) - 1, 1}, 5);
}

// Brokers 1 to `count` are registered and in service; the features are a new cluster's.
inline Image cluster(int count, std::int16_t metadata_version = 30) {
  RecordList records;
  protocol::FeatureLevelRecord level;
  level.name = "metadata.version";
  level.feature_level = metadata_version;
  records.add(level);
  for (int id = 1; id <= count; ++id) {
    protocol::RegisterBrokerRecord broker;
    broker.broker_id = id;
    broker.broker_epoch = 10 + id;
    broker.fenced = false;
    broker.rack = std::nullopt;
    broker.log_dirs = {Uuid{7, static_cast<std::uint64_t>(id)}};
    records.add(broker, std::int16_t{3});
  }
  return apply_all(Image(), records);
}

}  // namespace drave::metadata::testing
