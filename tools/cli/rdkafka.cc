#include "tools/cli/rdkafka.h"

#include <fmt/format.h>

#include <csignal>
#include <cstdio>

namespace drave::cli {
namespace {

volatile std::sig_atomic_t interrupt_count = 0;

void note_interrupt(int) {
  interrupt_count = 1;
}

void log_line(const rd_kafka_t*, int level, const char*, const char* text) {
  constexpr int kError = 3;
  if (level <= kError) fmt::print(stderr, "drave: {}\n", text);
}

}  // namespace

Outcome<KafkaConf> make_kafka_conf(const Context& context, const KafkaSettings& settings) {
  KafkaConf conf(rd_kafka_conf_new());
  KafkaSettings all{{"bootstrap.servers", context.bootstrap}, {"client.id", "drave"}};
  all.insert(all.end(), settings.begin(), settings.end());
  char why[512];
  for (const auto& [key, value] : all) {
    if (rd_kafka_conf_set(conf.get(), key.c_str(), value.c_str(), why, sizeof why) !=
        RD_KAFKA_CONF_OK) {
      return fail(ExitCode::usage, fmt::format("{}={}: {}", key, value, why),
                  "The properties are librdkafka's (its CONFIGURATION.md).");
    }
  }
  rd_kafka_conf_set_log_cb(conf.get(), log_line);
  return conf;
}

Outcome<KafkaHandle> make_kafka_handle(rd_kafka_type_t type, KafkaConf conf) {
  char why[512];
  KafkaHandle handle(rd_kafka_new(type, conf.get(), why, sizeof why));
  if (!handle) return fail(ExitCode::usage, why);
  static_cast<void>(conf.release());  // it is the handle's now
  return handle;
}

Failure rdkafka_failure(rd_kafka_resp_err_t error, const std::string& what) {
  if (error > 0) return kafka_failure(static_cast<protocol::ErrorCode>(error), what);
  ExitCode code = ExitCode::failed;
  std::string remedy;
  if (error == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT || error == RD_KAFKA_RESP_ERR__TIMED_OUT) {
    code = ExitCode::timed_out;
    remedy = "--timeout gives it more time.";
  }
  if (error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION) {
    code = ExitCode::not_found;
    remedy = "`drave topic describe` shows its partitions.";
  }
  return {code, fmt::format("{}: {}", what, rd_kafka_err2str(error)), remedy};
}

void catch_interrupts() {
  struct sigaction action{};
  action.sa_handler = note_interrupt;
  // A read that waits for input ends.
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() {
  return interrupt_count != 0;
}

}  // namespace drave::cli
