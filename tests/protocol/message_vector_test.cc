// Every line of messages/ and records/: our reading and writing against Kafka's.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <set>

#include "protocol/header.h"
#include "protocol/metadata_record.h"
#include "protocol/registry.h"
#include "tests/protocol/json_document.h"
#include "tests/vectors/vectors.h"

namespace drave::protocol {
namespace {

using nlohmann::json;

// Bytes placed right before a page that cannot be read: reading one byte too many is a crash.
class Guarded {
 public:
  Guarded() {
    start_ = static_cast<std::uint8_t*>(
        mmap(nullptr, kSize + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(start_ + kSize, kPage, PROT_NONE);
  }
  ~Guarded() { munmap(start_, kSize + kPage); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  bool fits(ByteView bytes) const { return bytes.size() <= kSize; }
  ByteView put(ByteView bytes) {
    std::uint8_t* at = start_ + kSize - bytes.size();
    if (!bytes.empty()) std::memcpy(at, bytes.data(), bytes.size());
    return {at, bytes.size()};
  }

 private:
  static constexpr std::size_t kPage = 4096;
  static constexpr std::size_t kSize = 1 << 20;
  std::uint8_t* start_;
};

struct Row {
  std::string id;
  std::string kind;
  std::string mode;
  std::int16_t version = 0;
  std::vector<std::uint8_t> bytes;
  json value;
};

const std::set<std::string> kKeys = {"id",   "name", "type", "key",  "version", "header",
                                     "kind", "mode", "hex",  "json", "frame",   "error"};
const std::set<std::string> kKinds = {
    "default",       "empty",       "null",         "zerotags", "zerotags-written", "small",
    "small-written", "full",        "full-written", "edge",     "edge-written",     "long",
    "long-written",  "unknowntags", "bad",          "nulltag"};

MessageKind kind_of(const std::string& type, std::string_view name) {
  if (type == "request") return MessageKind::request;
  if (type == "response") return MessageKind::response;
  if (type == "header") return MessageKind::header;
  if (type == "metadata-record" || type == "remote-log-metadata-record")
    return MessageKind::metadata;
  if (type == "record-key") return MessageKind::key;
  if (type == "record-value") return MessageKind::value;
  if (type == "data" || type == "control-record-value" || type == "file") return MessageKind::data;
  ADD_FAILURE() << "a type that this test does not know: " << type << " of " << name;
  return MessageKind::data;
}

// The bytes that stand before the message in a record.
std::string frame_of(const std::string& type, const MessageType& message, std::int16_t version) {
  Writer out;
  if (type == "metadata-record" || type == "remote-log-metadata-record") {
    encode_metadata_frame(out, {static_cast<std::uint32_t>(message.key), version});
  } else if (type == "record-key") {
    out.integer(message.key);
  } else if (type == "record-value" || type == "data" || message.name == "ProducerSnapshot") {
    out.integer(version);
  }
  return vectors::to_hex(out.own());
}

void expect_facts(const json& line, const MessageType& type, const Row& row) {
  for (const auto& [key, unused] : line.items())
    EXPECT_TRUE(kKeys.contains(key)) << "a field that this test does not know: " << key;
  EXPECT_TRUE(kKinds.contains(row.kind)) << "a kind that this test does not know: " << row.kind;
  const std::string kind = line.at("type");
  EXPECT_EQ(type.kind, kind_of(kind, type.name));
  EXPECT_EQ(line.value("key", -1), type.key);
  if (kind == "request") {
    EXPECT_EQ(line.at("header"), request_header_version(type.key, row.version));
  } else if (kind == "response") {
    EXPECT_EQ(line.at("header"), response_header_version(type.key, row.version));
  } else {
    EXPECT_FALSE(line.contains("header"));
  }
  if (row.mode == "both" || line.contains("frame")) {
    EXPECT_EQ(line.value("frame", ""), frame_of(kind, type, row.version));
  }
}

void expect_reads(const MessageType& type, const Row& row) {
  Reader in(row.bytes);
  std::string text;
  const auto read = type.to_json(in, row.version, text);
  ASSERT_TRUE(read.has_value()) << read.error().message();
  EXPECT_EQ(in.remaining(), 0u);
  const json ours = json::parse(text, nullptr, false);
  ASSERT_FALSE(ours.is_discarded()) << text;
  EXPECT_EQ(ours, row.value) << json::diff(row.value, ours).dump().substr(0, 2000);
}

void expect_writes(const MessageType& type, const Row& row) {
  Reader in(row.bytes);
  Writer out;
  std::size_t size = 0;
  const auto recoded = type.recode(in, row.version, out, size);
  ASSERT_TRUE(recoded.has_value()) << recoded.error().message();
  EXPECT_EQ(vectors::to_hex(out.own()), vectors::to_hex(row.bytes));
  EXPECT_EQ(size, row.bytes.size());

  std::vector<std::uint8_t> exact(row.bytes.size());
  Writer fixed{MutableByteView(exact)};
  JsonDocument document(row.value);
  const auto written = type.from_json(document, row.version, fixed);
  ASSERT_TRUE(written.has_value()) << written.error().message();
  EXPECT_EQ(document.trouble(), "");
  EXPECT_EQ(vectors::to_hex(fixed.own()), vectors::to_hex(row.bytes));
}

// What was read and is written again reads as the same.
void expect_stable(const MessageType& type, const Row& row) {
  Reader in(row.bytes);
  Writer out;
  std::size_t size = 0;
  const auto recoded = type.recode(in, row.version, out, size);
  ASSERT_TRUE(recoded.has_value()) << recoded.error().message();
  EXPECT_EQ(size, out.size());
  std::string text;
  Reader again(out.own());
  const auto read = type.to_json(again, row.version, text);
  ASSERT_TRUE(read.has_value()) << read.error().message();
  EXPECT_EQ(json::parse(text, nullptr, false), row.value);
}

void expect_rejected(const MessageType& type, const Row& row) {
  Reader in(row.bytes);
  std::string text;
  const auto read = type.to_json(in, row.version, text);
  EXPECT_FALSE(read.has_value()) << text;
}

// Every prefix (of long messages: some 40 of them) is refused or read, within its bounds.
void expect_prefixes_stay_inside(const MessageType& type, const Row& row, Guarded& guarded) {
  if (!guarded.fits(row.bytes)) return;
  const std::size_t step = std::max<std::size_t>(1, row.bytes.size() / 40);
  for (std::size_t size = 0; size < row.bytes.size(); size += step) {
    Reader in(guarded.put(ByteView(row.bytes).first(size)));
    Writer out;
    std::size_t measured = 0;
    const auto recoded = type.recode(in, row.version, out, measured);
    if (recoded.has_value()) {
      EXPECT_EQ(measured, out.size());
    }
  }
}

void check_line(const std::string& stem, std::string_view text, Guarded& guarded) {
  const json line = json::parse(text, nullptr, false);
  ASSERT_FALSE(line.is_discarded());
  const std::string name = line.at("name");
  ASSERT_EQ(name, stem);
  const MessageType* type = find_message_type(name);
  ASSERT_NE(type, nullptr) << "a message that we do not have: " << name;
  Row row{line.at("id"),
          line.at("kind"),
          line.at("mode"),
          line.at("version"),
          vectors::from_hex(line.at("hex").get<std::string>()),
          line.value("json", json())};
  SCOPED_TRACE(row.id);
  expect_facts(line, *type, row);
  if (row.mode == "both") {
    expect_reads(*type, row);
    expect_writes(*type, row);
  } else if (row.mode == "decode") {
    expect_reads(*type, row);
    expect_stable(*type, row);
  } else if (row.mode == "reject") {
    expect_rejected(*type, row);
  } else {
    ADD_FAILURE() << "a mode that this test does not know: " << row.mode;
  }
  expect_prefixes_stay_inside(*type, row, guarded);
}

void check_files(std::string_view folder, std::size_t part, std::size_t parts,
                 std::size_t lines_min) {
  Guarded guarded;
  const auto files = vectors::list(folder);
  std::size_t lines = 0;
  for (std::size_t i = part; i < files.size(); i += parts) {
    const std::string& path = files[i];
    ASSERT_TRUE(path.ends_with(".jsonl")) << "a file that this test does not know: " << path;
    const std::string stem = path.substr(path.rfind('/') + 1, path.size() - path.rfind('/') - 7);
    vectors::for_each_line(path, [&](std::string_view line, std::size_t number) {
      SCOPED_TRACE(fmt::format("{}:{}", path, number));
      check_line(stem, line, guarded);
      ++lines;
    });
  }
  EXPECT_GE(lines, lines_min);
}

TEST(MessageVector, messages_part_1) {
  check_files("messages", 0, 4, 1500);
}
TEST(MessageVector, messages_part_2) {
  check_files("messages", 1, 4, 1500);
}
TEST(MessageVector, messages_part_3) {
  check_files("messages", 2, 4, 1500);
}
TEST(MessageVector, messages_part_4) {
  check_files("messages", 3, 4, 1500);
}
TEST(MessageVector, records) {
  check_files("records", 0, 1, 1500);
}

// Each message in every version of ours has rows; nothing of ours goes unchecked.
TEST(MessageVector, every_version_of_every_message_has_lines) {
  std::set<std::pair<std::string, int>> seen;
  for (const std::string_view folder : {"messages", "records"}) {
    for (const std::string& path : vectors::list(folder)) {
      vectors::for_each_line(path, [&](std::string_view text, std::size_t) {
        const auto number = [&](std::string_view key) {
          return std::atoi(text.substr(text.find(key) + key.size()).data());
        };
        const auto name_at = text.find("\"name\":\"") + 8;
        seen.emplace(text.substr(name_at, text.find('"', name_at) - name_at),
                     number("\"version\":"));
      });
    }
  }
  for (const MessageType* type : message_types()) {
    for (int version = type->version_min; version <= type->version_max; ++version) {
      // Kafka writes version 0 of it only.
      if (type->name == "LeaderChangeMessage" && version == 1) continue;
      EXPECT_TRUE(seen.contains({std::string(type->name), version}))
          << type->name << " version " << version;
    }
  }
}

}  // namespace
}  // namespace drave::protocol
