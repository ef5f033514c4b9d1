#include "segments/journal_format.h"

#include <fmt/format.h>

#include <charconv>
#include <cstring>

#include "base/crc32c.h"

namespace drave::segments {
namespace {

constexpr std::size_t kIdDigits = 16;
constexpr std::size_t kGenerationDigits = 20;

bool parse_number(std::string_view digits, int base, std::uint64_t& value) {
  const char* end = digits.data() + digits.size();
  const auto [at, error] = std::from_chars(digits.data(), end, value, base);
  return error == std::errc{} && at == end;
}

bool is_known(std::uint8_t type) {
  return type >= static_cast<std::uint8_t>(JournalEntryType::append) &&
         type <= static_cast<std::uint8_t>(JournalEntryType::remove);
}

}  // namespace

std::uint32_t encode_group_header(const GroupHeader& header, std::uint8_t* at) {
  store_big(at, kJournalMagic);
  store_big(at + 8, header.journal_id);
  store_big(at + 16, header.generation);
  store_big(at + 24, header.number);
  store_big(at + 32, header.first_sequence);
  store_big(at + 40, header.entry_count);
  store_big(at + 44, header.body_length);
  store_big(at + 48, header.entries_crc);
  store_big(at + 52, header.previous_crc);
  std::memset(at + 56, 0, 4);
  const std::uint32_t crc = crc32c({at, kGroupHeaderSize - 4});
  store_big(at + 60, crc);
  return crc;
}

Result<GroupHeader> decode_group_header(ByteView bytes) {
  if (bytes.size() < kGroupHeaderSize) return failure(Errc::torn, "group header cut short");
  const std::uint8_t* at = bytes.data();
  if (load_big<std::uint64_t>(at) != kJournalMagic) return failure(Errc::corrupt, "no group here");
  GroupHeader header;
  header.header_crc = load_big<std::uint32_t>(at + 60);
  if (crc32c(bytes.first(kGroupHeaderSize - 4)) != header.header_crc)
    return failure(Errc::corrupt, "group header checksum");
  header.journal_id = load_big<std::uint64_t>(at + 8);
  header.generation = load_big<std::uint64_t>(at + 16);
  header.number = load_big<std::uint64_t>(at + 24);
  header.first_sequence = load_big<std::uint64_t>(at + 32);
  header.entry_count = load_big<std::uint32_t>(at + 40);
  header.body_length = load_big<std::uint32_t>(at + 44);
  header.entries_crc = load_big<std::uint32_t>(at + 48);
  header.previous_crc = load_big<std::uint32_t>(at + 52);
  if (header.body_length > kGroupLengthMax ||
      header.entry_count > header.body_length / kEntryHeaderSize)
    return failure(Errc::corrupt, "group header lengths");
  return header;
}

std::uint32_t encode_entry_header(const JournalEntry& entry, std::uint8_t* at) {
  store_big(at + 4, crc32c(entry.payload));
  store_big(at + 8, static_cast<std::uint32_t>(entry.payload.size()));
  at[12] = static_cast<std::uint8_t>(entry.type);
  std::memset(at + 13, 0, 3);
  store_big(at + 16, entry.partition.topic_id.high);
  store_big(at + 24, entry.partition.topic_id.low);
  store_big(at + 32, entry.partition.partition);
  std::memset(at + 36, 0, 4);
  store_big(at + 40, entry.first_offset);
  store_big(at + 48, entry.end_offset);
  const std::uint32_t crc = crc32c({at + 4, kEntryHeaderSize - 4});
  store_big(at, crc);
  return crc;
}

std::optional<EntryCursor::Step> EntryCursor::next() {
  if (rest_.empty() || broken_) return std::nullopt;
  broken_ = true;
  if (rest_.size() < kEntryHeaderSize) return std::nullopt;
  const std::uint8_t* at = rest_.data();
  Step step;
  step.header_crc = load_big<std::uint32_t>(at);
  if (crc32c(rest_.subspan(4, kEntryHeaderSize - 4)) != step.header_crc) return std::nullopt;
  const auto payload_length = load_big<std::uint32_t>(at + 8);
  if (!is_known(at[12]) || payload_length > rest_.size() - kEntryHeaderSize) return std::nullopt;
  step.entry.type = static_cast<JournalEntryType>(at[12]);
  step.entry.partition.topic_id.high = load_big<std::uint64_t>(at + 16);
  step.entry.partition.topic_id.low = load_big<std::uint64_t>(at + 24);
  step.entry.partition.partition = load_big<std::int32_t>(at + 32);
  step.entry.first_offset = load_big<std::int64_t>(at + 40);
  step.entry.end_offset = load_big<std::int64_t>(at + 48);
  step.entry.payload = rest_.subspan(kEntryHeaderSize, payload_length);
  step.is_payload_valid = crc32c(step.entry.payload) == load_big<std::uint32_t>(at + 4);
  rest_ = rest_.subspan(kEntryHeaderSize + payload_length);
  broken_ = false;
  return step;
}

Result<void> check_group_body(const GroupHeader& header, ByteView group) {
  if (group.size() < kGroupHeaderSize + header.body_length)
    return failure(Errc::torn, "group cut short");
  EntryCursor cursor(group.subspan(kGroupHeaderSize, header.body_length));
  std::uint32_t count = 0;
  std::uint32_t entries_crc = 0;
  while (auto step = cursor.next()) {
    if (!step->is_payload_valid) return failure(Errc::corrupt, "entry payload checksum");
    std::uint8_t crc_bytes[4];
    store_big(crc_bytes, step->header_crc);
    entries_crc = crc32c(crc_bytes, entries_crc);
    ++count;
  }
  if (cursor.is_broken()) return failure(Errc::corrupt, "entry header checksum");
  if (count != header.entry_count || entries_crc != header.entries_crc)
    return failure(Errc::corrupt, "entries are not those of the header");
  return {};
}

std::string journal_file_name(const JournalFileName& name) {
  return fmt::format("{}-{:016x}.{:020}{}", name.journal, name.id, name.generation, kJournalSuffix);
}

std::optional<JournalFileName> parse_journal_file_name(std::string_view name) {
  // What stands behind the journal's name: "-<id>.<generation>.journal".
  const std::size_t tail = 1 + kIdDigits + 1 + kGenerationDigits + kJournalSuffix.size();
  if (!name.ends_with(kJournalSuffix) || name.size() <= tail) return std::nullopt;
  const std::string_view journal = name.substr(0, name.size() - tail);
  const std::string_view id = name.substr(journal.size() + 1, kIdDigits);
  const std::string_view generation =
      name.substr(journal.size() + 2 + kIdDigits, kGenerationDigits);
  JournalFileName parsed{std::string(journal), 0, 0};
  if (name[journal.size()] != '-' || name[journal.size() + 1 + kIdDigits] != '.' ||
      !parse_number(id, 16, parsed.id) || !parse_number(generation, 10, parsed.generation))
    return std::nullopt;
  return parsed;
}

std::string preparing_file_name(std::string_view journal, std::uint64_t number) {
  return fmt::format("{}.{}{}", journal, number, kPreparingSuffix);
}

bool is_preparing_file_name(std::string_view name) {
  return name.ends_with(kPreparingSuffix) && name.starts_with("journal-");
}

}  // namespace drave::segments
