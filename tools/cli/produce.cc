// drave produce: records from stdin, through librdkafka.

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "tools/cli/rdkafka.h"
#include "tools/cli/record_input.h"
#include "tools/cli/settings.h"
#include "tools/cli/text.h"

namespace drave::cli {
namespace {

struct ProduceOptions {
  std::string topic;
  std::int32_t partition = RD_KAFKA_PARTITION_UA;
  std::string key;
  bool has_key = false;
  std::string key_delimiter;
  std::string delimiter = "\\n";
  std::vector<std::string> headers;
  std::string codec = "none";
  std::string acks = "all";
  std::string from = "lines";
  std::vector<std::string> properties;
  bool no_idempotence = false;
  bool empty_is_null = false;
  bool keep_partition = false;
};

class Producer {
 public:
  Producer(const Context& context, const ProduceOptions& options)
      : context_(context), options_(options) {}
  Outcome<> run();

 private:
  Outcome<> open();
  Outcome<> take(std::string_view bytes);
  Outcome<> take_records();
  Outcome<> produce(const RecordRow& row);
  KafkaHeaders headers_of(const RecordRow& row) const;
  Outcome<> flush();
  void delivered(const rd_kafka_message_t& message);
  static void on_delivered(rd_kafka_t*, const rd_kafka_message_t* message, void* self) {
    static_cast<Producer*>(self)->delivered(*message);
  }

