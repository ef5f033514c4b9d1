// drave consume: records to stdout, through librdkafka. Where to begin and to end is asked of the
// leaders first, so that every way to write an offset means the same.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "tools/cli/offset_spec.h"
#include "tools/cli/rdkafka.h"
#include "tools/cli/record_format.h"
#include "tools/cli/settings.h"
#include "tools/cli/topic_names.h"
#include "tools/client/offsets.h"

namespace drave::cli {
namespace {

struct ConsumeOptions {
  std::string topic;
  std::vector<PartitionIndex> partitions;
  std::string offset = "end";
  std::int64_t count = -1;
  bool exit = false;
  std::string format = "%s\\n";
  std::string isolation = "read_committed";
  std::vector<std::string> properties;
};

// What is to be read of one partition.
struct Part {
  PartitionIndex partition = 0;
  Offset first = 0;
  std::optional<Offset> last;  // not included
  bool done = false;
};

class Consumer {
 public:
  Consumer(const Context& context, const ConsumeOptions& options)
      : context_(context), options_(options) {}
  Outcome<> run();

 private:
  Outcome<> plan();
  Outcome<std::vector<PartitionIndex>> choose(const MetadataAnswer& metadata) const;
  Outcome<> open();
  Outcome<> take(const rd_kafka_message_t& message);
  void write(const rd_kafka_message_t& message);
  void finish(Part& part);
  Part* find(PartitionIndex partition);

