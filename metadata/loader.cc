#include "metadata/loader.h"

#include <fmt/format.h>

#include <variant>

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
  working_ = nullptr;
  image_ =
      std::make_shared<const Image>(std::move(delta).finish({id.offset - 1, id.epoch}, timestamp));
  return {};
}

Result<void> Loader::apply(const protocol::BatchView& batch) {
  if (batch.is_legacy())
    return failure(Errc::corrupt, "a metadata log with batches of an old format");
  if (batch.codec() != protocol::Codec::none)
    return failure(Errc::unsupported, "a compressed batch in the metadata log");
  return batch.is_control() ? apply_control(batch) : apply_data(batch);
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

Result<void> Loader::apply_data(const protocol::BatchView& batch) {
  const ImagePtr image_before = image_;
  const ImagePtr working_before = working_;
  bool in_transaction = working_ != nullptr;
  std::optional<Delta> delta(std::in_place, in_transaction ? *working_ : *image_);
  OffsetAndEpoch at{batch.base_offset() - 1, batch.leader_epoch()};
  auto finish = [&delta, &at, &batch] {
    return std::make_shared<const Image>(std::move(*delta).finish(at, batch.max_timestamp()));
  };
  auto fail = [&](Error error) {
    image_ = image_before;
    working_ = working_before;
    return std::unexpected(with_place(std::move(error), batch, at.offset + 1));
  };
  protocol::RecordIterator records(batch.records(), batch.record_count());
  for (protocol::RecordView record; records.next(record);) {
    auto decoded = protocol::decode_metadata_record(record.value().value_or(ByteView()));
    if (!decoded) return fail(decoded.error());
    if (std::holds_alternative<protocol::BeginTransactionRecord>(decoded->record)) {
      if (in_transaction) return fail({Errc::invalid, 0, "a transaction begins within another"});
      image_ = finish();
      in_transaction = true;
      delta.emplace(*image_);
    } else if (std::holds_alternative<protocol::EndTransactionRecord>(decoded->record)) {
      if (!in_transaction) return fail({Errc::invalid, 0, "a transaction ends that never began"});
      in_transaction = false;
    } else if (std::holds_alternative<protocol::AbortTransactionRecord>(decoded->record)) {
      if (!in_transaction)
        return fail({Errc::invalid, 0, "a transaction is aborted that never began"});
      in_transaction = false;
      delta.emplace(*image_);
    } else if (Result<void> applied = delta->apply(decoded->record); !applied) {
      return fail(applied.error());
    }
    at.offset = batch.base_offset() + record.offset_delta;
  }
  if (records.fault() != protocol::RecordFault::none)
    return fail({Errc::corrupt, 0, std::string(protocol::to_string(records.fault()))});
  if (in_transaction) {
    working_ = finish();
  } else {
    image_ = finish();
    working_ = nullptr;
  }
  return {};
}

}  // namespace drave::metadata
