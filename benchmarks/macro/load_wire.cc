#include "benchmarks/macro/load_wire.h"

#include <random>

#include "base/bytes.h"
#include "base/crc32c.h"

namespace drave::load {
namespace {

constexpr int kProduceKey = 0;
constexpr int kProduceVersion = 9;
constexpr int kFetchKey = 1;
constexpr int kFetchVersion = 12;
constexpr int kTimeoutMs = 30'000;
constexpr int kFetchWaitMs = 100;
constexpr int kBatchHeaderSize = 61;

class Writer {
 public:
  std::string bytes;

  void number(std::int64_t value, int size) {
    for (int shift = 8 * (size - 1); shift >= 0; shift -= 8)
      bytes.push_back(static_cast<char>(value >> shift));
  }
  void uvarint(std::uint64_t value) {
    for (; value >= 128; value >>= 7) bytes.push_back(static_cast<char>(value | 128));
    bytes.push_back(static_cast<char>(value));
  }
  void varint(std::int64_t value) {
    uvarint((static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
  }
  void compact_string(std::string_view text) {
    uvarint(text.size() + 1);
    bytes += text;
  }
  void no_tags() { bytes.push_back(0); }
  void array_of_one() { uvarint(2); }

  std::string frame() const {
    Writer length;
    length.number(static_cast<std::int64_t>(bytes.size()), 4);
    return length.bytes + bytes;
  }
};

Writer request(int key, int version) {
  constexpr std::string_view kClientId = "load";
  Writer writer;
  writer.number(key, 2);
  writer.number(version, 2);
  writer.number(0, 4);  // correlation id: answers come in order
  writer.number(static_cast<std::int64_t>(kClientId.size()), 2);
  writer.bytes += kClientId;
  writer.no_tags();
  return writer;
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  std::int64_t number(int size) {
    if (bytes_.size() < static_cast<std::size_t>(size)) return 0;
    std::int64_t value = read_number(bytes_.data(), size);
    bytes_.remove_prefix(size);
    return value;
  }
  std::uint64_t uvarint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64 && !bytes_.empty(); shift += 7) {
      auto byte = static_cast<std::uint8_t>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 127) << shift;
      if (byte < 128) break;
    }
    return value;
  }
  void skip(std::size_t size) { bytes_.remove_prefix(std::min(size, bytes_.size())); }
  void skip_compact_string() {
    if (std::uint64_t size = uvarint(); size > 1) skip(size - 1);
  }
  std::string_view rest() const { return bytes_; }

 private:
  std::string_view bytes_;
};

// Behind the correlation id and the header's tags.
Reader body_of(std::string_view answer) {
  Reader reader(answer);
  reader.skip(5);
  return reader;
}

}  // namespace

std::int64_t read_number(const char* data, int size) {
  std::uint64_t value = 0;
  for (int i = 0; i < size; ++i) value = (value << 8) | static_cast<std::uint8_t>(data[i]);
  const int unused = 64 - 8 * size;
  return static_cast<std::int64_t>(value << unused) >> unused;
}

std::string record_batch(BatchShape shape, std::int64_t now_ms, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Writer body;  // from the attributes on, which is what the CRC covers
  body.number(0, 2);
  body.number(shape.records - 1, 4);
  body.number(now_ms, 8);
  body.number(now_ms, 8);
  body.number(-1, 8);
  body.number(-1, 2);
  body.number(-1, 4);
  body.number(shape.records, 4);
  for (int i = 0; i < shape.records; ++i) {
    Writer record;
    record.number(0, 1);
    record.varint(0);
    record.varint(i);
    record.varint(-1);
    record.varint(shape.value_size);
    for (int k = 0; k < shape.value_size; ++k)
      record.bytes.push_back(static_cast<char>(random() & 255));
    record.uvarint(0);
    body.varint(static_cast<std::int64_t>(record.bytes.size()));
    body.bytes += record.bytes;
  }
  Writer batch;
  batch.number(0, 8);
  batch.number(static_cast<std::int64_t>(body.bytes.size()) + 9, 4);
  batch.number(-1, 4);
  batch.number(2, 1);
  batch.number(crc32c(as_bytes(body.bytes)), 4);
  return batch.bytes + body.bytes;
}

std::string produce_request(std::string_view topic, int partition, int acks,
                            std::string_view batch) {
  Writer writer = request(kProduceKey, kProduceVersion);
  writer.uvarint(0);  // no transactional id
  writer.number(acks, 2);
  writer.number(kTimeoutMs, 4);
  writer.array_of_one();
  writer.compact_string(topic);
  writer.array_of_one();
  writer.number(partition, 4);
  writer.uvarint(batch.size() + 1);
  writer.bytes += batch;
  for (int level = 0; level < 3; ++level) writer.no_tags();
  return writer.frame();
}

std::string fetch_request(std::string_view topic, int partition, std::int64_t offset,
                          int bytes_max) {
  Writer writer = request(kFetchKey, kFetchVersion);
  writer.number(-1, 4);  // no replica
  writer.number(kFetchWaitMs, 4);
  writer.number(1, 4);  // at least a byte
  writer.number(bytes_max, 4);
  writer.number(0, 1);  // read uncommitted
  writer.number(0, 4);  // no session
  writer.number(-1, 4);
  writer.array_of_one();
  writer.compact_string(topic);
  writer.array_of_one();
  writer.number(partition, 4);
  writer.number(-1, 4);
  writer.number(offset, 8);
  writer.number(-1, 4);
  writer.number(-1, 8);
  writer.number(bytes_max, 4);
  writer.no_tags();
  writer.no_tags();
  writer.uvarint(1);  // nothing forgotten
  writer.compact_string("");
  writer.no_tags();
  return writer.frame();
}

std::int16_t produce_error(std::string_view answer) {
  Reader reader = body_of(answer);
  if (reader.uvarint() < 2) return 0;
  reader.skip_compact_string();
  reader.uvarint();
  reader.skip(4);
  return static_cast<std::int16_t>(reader.number(2));
}

Fetched parse_fetch(std::string_view answer) {
  Fetched fetched;
  Reader reader = body_of(answer);
  reader.skip(4);
  fetched.error = static_cast<std::int16_t>(reader.number(2));
  reader.skip(4);
  if (reader.uvarint() < 2) return fetched;
  reader.skip_compact_string();
  reader.uvarint();
  reader.skip(4);
  if (auto error = static_cast<std::int16_t>(reader.number(2))) fetched.error = error;
  fetched.high_watermark = reader.number(8);
  reader.skip(16);
  for (std::uint64_t aborted = reader.uvarint(); aborted > 1; --aborted) {
    reader.skip(16);
    reader.uvarint();
  }
  reader.skip(4);
  const std::uint64_t size = reader.uvarint();
  std::string_view records = reader.rest().substr(0, size ? size - 1 : 0);
  while (records.size() >= kBatchHeaderSize) {
    const std::int64_t length = read_number(records.data() + 8, 4);
    if (length < 0 || records.size() - 12 < static_cast<std::uint64_t>(length)) break;
    const std::uint64_t whole = 12 + static_cast<std::uint64_t>(length);
    fetched.last_offset = read_number(records.data(), 8) + read_number(records.data() + 23, 4);
    fetched.bytes += whole;
    records.remove_prefix(whole);
  }
  return fetched;
}

}  // namespace drave::load
