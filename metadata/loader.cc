#include "metadata/loader.h"

#include <fmt/format.h>

#include <variant>

#include "base/assert.h"
#include "protocol/control_record.h"
#include "protocol/record.h"
#include "protocol/record_frame.h"

namespace drave::metadata {

namespace {

Error with_place(Error error, const protocol::BatchView& batch, Offset offset) {
  error.context = fmt::format("metadata record at offset {} of the batch at {}: {}", offset,
                              batch.base_offset(), error.context);
  return error;
}

Result<void> apply_control_record(Delta& delta, const protocol::RecordView& record) {
  TRY(const std::optional<protocol::ControlType> type, protocol::parse_control_key(record.key()));
  if (!type.has_value() || !record.value().has_value()) return {};
  if (*type == protocol::ControlType::kraft_version) {
    protocol::KRaftVersionRecord version;
    TRY_VOID(protocol::decode_control_value(*record.value(), version));
    delta.apply(version);
  } else if (*type == protocol::ControlType::kraft_voters) {
    protocol::VotersRecord voters;
    TRY_VOID(protocol::decode_control_value(*record.value(), voters));
    delta.apply(voters);
  }
  return {};
}

// `image` with what a control batch says; it ends with `last` then.
Result<ImagePtr> with_control(const ImagePtr& image, const protocol::BatchView& batch,
                              OffsetAndEpoch last) {
  Delta delta(*image);
  protocol::RecordIterator records(batch.records(), batch.record_count());
  for (protocol::RecordView record; records.next(record);) {
    if (Result<void> applied = apply_control_record(delta, record); !applied) {
      return std::unexpected(
          with_place(applied.error(), batch, batch.base_offset() + record.offset_delta));
    }
  }
  if (records.fault() != protocol::RecordFault::none)
    return failure(Errc::corrupt, std::string(protocol::to_string(records.fault())));
  return std::make_shared<const Image>(std::move(delta).finish(last, batch.max_timestamp()));
}

}  // namespace

Result<void> Loader::load_snapshot(ByteView batches, OffsetAndEpoch id) {
  Delta delta{Image()};
  TimestampMs timestamp = -1;
  protocol::BatchIterator iterator(batches);
  while (std::optional<protocol::BatchView> batch = iterator.next()) {
    if (batch->is_legacy())
      return failure(Errc::corrupt, "a snapshot with batches of an old format");
    protocol::RecordIterator records(batch->records(), batch->record_count());
    for (protocol::RecordView record; records.next(record);) {
      Result<void> applied;
      if (batch->is_control()) {
        const auto type = protocol::parse_control_key(record.key());
        if (type && *type == protocol::ControlType::snapshot_header && record.value().has_value()) {
          protocol::SnapshotHeaderRecord header;
          applied = protocol::decode_control_value(*record.value(), header);
          timestamp = header.last_contained_log_timestamp;
        } else {
          applied = apply_control_record(delta, record);
        }
      } else {
        applied = delta.apply(record.value().value_or(ByteView()));
      }
      if (!applied) {
        return std::unexpected(
            with_place(applied.error(), *batch, batch->base_offset() + record.offset_delta));
      }
    }
    if (records.fault() != protocol::RecordFault::none)
      return failure(Errc::corrupt, std::string(protocol::to_string(records.fault())));
  }
  if (iterator.corrupt()) return failure(Errc::corrupt, iterator.message());
  begun_.reset();
  working_ = nullptr;
  image_ =
      std::make_shared<const Image>(std::move(delta).finish({id.offset - 1, id.epoch}, timestamp));
  return {};
}

Result<void> Loader::apply(const protocol::BatchView& batch) {
  TRY(const bool whole, apply_piece(batch, SIZE_MAX));
  ASSERT(whole);
  return {};
}

Result<bool> Loader::apply_piece(const protocol::BatchView& batch, std::size_t records_max) {
  if (batch.is_legacy())
    return failure(Errc::corrupt, "a metadata log with batches of an old format");
  if (batch.codec() != protocol::Codec::none)
    return failure(Errc::unsupported, "a compressed batch in the metadata log");
  if (!batch.is_control()) return apply_data(batch, records_max);
  begun_.reset();
  TRY_VOID(apply_control(batch));
  return true;
}

// What it says holds whether or not a transaction that goes on comes to its end.
Result<void> Loader::apply_control(const protocol::BatchView& batch) {
  const OffsetAndEpoch last{batch.last_offset(), batch.leader_epoch()};
  if (working_ != nullptr) {
    TRY(ImagePtr image, with_control(image_, batch, image_->last_contained()));
    TRY(working_, with_control(working_, batch, last));
    image_ = std::move(image);
  } else {
    TRY(image_, with_control(image_, batch, last));
  }
  return {};
}

void Loader::begin(const protocol::BatchView& batch) {
  const bool in_transaction = working_ != nullptr;
  begun_.emplace(Begun{batch.records().data(),
                       batch.base_offset(),
                       batch.record_count(),
                       protocol::RecordIterator(batch.records(), batch.record_count()),
                       {batch.base_offset() - 1, batch.leader_epoch()},
                       in_transaction,
                       image_,
                       Delta(in_transaction ? *working_ : *image_)});
}

Result<void> Loader::apply_record(Begun& begun, const protocol::RecordView& record,
                                  TimestampMs timestamp) {
  TRY(const protocol::VersionedMetadataRecord decoded,
      protocol::decode_metadata_record(record.value().value_or(ByteView())));
  if (std::holds_alternative<protocol::BeginTransactionRecord>(decoded.record)) {
    if (begun.in_transaction) return failure(Errc::invalid, "a transaction begins within another");
    begun.image = std::make_shared<const Image>(std::move(begun.delta).finish(begun.at, timestamp));
    begun.in_transaction = true;
    begun.delta = Delta(*begun.image);
  } else if (std::holds_alternative<protocol::EndTransactionRecord>(decoded.record)) {
    if (!begun.in_transaction) return failure(Errc::invalid, "a transaction ends that never began");
    begun.in_transaction = false;
  } else if (std::holds_alternative<protocol::AbortTransactionRecord>(decoded.record)) {
    if (!begun.in_transaction)
      return failure(Errc::invalid, "a transaction is aborted that never began");
    begun.in_transaction = false;
    begun.delta = Delta(*begun.image);
  } else {
    TRY_VOID(begun.delta.apply(decoded.record));
  }
  return {};
}

Result<bool> Loader::apply_data(const protocol::BatchView& batch, std::size_t records_max) {
  if (!begun_.has_value() || begun_->place != batch.records().data() ||
      begun_->base != batch.base_offset())
    begin(batch);
  const auto fail = [this, &batch](Error error) {
    const Offset offset = begun_->at.offset + 1;
    begun_.reset();
    return std::unexpected(with_place(std::move(error), batch, offset));
  };
  protocol::RecordView record;
  for (std::size_t count = 0; count < records_max && begun_->records.next(record); ++count) {
    if (Result<void> applied = apply_record(*begun_, record, batch.max_timestamp()); !applied)
      return fail(applied.error());
    begun_->at.offset = batch.base_offset() + record.offset_delta;
    --begun_->left;
  }
  if (begun_->records.fault() != protocol::RecordFault::none)
    return fail({Errc::corrupt, 0, std::string(protocol::to_string(begun_->records.fault()))});
  if (begun_->left > 0) return false;
  auto end = std::make_shared<const Image>(
      std::move(begun_->delta).finish(begun_->at, batch.max_timestamp()));
  image_ = begun_->in_transaction ? std::move(begun_->image) : end;
  working_ = begun_->in_transaction ? std::move(end) : nullptr;
  begun_.reset();
  return true;
}

}  // namespace drave::metadata
