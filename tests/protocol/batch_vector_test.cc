// Record batches against bytes that Kafka 4.3.1 wrote, and its broker's answers to them.

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/batch_builder.h"
#include "protocol/batch_validator.h"
#include "protocol/compression.h"
#include "protocol/control_record.h"
#include "protocol/legacy_batch.h"
#include "protocol/record.h"
#include "protocol/record_batch.h"
#include "tests/vectors/vectors.h"

namespace drave::protocol {
namespace {

using nlohmann::json;
using Bytes = std::vector<std::uint8_t>;

const char* const kFiles[] = {"valid", "control", "random", "big", "variants", "invalid", "legacy"};
constexpr TimestampMs kHourMs = 3'600'000;

using vectors::from_hex;
using vectors::to_hex;

std::vector<std::string_view> lines_of(std::string_view file) {
  std::vector<std::string_view> lines;
  vectors::for_each_line("batches/" + std::string(file) + ".jsonl",
                         [&](std::string_view line, std::size_t) { lines.push_back(line); });
  return lines;
}

json hex_or_null(const std::optional<ByteView>& bytes) {
  return bytes ? json(to_hex(*bytes)) : json(nullptr);
}

// What is no UTF-8 becomes U+FFFD, as in Java.
json lenient_text(std::string_view text) {
  return json::parse(json(text).dump(-1, ' ', false, json::error_handler_t::replace));
}

const char* control_name(ControlType type) {
  switch (type) {
    case ControlType::abort: return "ABORT";
    case ControlType::commit: return "COMMIT";
    case ControlType::leader_change: return "LEADER_CHANGE";
    case ControlType::snapshot_header: return "SNAPSHOT_HEADER";
    case ControlType::snapshot_footer: return "SNAPSHOT_FOOTER";
    case ControlType::kraft_version: return "KRAFT_VERSION";
    case ControlType::kraft_voters: return "KRAFT_VOTERS";
  }
  return "?";
}

const char* type_name(std::optional<TimestampType> type) {
  if (!type) return "NoTimestampType";
  return *type == TimestampType::create_time ? "CreateTime" : "LogAppendTime";
}

// The reading of one file row: its batches in the vectors' form, or what is wrong.
struct Reading {
  json batches = json::array();
  std::size_t ignored_tail = 0;
  std::string error;
};

json read_record(BatchView batch, const RecordView& record, std::string& error) {
  json out;
  out["offset"] = batch.base_offset() + record.offset_delta;
  const bool append_time = batch.timestamp_type() == TimestampType::log_append_time;
  out["timestamp"] =
      append_time ? batch.max_timestamp() : batch.base_timestamp() + record.timestamp_delta;
  if (append_time && batch.codec() == Codec::none) out["timestampDelta"] = record.timestamp_delta;
  if (batch.base_sequence() >= 0) {
    out["sequence"] = sequence_after(batch.base_sequence(), record.offset_delta);
  }
  out["key"] = hex_or_null(record.key());
  out["value"] = hex_or_null(record.value());
  out["headers"] = json::array();
  HeaderIterator headers(record);
  while (const auto header = headers.next()) {
    out["headers"].push_back(
        {{"key", lenient_text(header->key)}, {"value", hex_or_null(header->value)}});
  }
  if (!batch.is_control()) return out;
  const auto type = parse_control_key(record.key());
  if (!type) {
    error = type.error().message();
  } else if (type->has_value()) {
    out["control"] = control_name(**type);
    if (**type <= ControlType::commit) {
      out["controlValue"] = {{"coordinatorEpoch", parse_end_marker_value(record.value()).value()}};
    }
  }
  return out;
}

json read_current(BatchView batch, std::string& error) {
  json out;
  out["baseOffset"] = batch.base_offset();
  out["lastOffset"] = batch.last_offset();
  out["timestampType"] = type_name(batch.timestamp_type());
  out["maxTimestamp"] = batch.max_timestamp();
  out["partitionLeaderEpoch"] = batch.leader_epoch();
  out["attributes"] = batch.attributes();
  out["lastOffsetDelta"] = batch.last_offset_delta();
  out["baseTimestamp"] = batch.base_timestamp();
  out["producerId"] = batch.producer_id();
  out["producerEpoch"] = batch.producer_epoch();
  out["baseSequence"] = batch.base_sequence();
  out["recordsCount"] = batch.record_count();
  out["transactional"] = batch.is_transactional();
  out["control"] = batch.is_control();
  if (batch.has_delete_horizon()) out["deleteHorizonMs"] = batch.base_timestamp();
  out["records"] = json::array();
  if (batch.record_count() == 0) return out;  // as Kafka: what follows is not looked at
  Bytes decoded;
  if (const auto done = decompress(*batch.codec(), batch.records(), decoded); !done) {
    error = done.error().message();
    return out;
  }
  RecordIterator records(decoded, batch.record_count());
  for (RecordView record; error.empty() && records.next(record);) {
    out["records"].push_back(read_record(batch, record, error));
  }
  if (records.fault() != RecordFault::none) error = to_string(records.fault());
  return out;
}

json read_legacy(BatchView batch, std::string& error) {
  const auto legacy = LegacyBatch::read(batch);
  if (!legacy) {
    error = legacy.error().message();
    return {};
  }
  json out;
  out["baseOffset"] = legacy->base_offset();
  out["lastOffset"] = legacy->last_offset();
  out["timestampType"] = type_name(legacy->timestamp_type());
  out["maxTimestamp"] = legacy->max_timestamp();
  out["records"] = json::array();
  for (const LegacyRecord& record : legacy->records()) {
    out["records"].push_back({{"offset", record.offset},
                              {"timestamp", record.timestamp},
                              {"key", hex_or_null(record.key)},
                              {"value", hex_or_null(record.value)}});
  }
  return out;
}

Reading read_all(ByteView bytes) {
  Reading reading;
  BatchIterator batches(bytes);
  while (const auto batch = batches.next()) {
    if (!batch->crc_matches()) reading.error = "crc";
    if (!batch->codec()) reading.error = "codec";
    if (!reading.error.empty()) return reading;
    json out = batch->is_legacy() ? read_legacy(*batch, reading.error)
                                  : read_current(*batch, reading.error);
    if (!reading.error.empty()) return reading;
    out["magic"] = batch->magic();
    out["sizeInBytes"] = batch->size_bytes();
    out["codec"] = to_string(*batch->codec());
    out["crc"] = batch->crc();
    reading.batches.push_back(std::move(out));
  }
  reading.error = batches.message();
  reading.ignored_tail = batches.remaining();
  return reading;
}

// The values of the quorum's control records are generated messages, which other tests compare;
// here their bytes are.
void drop_message_values(json& batches) {
  for (json& batch : batches) {
    for (json& record : batch["records"]) {
      if (record.contains("controlValue") && record["control"] != "ABORT" &&
          record["control"] != "COMMIT") {
        record.erase("controlValue");
      }
    }
  }
}

Bytes write_batch(const json& batch) {
  BatchOptions options;
  options.base_offset = batch["baseOffset"];
  options.leader_epoch = batch["partitionLeaderEpoch"];
  options.timestamp_type = batch["timestampType"] == "CreateTime" ? TimestampType::create_time
                                                                  : TimestampType::log_append_time;
  options.producer_id = batch["producerId"];
  options.producer_epoch = batch["producerEpoch"];
  options.base_sequence = batch["baseSequence"];
  options.transactional = batch["transactional"];
  options.control = batch["control"];
  options.base_timestamp = batch["baseTimestamp"].get<TimestampMs>();
  options.max_timestamp = batch["maxTimestamp"].get<TimestampMs>();
  options.last_offset_delta = batch["lastOffsetDelta"].get<std::int32_t>();
  if (batch.contains("deleteHorizonMs")) {
    options.delete_horizon = batch["deleteHorizonMs"].get<TimestampMs>();
  }
  BatchBuilder builder(options);
  for (const json& record : batch["records"]) {
    const auto bytes_of = [](const json& value) -> std::optional<Bytes> {
      if (value.is_null()) return std::nullopt;
      return from_hex(value.get<std::string>());
    };
    const auto view_of = [](const std::optional<Bytes>& bytes) -> std::optional<ByteView> {
      if (!bytes) return std::nullopt;
      return ByteView(*bytes);
    };
    std::vector<std::pair<std::string, std::optional<Bytes>>> headers;
    for (const json& header : record["headers"]) {
      headers.emplace_back(header["key"], bytes_of(header["value"]));
    }
    std::vector<RecordHeaderView> views;
    for (const auto& [key, value] : headers) views.push_back({key, view_of(value)});
    const auto key = bytes_of(record["key"]);
    const auto value = bytes_of(record["value"]);
    const TimestampMs timestamp =
        record.contains("timestampDelta")
            ? *options.base_timestamp + record["timestampDelta"].get<std::int64_t>()
            : record["timestamp"].get<TimestampMs>();
    const auto delta = record["offset"].get<Offset>() - options.base_offset;
    builder.append_at(static_cast<std::int32_t>(delta), timestamp, view_of(key), view_of(value),
                      views);
  }
  return std::move(builder).finish();
}

void check_row(const json& row) {
  const std::string mode = row["mode"];
  const Bytes bytes = from_hex(row["hex"].get<std::string>());
  Reading reading = read_all(bytes);
  if (mode == "reject") {
    EXPECT_NE(reading.error, "") << "Kafka says " << row["error"];
    return;
  }
  ASSERT_TRUE(mode == "both" || mode == "decode") << "unknown mode " << mode;
  ASSERT_EQ(reading.error, "");
  EXPECT_EQ(reading.ignored_tail, row.value("ignoredTail", 0U));
  json expected = row["batches"];
  drop_message_values(expected);
  ASSERT_EQ(reading.batches, expected);
  if (mode != "both") return;
  Bytes written;
  for (const json& batch : row["batches"]) {
    const Bytes one = write_batch(batch);
    written.insert(written.end(), one.begin(), one.end());
  }
  EXPECT_EQ(to_hex(written), row["hex"].get<std::string>());
}

class BatchVector : public testing::TestWithParam<const char*> {};

TEST_P(BatchVector, every_row_is_read_and_written_as_by_kafka) {
  const auto lines = lines_of(GetParam());
  ASSERT_FALSE(lines.empty());
  for (const std::string_view line : lines) {
    const json row = json::parse(line);
    SCOPED_TRACE(row["name"].get<std::string>());
    check_row(row);
  }
}

INSTANTIATE_TEST_SUITE_P(Files, BatchVector, testing::ValuesIn(kFiles),
                         [](const auto& param) { return std::string(param.param); });

TEST(BatchVectorFiles, no_file_is_unknown) {
  const std::set<std::string> known(std::begin(kFiles), std::end(kFiles));
  for (const std::string& file : vectors::list("batches")) {
    const std::string stem = std::filesystem::path(file).stem().string();
    EXPECT_TRUE(known.contains(stem) || stem == "produce") << file;
  }
}

// Kafka takes these; we answer INVALID_RECORD (protocol/README.md).
const std::set<std::string> kStricter = {
    "key-length-minus-2", "value-length-minus-2", "header-value-minus-2",  "offset-deltas-0-2",
    "offset-deltas-1-2",  "offset-deltas-1-0",    "offset-delta-negative", "zstd-body-flipped"};

struct ProduceRow {
  json answer;
  json sent;
};

ErrorCode expected_error(const ProduceRow& row) {
  if (kStricter.contains(row.answer["name"])) return ErrorCode::invalid_record;
  const auto code = static_cast<ErrorCode>(row.answer["errorCode"].get<int>());
  const bool undecodable = row.sent.value("error", "").starts_with("records KafkaException");
  if (code == ErrorCode::unknown_server_error && undecodable) return ErrorCode::corrupt_message;
  return code;
}

// The clock of the broker that answered, where its answer tells it.
TimestampMs clock_of(const json& answer) {
  if (!answer.contains("recordErrors") || answer["recordErrors"].empty()) return 1'795'364'215'000;
  const std::string text = answer["recordErrors"][0]["message"];
  const std::size_t comma = text.rfind(", ");
  return std::stoll(text.substr(comma + 2)) - kHourMs;
}

void check_stored(const json& answer, Bytes bytes, const AcceptedBatch& accepted) {
  EXPECT_EQ(accepted.record_count, answer["highWatermark"].get<int>());
  bytes.resize(accepted.size_bytes);
  accept_batch(bytes, accepted, 0, 0);
  if (answer.contains("stored")) {
    EXPECT_EQ(to_hex(bytes), answer["stored"].get<std::string>());
  } else {
    EXPECT_EQ(bytes.size(), answer["storedSize"].get<std::size_t>());
  }
}

void check_produce(const ProduceRow& row) {
  const json& answer = row.answer;
  Bytes bytes = from_hex(row.sent["hex"].get<std::string>());
  if (answer["baseOffsetSetTo0"].get<bool>() && bytes.size() >= kBatchHeaderSize) {
    stamp_batch(bytes, 0, -1);
  }
  ValidationOptions options;
  options.produce_version = 12;
  options.now_ms = clock_of(answer);
  DecompressorPool pool;
  const Verdict verdict = validate_produced(bytes, options, &pool);
  const ErrorCode expected = expected_error(row);
  ASSERT_EQ(static_cast<int>(verdict.error), static_cast<int>(expected));
  const bool as_kafka = static_cast<int>(expected) == answer["errorCode"].get<int>();
  if (kStricter.contains(answer["name"])) EXPECT_FALSE(as_kafka) << "no exception after all";
  if (expected == ErrorCode::none) return check_stored(answer, std::move(bytes), verdict.batch);
  if (!as_kafka) return;
  EXPECT_EQ(verdict.message ? json(*verdict.message) : json(nullptr), answer["errorMessage"]);
  json failures = json::array();
  for (const RecordFailure& failure : verdict.record_failures) {
    failures.push_back({{"batchIndex", failure.batch_index}, {"message", failure.message}});
  }
  EXPECT_EQ(failures, answer.value("recordErrors", json::array()));
}

TEST(BatchVectorProduce, verdicts_are_those_of_kafkas_broker) {
  std::map<std::pair<std::string, std::string>, json> sent;
  for (const char* file : kFiles) {
    for (const std::string_view line : lines_of(file)) {
      json row = json::parse(line);
      row.erase("batches");
      std::string name = row["name"];
      sent.emplace(std::pair(file, std::move(name)), std::move(row));
    }
  }
  std::size_t stricter = 0;
  for (const std::string_view line : lines_of("produce")) {
    const json answer = json::parse(line);
    SCOPED_TRACE(answer["file"].get<std::string>() + " " + answer["name"].get<std::string>());
    const auto found = sent.find({answer["file"], answer["name"]});
    ASSERT_NE(found, sent.end());
    check_produce({answer, found->second});
    stricter += kStricter.contains(answer["name"]) ? 1 : 0;
  }
  EXPECT_EQ(stricter, kStricter.size()) << "the list of exceptions names rows that are not there";
}

}  // namespace
}  // namespace drave::protocol