  const Context& context_;
  const ProduceOptions& options_;
  std::string key_delimiter_;
  std::vector<Setting> fixed_headers_;
  KafkaHandle handle_;
  std::optional<RecordSplitter> splitter_;
  InputRecord record_;
  std::uint64_t delivered_ = 0;
  std::uint64_t failed_ = 0;
  std::optional<Failure> first_;
};

Outcome<> Producer::open() {
  TRY(fixed_headers_, parse_settings(options_.headers));
  TRY(key_delimiter_, unescape(options_.key_delimiter));
  TRY(std::string delimiter, unescape(options_.from == "json" ? "\\n" : options_.delimiter));
  if (delimiter.empty()) return fail(ExitCode::usage, "--delimiter must not be empty");
  splitter_.emplace(std::move(delimiter));
  TRY(auto reached, context_.connect());  // tells at once, and plainly, when nobody is there
  const bool idempotent =
      !options_.no_idempotence && (options_.acks == "all" || options_.acks == "-1");
  KafkaSettings settings{{"acks", options_.acks},
                         {"compression.codec", options_.codec},
                         {"enable.idempotence", idempotent ? "true" : "false"},
                         {"linger.ms", "5"},
                         {"message.timeout.ms", std::to_string(context_.timeout_ms)}};
  TRY(auto properties, parse_settings(options_.properties));
  settings.insert(settings.end(), properties.begin(), properties.end());
  TRY(KafkaConf conf, make_kafka_conf(context_, settings));
  rd_kafka_conf_set_opaque(conf.get(), this);
  rd_kafka_conf_set_dr_msg_cb(conf.get(), on_delivered);
  TRY(handle_, make_kafka_handle(RD_KAFKA_PRODUCER, std::move(conf)));
  return {};
}

void Producer::delivered(const rd_kafka_message_t& message) {
  if (message.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    ++failed_;
    if (!first_) first_ = rdkafka_failure(message.err, "topic " + options_.topic);
    return;
  }
  ++delivered_;
  if (!context_.json()) return;
  rd_kafka_timestamp_type_t type;
  const Json row{{"topic", options_.topic},
                 {"partition", message.partition},
                 {"offset", message.offset},
                 {"timestamp", rd_kafka_message_timestamp(&message, &type)}};
  const std::string line = json_line(row);
  std::fwrite(line.data(), 1, line.size(), stdout);
}

KafkaHeaders Producer::headers_of(const RecordRow& row) const {
  const std::size_t count = fixed_headers_.size() + row.headers.size();
  if (count == 0) return nullptr;
  KafkaHeaders headers(rd_kafka_headers_new(count));
  for (const auto& [key, value] : row.headers) {
    rd_kafka_header_add(headers.get(), key.data(), static_cast<ssize_t>(key.size()),
                        value ? value->data() : nullptr,
                        value ? static_cast<ssize_t>(value->size()) : 0);
  }
  for (const auto& [key, value] : fixed_headers_) {
    rd_kafka_header_add(headers.get(), key.data(), static_cast<ssize_t>(key.size()), value.data(),
                        static_cast<ssize_t>(value.size()));
  }
  return headers;
}

Outcome<> Producer::produce(const RecordRow& row) {
  std::optional<ByteView> key = row.key;
  if (!key && options_.has_key) key = as_bytes(options_.key);
  PartitionIndex partition = options_.partition;
  if (options_.keep_partition && row.partition >= 0) partition = row.partition;
  const auto pointer = [](const std::optional<ByteView>& bytes) {
    // librdkafka tells null from empty by the pointer.
    static std::uint8_t nothing = 0;
    if (!bytes) return static_cast<void*>(nullptr);
    return static_cast<void*>(bytes->empty() ? &nothing : const_cast<std::uint8_t*>(bytes->data()));
  };
  KafkaHeaders headers = headers_of(row);
  std::array<rd_kafka_vu_t, 7> fields{};
  fields[0].vtype = RD_KAFKA_VTYPE_TOPIC;
  fields[0].u.cstr = options_.topic.c_str();
  fields[1].vtype = RD_KAFKA_VTYPE_PARTITION;
  fields[1].u.i32 = partition;
  fields[2].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  fields[2].u.i = RD_KAFKA_MSG_F_COPY;
  fields[3].vtype = RD_KAFKA_VTYPE_KEY;
  fields[3].u.mem = {.ptr = pointer(key), .size = key ? key->size() : 0};
  fields[4].vtype = RD_KAFKA_VTYPE_VALUE;
  fields[4].u.mem = {.ptr = pointer(row.value), .size = row.value ? row.value->size() : 0};
  fields[5].vtype = RD_KAFKA_VTYPE_TIMESTAMP;
  fields[5].u.i64 = row.timestamp > 0 ? row.timestamp : 0;
  fields[6].vtype = RD_KAFKA_VTYPE_HEADERS;
  fields[6].u.headers = headers.get();
  const std::size_t count = headers ? fields.size() : fields.size() - 1;
  while (true) {
    rd_kafka_error_t* const refused = rd_kafka_produceva(handle_.get(), fields.data(), count);
    if (refused == nullptr) {
      static_cast<void>(headers.release());  // librdkafka's now
      return {};
    }
    const rd_kafka_resp_err_t error = rd_kafka_error_code(refused);
    rd_kafka_error_destroy(refused);
    if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL)
      return std::unexpected(rdkafka_failure(error, "topic " + options_.topic));
    constexpr int kWaitMs = 100;
    rd_kafka_poll(handle_.get(), kWaitMs);
  }
}

Outcome<> Producer::take_records() {
  while (const auto line = splitter_->next()) {
    if (options_.from == "json") {
      if (line->empty()) continue;
      TRY_VOID(record_.read_json(*line));
    } else {
      record_.read_line(*line, key_delimiter_, options_.empty_is_null);
    }
    TRY_VOID(produce(record_.row));
  }
  splitter_->compact();
  rd_kafka_poll(handle_.get(), 0);
  return {};
}

Outcome<> Producer::flush() {
  constexpr int kPieceMs = 100;
  while (rd_kafka_outq_len(handle_.get()) > 0) rd_kafka_flush(handle_.get(), kPieceMs);
  return {};
}

Outcome<> Producer::run() {
  TRY_VOID(open());
  static std::array<char, 256 * 1024> piece;
  Outcome<> taken;
  while (taken && !interrupted()) {
    const ssize_t got = ::read(STDIN_FILENO, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) taken = std::unexpected(Failure(error_from_errno(errno, "standard input")));
    if (got <= 0) break;
    splitter_->feed({piece.data(), static_cast<std::size_t>(got)});
    taken = take_records();
  }
  if (taken) {
    splitter_->finish();
    taken = take_records();
  }
  TRY_VOID(flush());
  if (!context_.json() && ::isatty(STDERR_FILENO) != 0) {
    fmt::print(stderr, "{} record{} to {}\n", delivered_, delivered_ == 1 ? "" : "s",
               options_.topic);
  }
  if (!taken) return taken;
  if (first_) {
    first_->what += fmt::format("; {} of {} records were not taken", failed_, failed_ + delivered_);
    return std::unexpected(std::move(*first_));
  }
  return {};
}

Outcome<> run_produce(Context& context, const ProduceOptions& options) {
  catch_interrupts();
  Producer producer(context, options);
  return producer.run();
}

void declare(CLI::App& verb, ProduceOptions& options) {
  verb.add_option("TOPIC", options.topic, "Name")->required();
  verb.add_option("-p,--partition", options.partition, "Else chosen by the key, or at random")
      ->check(CLI::NonNegativeNumber);
  verb.add_option_function<std::string>(
      "-k,--key",
      [&options](const std::string& key) {
        options.key = key;
        options.has_key = true;
      },
      "The key of every record without one");
  verb.add_option("-K,--key-delimiter", options.key_delimiter,
                  "What stands between key and value in each record");
  verb.add_option("-D,--delimiter", options.delimiter, "What ends each record")
      ->capture_default_str();
  verb.add_option("-H,--header", options.headers, "key=value on every record; may be repeated")
      ->allow_extra_args(false);
  verb.add_option("-z,--codec", options.codec, "How to compress")
      ->check(CLI::IsMember({"none", "gzip", "snappy", "lz4", "zstd"}))
      ->capture_default_str();
  verb.add_option("--acks", options.acks, "When a record counts as written")
      ->check(CLI::IsMember({"all", "-1", "1", "0"}))
      ->capture_default_str();
  verb.add_option("--from", options.from, "What comes in: lines, or json as of consume -o json")
      ->check(CLI::IsMember({"lines", "json"}))
      ->capture_default_str();
  verb.add_flag("--keep-partition", options.keep_partition,
                "With --from json: into the partition that the record names");
  verb.add_flag("-Z,--empty-is-null", options.empty_is_null, "An empty value is a tombstone");
  verb.add_flag("--no-idempotence", options.no_idempotence, "A retry may write a record twice");
  verb.add_option("-X,--property", options.properties, "key=value of librdkafka; may be repeated")
      ->allow_extra_args(false);
}

}  // namespace

void add_produce(CLI::App& app, Context& context) {
  add_verb<ProduceOptions>(app, context, "produce", "Write records from standard input",
                           run_produce, declare);
}

}  // namespace drave::cli
