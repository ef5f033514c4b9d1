#pragma once
// The few requests that the load generator sends, encoded once and replayed: Produce v9 and Fetch
// v12, flexible versions that still name their topics, which both Kafka 4.x and Drave serve. The
// coding is the generator's own, so that what it measures does not also decode for it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace drave::load {

struct BatchShape {
  int records = 1;
  int value_size = 1024;  // bytes of each record's value, random
};

// A record batch v2 without compression, keys or producer id, stamped `now_ms`.
std::string record_batch(BatchShape shape, std::int64_t now_ms, std::uint64_t seed);

// Whole frames with their length. `acks` as in Kafka: -1 all, 1, 0.
std::string produce_request(std::string_view topic, int partition, int acks,
                            std::string_view batch);
std::string fetch_request(std::string_view topic, int partition, std::int64_t offset,
                          int bytes_max);

// What an answer's one partition says. Answers are frames without their length.
std::int16_t produce_error(std::string_view answer);

struct Fetched {
  std::int16_t error = 0;
  std::int64_t high_watermark = 0;
  std::uint64_t bytes = 0;                  // of complete batches
  std::optional<std::int64_t> last_offset;  // of the last complete batch
};
Fetched parse_fetch(std::string_view answer);

// A big-endian signed number of `size` bytes (1 to 8) at `data`.
std::int64_t read_number(const char* data, int size);

}  // namespace drave::load