  const Context& context_;
  const ConsumeOptions& options_;
  RecordFormat format_;
  std::vector<Part> parts_;
  std::size_t parts_left_ = 0;
  std::int64_t written_ = 0;
  KafkaHandle handle_;
  std::string line_;
};

Outcome<std::vector<PartitionIndex>> Consumer::choose(const MetadataAnswer& metadata) const {
  std::vector<PartitionIndex> there;
  for (const auto& partition : metadata.message.topics.front().partitions)
    there.push_back(partition.partition_index);
  if (options_.partitions.empty()) return there;
  std::vector<PartitionIndex> chosen;  // each once
  for (const PartitionIndex wanted : options_.partitions) {
    if (std::ranges::find(chosen, wanted) == chosen.end()) chosen.push_back(wanted);
    if (std::ranges::find(there, wanted) == there.end()) {
      return fail(ExitCode::not_found,
                  fmt::format("topic {} has no partition {}", options_.topic, wanted),
                  "`drave topic describe` shows its partitions.");
    }
  }
  return chosen;
}

TimestampMs time_of(const OffsetPoint& point) {
  if (point.kind == OffsetPoint::Kind::timestamp) return point.value;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count() - point.value;
}

Outcome<> Consumer::plan() {
  TRY(format_, RecordFormat::parse(options_.format));
  TRY(const OffsetRange range, parse_offset_range(options_.offset));
  TRY(auto client, context_.connect());
  TRY(const MetadataAnswer metadata, metadata_of(client, options_.topic));
  TRY(const auto partitions, choose(metadata));
  const auto& topic = metadata.message.topics.front();
  const bool committed = options_.isolation == "read_committed";
  std::map<PartitionIndex, PartitionBounds> bounds;
  const auto fill = [&](TimestampMs timestamp, Offset PartitionBounds::* member) -> Outcome<> {
    TRY(const auto offsets, client::list_offsets(client, topic, partitions, timestamp, committed));
    for (const auto& [partition, found] : offsets) {
      if (found.error != protocol::ErrorCode::none) {
        return std::unexpected(
            kafka_failure(found.error, fmt::format("{}-{}", options_.topic, partition)));
      }
      bounds[partition].*member = found.offset;
    }
    return {};
  };
  TRY_VOID(fill(client::kEarliest, &PartitionBounds::start));
  TRY_VOID(fill(client::kLatest, &PartitionBounds::end));
  const auto resolve_all = [&](const OffsetPoint& point, auto&& use) -> Outcome<> {
    if (point.needs_time()) TRY_VOID(fill(time_of(point), &PartitionBounds::at_time));
    for (std::size_t i = 0; i < partitions.size(); ++i)
      use(parts_[i], resolve(point, bounds[partitions[i]]));
    return {};
  };
  for (const PartitionIndex partition : partitions) parts_.push_back({.partition = partition});
  TRY_VOID(resolve_all(range.first, [](Part& part, Offset offset) { part.first = offset; }));
  const OffsetPoint end{OffsetPoint::Kind::end, 0};
  if (range.last || options_.exit)
    TRY_VOID(resolve_all(range.last.value_or(end), [](Part& part, Offset at) { part.last = at; }));
  parts_left_ = parts_.size();
  for (Part& part : parts_) {
    if (part.last && *part.last <= part.first) finish(part);
  }
  return {};
}

Outcome<> Consumer::open() {
  KafkaSettings settings{{"enable.auto.commit", "false"},
                         {"enable.partition.eof", "true"},
                         {"auto.offset.reset", "error"},
                         {"isolation.level", options_.isolation},
                         {"group.id", "drave-consume"}};  // never joined; librdkafka wants one
  TRY(auto properties, parse_settings(options_.properties));
  settings.insert(settings.end(), properties.begin(), properties.end());
  TRY(KafkaConf conf, make_kafka_conf(context_, settings));
  TRY(handle_, make_kafka_handle(RD_KAFKA_CONSUMER, std::move(conf)));
  rd_kafka_poll_set_consumer(handle_.get());
  const KafkaPartitions assigned(
      rd_kafka_topic_partition_list_new(static_cast<int>(parts_.size())));
  for (const Part& part : parts_) {
    if (part.done) continue;
    rd_kafka_topic_partition_list_add(assigned.get(), options_.topic.c_str(), part.partition)
        ->offset = part.first;
  }
  const rd_kafka_resp_err_t error = rd_kafka_assign(handle_.get(), assigned.get());
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
    return std::unexpected(rdkafka_failure(error, "topic " + options_.topic));
  return {};
}

Part* Consumer::find(PartitionIndex partition) {
  const auto found = std::ranges::find(parts_, partition, &Part::partition);
  return found == parts_.end() ? nullptr : &*found;
}

void Consumer::finish(Part& part) {
  if (!std::exchange(part.done, true)) --parts_left_;
}

void Consumer::write(const rd_kafka_message_t& message) {
  rd_kafka_timestamp_type_t type;
  RecordRow row{.topic = options_.topic,
                .partition = message.partition,
                .offset = message.offset,
                .timestamp = rd_kafka_message_timestamp(&message, &type)};
  const auto view = [](const void* data, std::size_t size) -> std::optional<ByteView> {
    if (data == nullptr) return std::nullopt;
    return ByteView(static_cast<const std::uint8_t*>(data), size);
  };
  row.key = view(message.key, message.key_len);
  row.value = view(message.payload, message.len);
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(&message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
    const char* name = nullptr;
    const void* data = nullptr;
    std::size_t size = 0;
    for (std::size_t i = 0;
         rd_kafka_header_get_all(headers, i, &name, &data, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
         ++i) {
      row.headers.emplace_back(name, view(data, size));
    }
  }
  line_.clear();
  if (context_.json()) {
    append_json(line_, row);
  } else {
    format_.append(line_, row);
  }
  std::fwrite(line_.data(), 1, line_.size(), stdout);
  ++written_;
}

Outcome<> Consumer::take(const rd_kafka_message_t& message) {
  Part* part = find(message.partition);
  if (message.err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    if (part != nullptr && part->last && message.offset >= *part->last) finish(*part);
    return {};
  }
  if (message.err != RD_KAFKA_RESP_ERR_NO_ERROR)
    return std::unexpected(rdkafka_failure(message.err, "topic " + options_.topic));
  if (part == nullptr || part->done) return {};
  if (!part->last || message.offset < *part->last) write(message);
  if (part->last && message.offset + 1 >= *part->last) finish(*part);
  return {};
}

Outcome<> Consumer::run() {
  TRY_VOID(plan());
  if (parts_left_ == 0 || options_.count == 0) return {};
  TRY_VOID(open());
  Outcome<> outcome;
  constexpr int kWaitMs = 100;
  int wait_ms = 0;
  while (outcome && parts_left_ > 0 && !interrupted() &&
         (options_.count < 0 || written_ < options_.count)) {
    const KafkaMessage message(rd_kafka_consumer_poll(handle_.get(), wait_ms));
    if (message) {
      outcome = take(*message);
    } else {
      std::fflush(stdout);  // nothing is there right now
    }
    wait_ms = message ? 0 : kWaitMs;
  }
  std::fflush(stdout);
  return outcome;
}

Outcome<> run_consume(Context& context, const ConsumeOptions& options) {
  catch_interrupts();
  Consumer consumer(context, options);
  return consumer.run();
}

void declare(CLI::App& verb, ConsumeOptions& options) {
  verb.add_option("TOPIC", options.topic, "Name")->required();
  verb.add_option("-p,--partition", options.partitions, "Only this one; may be repeated")
      ->allow_extra_args(false)
      ->check(CLI::NonNegativeNumber);
  verb.add_option("-O,--offset", options.offset,
                  "start, end, N, +N, -N, @TIME, -1h, or A:B from A up to and without B")
      ->capture_default_str();
  verb.add_option("-n,--count", options.count, "Stop after so many records")
      ->check(CLI::NonNegativeNumber);
  verb.add_flag("-e,--exit", options.exit, "Stop at what is the end now");
  verb.add_option("-f,--format", options.format,
                  "%t %p %o %T %k %s %h %K %S %R; topic, partition, offset, time, key, value ...")
      ->capture_default_str();
  verb.add_option("--isolation", options.isolation, "read_committed or read_uncommitted")
      ->check(CLI::IsMember({"read_committed", "read_uncommitted"}))
      ->capture_default_str();
  verb.add_option("-X,--property", options.properties, "key=value of librdkafka; may be repeated")
      ->allow_extra_args(false);
}

}  // namespace

void add_consume(CLI::App& app, Context& context) {
  add_verb<ConsumeOptions>(app, context, "consume", "Read records", run_consume, declare);
}

}  // namespace drave::cli
