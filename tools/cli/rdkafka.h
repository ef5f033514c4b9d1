#pragma once
// librdkafka's handles, owned.

#include <librdkafka/rdkafka.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tools/cli/context.h"

namespace drave::cli {

template <auto Destroy>
struct Destroyer {
  template <class T>
  void operator()(T* object) const {
    Destroy(object);
  }
};
using KafkaConf = std::unique_ptr<rd_kafka_conf_t, Destroyer<rd_kafka_conf_destroy>>;
using KafkaHandle = std::unique_ptr<rd_kafka_t, Destroyer<rd_kafka_destroy>>;
using KafkaMessage = std::unique_ptr<rd_kafka_message_t, Destroyer<rd_kafka_message_destroy>>;
using KafkaHeaders = std::unique_ptr<rd_kafka_headers_t, Destroyer<rd_kafka_headers_destroy>>;
using KafkaPartitions = std::unique_ptr<rd_kafka_topic_partition_list_t,
                                        Destroyer<rd_kafka_topic_partition_list_destroy>>;

using KafkaSettings = std::vector<std::pair<std::string, std::string>>;

// A configuration for the brokers of `context`; later settings win. A usage failure names one that
// librdkafka does not take.
Outcome<KafkaConf> make_kafka_conf(const Context& context, const KafkaSettings& settings);
// Consumes `conf` where it succeeds.
Outcome<KafkaHandle> make_kafka_handle(rd_kafka_type_t type, KafkaConf conf);

// A failure of librdkafka about `what`.
Failure rdkafka_failure(rd_kafka_resp_err_t error, const std::string& what);

// True once SIGINT or SIGTERM came, after catch_interrupts(); a second one ends the process.
void catch_interrupts();
bool interrupted();

}  // namespace drave::cli
