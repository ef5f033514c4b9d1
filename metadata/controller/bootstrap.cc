#include "metadata/controller/bootstrap.h"

#include <fmt/format.h>

#include "metadata/controller/configs.h"
#include "metadata/delta.h"
#include "metadata/features.h"
#include "protocol/record.h"
#include "protocol/record_batch.h"

namespace drave::metadata {

namespace {

void add_levels(RecordList& records) {
  const auto levels = default_levels(metadata_level::kNewest);
  auto add = [&records](std::string_view name, std::int16_t level) {
    protocol::FeatureLevelRecord record;
    record.name = name;
    record.feature_level = level;
    records.add(record);
  };
  add(kMetadataVersion, metadata_level::kNewest);
  for (const auto& [name, level] : levels)
    if (name != kMetadataVersion && name != kKraftVersion) add(name, level);
}

Result<void> add_checkpoint(ByteView checkpoint, RecordList& records) {
  protocol::BatchIterator batches(checkpoint);
  while (const auto batch = batches.next()) {
    if (batch->is_legacy() || batch->is_control()) continue;
    protocol::RecordIterator iterator(batch->records(), batch->record_count());
    for (protocol::RecordView record; iterator.next(record);)
      records.add_encoded(record.value().value_or(ByteView()));
    if (iterator.fault() != protocol::RecordFault::none)
      return failure(Errc::corrupt, "bootstrap.checkpoint: a damaged batch");
  }
  return {};
}

}  // namespace

Result<RecordList> bootstrap_records(ByteView checkpoint, std::int32_t min_insync_replicas) {
  RecordList content;
  if (checkpoint.empty())
    add_levels(content);
  else
    TRY_VOID(add_checkpoint(checkpoint, content));
  Delta delta{Image()};
  for (std::size_t index = 0; index < content.size(); ++index)
    TRY_VOID(delta.apply(content[index]));
  const Image image = std::move(delta).finish({-1, -1}, -1);
  const std::int16_t metadata_version = image.feature(kMetadataVersion);
  if (metadata_version < metadata_level::kMin || metadata_version > metadata_level::kNewest) {
    return failure(Errc::unsupported,
                   fmt::format("bootstrap.checkpoint: metadata.version {} is none of {} to {}",
                               metadata_version, metadata_level::kMin, metadata_level::kNewest));
  }
  RecordList records;
  const bool in_transaction = metadata_version >= metadata_level::kTransactions;
  if (in_transaction) {
    protocol::BeginTransactionRecord begin;
    begin.name = "Bootstrap records";
    records.add(begin);
  }
  for (std::size_t index = 0; index < content.size(); ++index) records.add_encoded(content[index]);
  if (image.feature(kElrVersion) >= 1)
    add_elr_configs(image, std::to_string(min_insync_replicas), records);
  if (in_transaction) records.add(protocol::EndTransactionRecord());
  return records;
}

}  // namespace drave::metadata
