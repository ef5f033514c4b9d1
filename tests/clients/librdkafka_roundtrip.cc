// librdkafka's C interface beside a node: every codec, with and without idempotence; what was
// acknowledged is read back in order.
//
//   librdkafka_roundtrip BOOTSTRAP
// librdkafka's macros use statement expressions.
#pragma clang diagnostic ignored "-Wgnu-statement-expression-from-macro-expansion"
#include <librdkafka/rdkafka.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

constexpr int kRecords = 500;
constexpr int kWaitMs = 20'000;
constexpr std::array kCodecs = {"none", "gzip", "snappy", "lz4", "zstd"};

using Settings = std::vector<std::pair<std::string, std::string>>;
using Client = std::unique_ptr<rd_kafka_t, decltype(&rd_kafka_destroy)>;

[[noreturn]] void fail(std::string_view what, std::string_view detail = {}) {
  std::fprintf(stderr, "%.*s %.*s\n", static_cast<int>(what.size()), what.data(),
               static_cast<int>(detail.size()), detail.data());
  std::exit(1);
}

struct Delivered {
  std::vector<std::int64_t> offsets;
  std::string error;
};

void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  auto& delivered = *static_cast<Delivered*>(opaque);
  if (message->err) delivered.error = rd_kafka_err2str(message->err);
  delivered.offsets.push_back(message->offset);
}

Client make_client(rd_kafka_type_t type, const Settings& settings, Delivered* delivered) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  std::array<char, 512> why{};
  for (const auto& [key, value] : settings) {
    if (rd_kafka_conf_set(conf, key.c_str(), value.c_str(), why.data(), why.size()) !=
        RD_KAFKA_CONF_OK) {
      fail(key, why.data());
    }
  }
  if (delivered) {
    rd_kafka_conf_set_opaque(conf, delivered);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
  }
  rd_kafka_t* client = rd_kafka_new(type, conf, why.data(), why.size());
  if (!client) fail("rd_kafka_new", why.data());
  return {client, &rd_kafka_destroy};
}

std::string value_of(int number) {
  return "value " + std::to_string(number) + std::string(100, '.');
}

void produce(const std::string& bootstrap, const std::string& topic, const char* codec,
             bool idempotent) {
  Delivered delivered;
  Client producer = make_client(RD_KAFKA_PRODUCER,
                                {{"bootstrap.servers", bootstrap},
                                 {"broker.address.family", "v4"},
                                 {"compression.type", codec},
                                 {"linger.ms", "20"},
                                 {"enable.idempotence", idempotent ? "true" : "false"}},
                                &delivered);
  for (int number = 0; number < kRecords; ++number) {
    std::string value = value_of(number);
    rd_kafka_resp_err_t error =
        rd_kafka_producev(producer.get(), RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(0),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                          RD_KAFKA_V_VALUE(value.data(), value.size()), RD_KAFKA_V_END);
    if (error) fail("produce", rd_kafka_err2str(error));
  }
  if (rd_kafka_flush(producer.get(), kWaitMs)) fail("flush", topic);
  if (!delivered.error.empty()) fail("delivery", delivered.error);
  for (int number = 0; number < kRecords; ++number) {
    if (delivered.offsets.at(number) != number) fail("an offset out of order in", topic);
  }
}

void consume(const std::string& bootstrap, const std::string& topic) {
  Client consumer = make_client(RD_KAFKA_CONSUMER,
                                {{"bootstrap.servers", bootstrap},
                                 {"broker.address.family", "v4"},
                                 {"group.id", "unused"},
                                 {"enable.auto.commit", "false"},
                                 {"check.crcs", "true"}},
                                nullptr);
  auto* partitions = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(partitions, topic.c_str(), 0)->offset = 0;
  rd_kafka_assign(consumer.get(), partitions);
  rd_kafka_topic_partition_list_destroy(partitions);
  for (int number = 0; number < kRecords; ++number) {
    rd_kafka_message_t* message = rd_kafka_consumer_poll(consumer.get(), kWaitMs);
    if (!message) fail("nothing to read in", topic);
    if (message->err) fail("consume", rd_kafka_message_errstr(message));
    std::string_view value(static_cast<const char*>(message->payload), message->len);
    if (message->offset != number || value != value_of(number)) fail("another record in", topic);
    rd_kafka_message_destroy(message);
  }
  rd_kafka_consumer_close(consumer.get());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) fail("librdkafka_roundtrip BOOTSTRAP");
  for (const char* codec : kCodecs) {
    for (bool idempotent : {false, true}) {
      std::string topic = std::string("c-") + codec + (idempotent ? "-idempotent" : "-plain");
      produce(argv[1], topic, codec, idempotent);
      consume(argv[1], topic);
      std::printf("%s: %d records\n", topic.c_str(), kRecords);
    }
  }
}
