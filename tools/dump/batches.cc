// Record batches of logs, checkpoints and journal entries.

#include "protocol/compression.h"
#include "protocol/control_record.h"
#include "protocol/legacy_batch.h"
#include "protocol/metadata_record.h"
#include "protocol/record.h"
#include "protocol/record_batch.h"
#include "protocol/registry.h"
#include "tools/dump/reader.h"

namespace drave::dump {
namespace {

using protocol::BatchView;
using protocol::RecordView;

Item describe(BatchView batch, std::uint64_t position) {
  Item item{{"kind", "batch"},
            {"baseOffset", batch.base_offset()},
            {"lastOffset", batch.last_offset()},
            {"position", position},
            {"size", batch.size_bytes()},
            {"magic", batch.magic()},
            {"crcValid", batch.crc_matches()}};
  const auto codec = batch.codec();
  item["codec"] = codec ? std::string(to_string(*codec)) : "unknown";
  if (batch.is_legacy()) return item;
  item["count"] = batch.record_count();
  item["leaderEpoch"] = batch.leader_epoch();
  item["timestampType"] = batch.timestamp_type() == protocol::TimestampType::log_append_time
                              ? "LogAppendTime"
                              : "CreateTime";
  item["baseTimestamp"] = batch.base_timestamp();
  item["maxTimestamp"] = batch.max_timestamp();
  if (batch.has_producer_id()) {
    item["producerId"] = batch.producer_id();
    item["producerEpoch"] = batch.producer_epoch();
    item["baseSequence"] = batch.base_sequence();
    item["lastSequence"] = batch.last_sequence();
  }
  if (batch.is_transactional()) item["transactional"] = true;
  if (batch.is_control()) item["control"] = true;
  if (batch.has_delete_horizon()) item["deleteHorizon"] = batch.base_timestamp();
  return item;
}

// The JSON of a generated message that fills `bytes`, whose version stands in its first field.
Item control_message(const char* name, ByteView bytes) {
  const protocol::MessageType* type = protocol::find_message_type(name);
  if (type == nullptr || bytes.size() < 2) return show_bytes(bytes);
  protocol::Reader in(bytes);
  std::string json;
  const auto version = std::min(load_big<std::int16_t>(bytes.data()), type->version_max);
  if (!type->to_json(in, version, json)) return show_bytes(bytes);
  return Item::parse(json, nullptr, false);
}

Item control_value(const std::optional<protocol::ControlType>& type,
                   const std::optional<ByteView>& value) {
  using enum protocol::ControlType;
  if (!type || !value) return show_bytes(value);
  switch (*type) {
    case abort:
    case commit: {
      const auto epoch = protocol::parse_end_marker_value(value);
      if (!epoch) return show_bytes(value);
      return {{"type", *type == abort ? "ABORT" : "COMMIT"}, {"coordinatorEpoch", *epoch}};
    }
    case leader_change:
      return {{"type", "LeaderChange"}, {"data", control_message("LeaderChangeMessage", *value)}};
    case snapshot_header:
      return {{"type", "SnapshotHeader"},
              {"data", control_message("SnapshotHeaderRecord", *value)}};
    case snapshot_footer:
      return {{"type", "SnapshotFooter"},
              {"data", control_message("SnapshotFooterRecord", *value)}};
    case kraft_version:
      return {{"type", "KRaftVersion"}, {"data", control_message("KRaftVersionRecord", *value)}};
    case kraft_voters:
      return {{"type", "KRaftVoters"}, {"data", control_message("VotersRecord", *value)}};
  }
  return show_bytes(value);
}

}  // namespace

// {"type":"TOPIC_RECORD"...} as Kafka's decoder shows it, or the reason why it cannot be read.
Item metadata_value(ByteView value) {
  protocol::Reader in(value);
  const auto frame = protocol::decode_metadata_frame(in);
  if (!frame) return {{"undecodable", frame.error().message()}};
  const protocol::MessageType* type = protocol::find_metadata_type(frame->type);
  if (type == nullptr)
    return {{"undecodable", fmt::format("record type {} is unknown", frame->type)}};
  std::string json;
  if (const auto read = type->to_json(in, frame->version, json); !read)
    return {{"undecodable", read.error().message()}};
  return {{"type", type->name},
          {"version", frame->version},
          {"data", Item::parse(json, nullptr, false)}};
}

namespace {

class RecordDumper {
 public:
  RecordDumper(BatchView batch, bool metadata, Out& out)
      : batch_(batch), metadata_(metadata), out_(out) {}

