#include "protocol/hashes.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace drave::protocol {
namespace {

constexpr std::uint32_t kMurmurFactor = 0x5bd1e995;
constexpr std::uint32_t kMurmurSeed = 0x9747b28c;
constexpr char32_t kReplacement = 0xFFFD;
constexpr std::uint8_t kTopicHashVersion = 0;

// The code point that begins at `at`, which moves behind it.
char32_t next_code_point(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t first = byte(at++);
  if (first < 0x80) return first;
  const std::size_t more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
  if (first < 0xC2 || first > 0xF4 || text.size() - at < more) return kReplacement;
  char32_t point = first & (0x3F >> more);
  for (std::size_t i = 0; i < more; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return kReplacement;
    point = point << 6 | (byte(at + i) & 0x3F);
  }
  at += more;
  return point;
}

std::u16string utf16(std::string_view text) {
  std::u16string units;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t point = next_code_point(text, at);
    if (point < 0x10000) {
      units.push_back(static_cast<char16_t>(point));
      continue;
    }
    units.push_back(static_cast<char16_t>(0xD800 + ((point - 0x10000) >> 10)));
    units.push_back(static_cast<char16_t>(0xDC00 + ((point - 0x10000) & 0x3FF)));
  }
  return units;
}

// What is hashed, as bytes: everything little-endian, a text with its length behind it.
class HashInput {
 public:
  template <class T>
  void number(T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i)
      bytes_.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> (8 * i)));
  }
  void text(const std::u16string& units) {
    for (const char16_t unit : units) number(static_cast<std::uint16_t>(unit));
    number(static_cast<std::int32_t>(units.size()));
  }
  std::int64_t hash() const {
    return static_cast<std::int64_t>(XXH3_64bits(bytes_.data(), bytes_.size()));
  }

 private:
  std::vector<std::uint8_t> bytes_;
};

}  // namespace

std::int32_t murmur2(ByteView bytes) {
  std::uint32_t hash = kMurmurSeed ^ static_cast<std::uint32_t>(bytes.size());
  std::size_t at = 0;
  for (; bytes.size() - at >= 4; at += 4) {
    std::uint32_t word = 0;
    for (std::size_t i = 0; i < 4; ++i) word |= std::uint32_t{bytes[at + i]} << (8 * i);
    word *= kMurmurFactor;
    word ^= word >> 24;
    hash = hash * kMurmurFactor ^ word * kMurmurFactor;
  }
  if (at < bytes.size()) {
    for (std::size_t i = bytes.size() - at; i > 0; --i)
      hash ^= std::uint32_t{bytes[at + i - 1]} << (8 * (i - 1));
    hash *= kMurmurFactor;
  }
  hash ^= hash >> 13;
  hash *= kMurmurFactor;
  return static_cast<std::int32_t>(hash ^ hash >> 15);
}

PartitionIndex partition_of_key(ByteView key, std::int32_t partition_count) {
  ASSERT(partition_count > 0);
  return (murmur2(key) & INT32_MAX) % partition_count;
}

std::int32_t java_hash_code(std::string_view text) {
  std::uint32_t hash = 0;
  for (const char16_t unit : utf16(text)) hash = hash * 31 + unit;
  return static_cast<std::int32_t>(hash);
}

PartitionIndex coordinator_partition(std::string_view key, std::int32_t partition_count) {
  ASSERT(partition_count > 0);
  const std::int32_t hash = java_hash_code(key);
  return (hash == INT32_MIN ? 0 : std::abs(hash)) % partition_count;
}

std::string share_coordinator_key(std::string_view group, const TopicId& topic,
                                  PartitionIndex partition) {
  return fmt::format("{}:{}:{}", group, topic.to_string(), partition);
}

std::int64_t topic_metadata_hash(const TopicId& id, std::string_view name,
                                 const std::vector<std::vector<std::string>>& racks) {
  HashInput input;
  input.number(kTopicHashVersion);
  input.number(id.high);
  input.number(id.low);
  input.text(utf16(name));
  input.number(static_cast<std::int32_t>(racks.size()));
  for (std::size_t partition = 0; partition < racks.size(); ++partition) {
    input.number(static_cast<std::int32_t>(partition));
    std::vector<std::u16string> sorted;
    for (const std::string& rack : racks[partition]) sorted.push_back(utf16(rack));
    std::sort(sorted.begin(), sorted.end());
    for (const std::u16string& rack : sorted) {
      input.number(static_cast<std::int32_t>(rack.size()));
      input.text(rack);
    }
  }
  return input.hash();
}

std::int64_t group_metadata_hash(const std::map<std::string, std::int64_t>& topic_hashes) {
  if (topic_hashes.empty()) return 0;
  HashInput input;
  // Topic names are ASCII: their order is that of UTF-16.
  for (const auto& [name, hash] : topic_hashes) input.number(hash);
  return input.hash();
}

}  // namespace drave::protocol