  void record(const RecordView& record) {
    Item item{{"kind", "record"},
              {"offset", batch_.base_offset() + record.offset_delta},
              {"timestamp", timestamp(record)},
              {"keySize", record.key_size},
              {"valueSize", record.value_size}};
    if (batch_.has_producer_id())
      item["sequence"] =
          batch_.base_sequence() < 0
              ? -1
              : protocol::sequence_after(batch_.base_sequence(), record.offset_delta);
    if (record.header_count > 0) item["headers"] = headers(record);
    if (batch_.is_control()) {
      const auto type = protocol::parse_control_key(record.key());
      item["control"] = type ? control_value(*type, record.value()) : show_bytes(record.key());
    } else if (metadata_) {
      item["record"] = metadata_value(record.value().value_or(ByteView()));
    } else if (out_.options.values) {
      item["key"] = show_bytes(record.key());
      item["value"] = show_bytes(record.value());
    }
    out_.item(std::move(item));
  }

 private:
  TimestampMs timestamp(const RecordView& record) const {
    if (batch_.timestamp_type() == protocol::TimestampType::log_append_time)
      return batch_.max_timestamp();
    return batch_.base_timestamp() + record.timestamp_delta;
  }
  static Item headers(const RecordView& record) {
    Item found = Item::array();
    protocol::HeaderIterator headers(record);
    while (const auto header = headers.next())
      found.push_back({{"key", header->key}, {"value", show_bytes(header->value)}});
    return found;
  }

  BatchView batch_;
  bool metadata_;
  Out& out_;
};

void dump_legacy_records(BatchView batch, std::uint64_t position, Out& out) {
  const auto read = protocol::LegacyBatch::read(batch);
  if (!read) return out.damage(position, read.error().message());
  for (const auto& record : read->records()) {
    Item item{{"kind", "record"}, {"offset", record.offset}, {"timestamp", record.timestamp}};
    if (out.options.values) {
      item["key"] = show_bytes(record.key);
      item["value"] = show_bytes(record.value);
    }
    out.item(std::move(item));
  }
}

void dump_records(BatchView batch, std::uint64_t position, bool metadata, Out& out) {
  if (batch.is_legacy()) return dump_legacy_records(batch, position, out);
  const auto codec = batch.codec();
  if (!codec) return out.damage(position, "the codec is unknown");
  std::vector<std::uint8_t> decoded;
  ByteView records = batch.records();
  if (*codec != protocol::Codec::none) {
    if (const auto done = protocol::decompress(*codec, records, decoded); !done)
      return out.damage(position, done.error().message());
    records = decoded;
  }
  RecordDumper dumper(batch, metadata, out);
  protocol::RecordIterator walk(records, batch.record_count());
  for (RecordView record; walk.next(record);) dumper.record(record);
  if (walk.fault() != protocol::RecordFault::none)
    out.damage(position, std::string(to_string(walk.fault())));
}

// The next place at which a whole batch of magic 2 with a valid checksum stands; none: the end.
std::size_t find_valid(ByteView bytes, std::size_t from) {
  for (; from + protocol::kBatchHeaderSize <= bytes.size(); ++from) {
    if (bytes[from + protocol::batch_field::kMagic] != protocol::kBatchMagic) continue;
    const auto batch = protocol::parse_batch(bytes.subspan(from));
    if (batch && batch->crc_matches()) return from;
  }
  return bytes.size();
}

bool is_zeros(ByteView bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace

void dump_batches(ByteView bytes, std::uint64_t position, bool metadata, Out& out) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    protocol::BatchIterator batches(bytes.subspan(at));
    while (const auto batch = batches.next()) {
      const std::uint64_t where = position + at + batches.position() - batch->size_bytes();
      out.item(describe(*batch, where));
      if (!batch->crc_matches()) {
        out.damage(where, "the checksum does not match");
      } else if (out.options.records || metadata) {
        dump_records(*batch, where, metadata, out);
      }
    }
    at += batches.position();
    if (at == bytes.size() || is_zeros(bytes.subspan(at))) return;
    const std::size_t next = find_valid(bytes, at + 1);
    if (!batches.corrupt() && next == bytes.size()) {
      return out.item(
          {{"kind", "torn"}, {"position", position + at}, {"size", batches.remaining()}});
    }
    out.damage(position + at, batches.corrupt() ? batches.message()
                                                : fmt::format("an incomplete batch of {} bytes",
                                                              batches.remaining()));
    if (!out.options.go_on) return;
    at = next;
  }
}

}  // namespace drave::dump
