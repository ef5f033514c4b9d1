// The tables of Kafka's facts that protocol/ knows, line by line.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/uuid.h"
#include "protocol/error_code.h"
#include "protocol/header.h"
#include "protocol/registry.h"
#include "protocol/resource.h"
#include "protocol/wire.h"
#include "tests/vectors/table.h"

namespace drave::protocol {
namespace {

using nlohmann::json;
using vectors::each_row;

std::uint8_t listeners_of(const json& names) {
  std::uint8_t found = 0;
  for (const std::string name : names) {
    if (name == "broker") {
      found |= kListenerBroker;
    } else if (name == "controller") {
      found |= kListenerController;
    } else {
      ADD_FAILURE() << "unknown listener " << name;
    }
  }
  return found;
}

TEST(TableVector, api_keys) {
  const std::set<std::string> known = {"key",         "name",      "min",    "max",
                                       "maxUnstable", "listeners", "headers"};
  const std::size_t lines = each_row("api-keys", known, [](const json& line) {
    const std::int16_t key = line.at("key");
    const ApiInfo* api = find_api(key);
    ASSERT_NE(api, nullptr);
    EXPECT_EQ(static_cast<std::int16_t>(api->key), key);
    EXPECT_EQ(api->name, line.at("name").get<std::string>());
    EXPECT_EQ(to_string(api->key), api->name);
    if (line.at("max") == -1) {
      EXPECT_TRUE(api->removed());
      return;
    }
    EXPECT_EQ(api->min, line.at("min"));
    EXPECT_EQ(api->max_stable(), line.at("max"));
    EXPECT_EQ(api->max, line.at("maxUnstable"));
    EXPECT_EQ(api->listeners, listeners_of(line.at("listeners")));
    for (const json& header : line.at("headers")) {
      const std::int16_t version = header.at("version");
      EXPECT_TRUE(api->supports(version));
      EXPECT_EQ(request_header_version(key, version), header.at("request"));
      EXPECT_EQ(response_header_version(key, version), header.at("response"));
    }
  });
  EXPECT_EQ(lines, apis().size());
  EXPECT_EQ(find_api(static_cast<std::int16_t>(lines)), nullptr);
  EXPECT_EQ(find_api(-1), nullptr);
}

TEST(TableVector, errors) {
  const std::set<std::string> known = {"code", "name", "retriable", "exception", "defaultMessage"};
  const std::size_t lines = each_row("errors", known, [](const json& line) {
    const auto code = static_cast<ErrorCode>(line.at("code").get<std::int16_t>());
    EXPECT_EQ(error_info(code).code, code);
    EXPECT_EQ(name(code), line.at("name").get<std::string>());
    EXPECT_EQ(retriable(code), line.at("retriable").get<bool>());
    EXPECT_FALSE(message(code).empty());
  });
  EXPECT_EQ(lines, error_infos().size());
  EXPECT_EQ(name(static_cast<ErrorCode>(9999)), "UNKNOWN_SERVER_ERROR");
  EXPECT_EQ(name(static_cast<ErrorCode>(-2)), "UNKNOWN_SERVER_ERROR");
}

// TopicRecord -> TOPIC_RECORD and the like.
std::string shout(std::string_view name) {
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool upper = name[i] >= 'A' && name[i] <= 'Z';
    if (upper && i > 0) out += '_';
    out += upper ? name[i] : static_cast<char>(name[i] - 'a' + 'A');
  }
  return out;
}

TEST(TableVector, record_types) {
  const std::set<std::string> known = {"family", "id", "name", "lowest", "highest"};
  std::size_t metadata_records = 0;
  each_row("record-types", known, [&](const json& line) {
    const std::string family = line.at("family");
    const std::string type_name = line.at("name");
    const std::int16_t id = line.at("id");
    if (family == "metadata") {
      const MessageType* type = find_metadata_type(id);
      ASSERT_NE(type, nullptr);
      EXPECT_EQ(shout(type->name), type_name);
      EXPECT_EQ(type->version_min, line.at("lowest"));
      EXPECT_EQ(type->version_max, line.at("highest"));
      ++metadata_records;
    } else if (family == "group" || family == "transaction" || family == "share") {
      const auto named = [&](const MessageType* type) {
        return type->kind == MessageKind::key && type->key == id &&
               shout(type->name) ==
                   (family == "transaction" ? "TRANSACTION_LOG" : type_name) + "_KEY";
      };
      const auto types = message_types();
      EXPECT_EQ(std::count_if(types.begin(), types.end(), named), 1);
    } else {
      EXPECT_EQ(family, "control");  // control_record.h; its own tests compare it
    }
  });
  std::size_t ours = 0;
  for (std::int16_t id = 0; id < 100; ++id) ours += find_metadata_type(id) != nullptr ? 1 : 0;
  EXPECT_EQ(ours, metadata_records);
}

template <class F>
void expect_read(const json& expected, const std::vector<std::uint8_t>& bytes, F&& read) {
  Reader in(bytes);
  const std::int64_t value = read(in);
  EXPECT_EQ(in.ok(), !expected.contains("error"));
  if (!in.ok()) return;
  EXPECT_EQ(value, expected.at("value"));
  EXPECT_EQ(in.position(), expected.at("bytesRead"));
}

template <class W, class R>
void expect_varint(const json& line, const char* field, W&& write, R&& read) {
  if (!line.contains(field)) return;
  const std::string hex = line.at(field);
  Writer out;
  write(out);
  EXPECT_EQ(vectors::to_hex(out.own()), hex);
  const auto bytes = vectors::from_hex(hex);
  Reader in(bytes);
  EXPECT_EQ(static_cast<std::int64_t>(read(in)), line.at("value").get<std::int64_t>());
  EXPECT_TRUE(in.ok());
  EXPECT_EQ(in.remaining(), 0u);
}

TEST(TableVector, varint) {
  const std::set<std::string> known = {"value",      "varint",     "unsignedVarintOfInt32",
                                       "varlong",    "bytes",      "readUnsignedVarint",
                                       "readVarint", "readVarlong"};
  const auto as_int32 = [](Reader& in) { return static_cast<std::int32_t>(in.uvarint()); };
  each_row("varint", known, [&](const json& line) {
    if (line.contains("bytes")) {
      const auto bytes = vectors::from_hex(line.at("bytes").get<std::string>());
      expect_read(line.at("readUnsignedVarint"), bytes, as_int32);
      expect_read(line.at("readVarint"), bytes, [](Reader& in) { return in.varint(); });
      expect_read(line.at("readVarlong"), bytes, [](Reader& in) { return in.varlong(); });
      return;
    }
    const std::int64_t value = line.at("value");
    const auto narrow = static_cast<std::int32_t>(value);
    expect_varint(
        line, "varint", [&](Writer& out) { out.varint(narrow); },
        [](Reader& in) { return in.varint(); });
    expect_varint(
        line, "unsignedVarintOfInt32",
        [&](Writer& out) { out.uvarint(static_cast<std::uint32_t>(narrow)); }, as_int32);
    expect_varint(
        line, "varlong", [&](Writer& out) { out.varlong(value); },
        [](Reader& in) { return in.varlong(); });
  });
}

TEST(TableVector, uuid) {
  each_row("uuid", {"bytes", "text", "reserved"}, [](const json& line) {
    const auto bytes = vectors::from_hex(line.at("bytes").get<std::string>());
    Reader in(bytes);
    const Uuid id = in.uuid();
    EXPECT_EQ(id.to_string(), line.at("text").get<std::string>());
    EXPECT_EQ(Uuid::parse(line.at("text").get<std::string>()), id);
    // Ours also reserves the ids below 100 that directories may not have.
    const bool reserved = line.at("reserved");
    EXPECT_EQ(id == kZeroUuid || id == kMetadataTopicId, reserved);
    EXPECT_TRUE(id.is_reserved() || !reserved);
    Writer out;
    out.uuid(id);
    EXPECT_EQ(vectors::to_hex(out.own()), line.at("bytes").get<std::string>());
  });
}

// Every code of the table has our name, and every other value of its range has none.
template <class E>
void expect_enumeration(const std::string& table, const char* code_field) {
  std::set<int> codes;
  each_row(table, {code_field, "name"}, [&](const json& line) {
    const int code = line.at(code_field);
    EXPECT_EQ(name(static_cast<E>(code)), line.at("name").get<std::string>());
    codes.insert(code);
  });
  for (int code = -1; code < 127; ++code) {
    if (!codes.contains(code)) {
      EXPECT_EQ(name(static_cast<E>(code)), "UNKNOWN") << code;
    }
  }
}

TEST(TableVector, acl_operations) {
  expect_enumeration<AclOperation>("acl-operations", "code");
}
TEST(TableVector, acl_permissions) {
  expect_enumeration<AclPermission>("acl-permissions", "code");
}
TEST(TableVector, resource_types) {
  expect_enumeration<ResourceType>("resource-types", "code");
}
TEST(TableVector, resource_pattern_types) {
  expect_enumeration<PatternType>("resource-pattern-types", "code");
}
TEST(TableVector, config_resource_types) {
  expect_enumeration<ConfigResourceType>("config-resource-types", "id");
}

TEST(TableVector, acl_supported_operations) {
  std::set<std::string> seen;
  each_row("acl-supported-operations", {"resourceType", "operations"}, [&](const json& line) {
    seen.insert(line.at("resourceType"));
    for (int type = 0; type < 8; ++type) {
      if (name(static_cast<ResourceType>(type)) != line.at("resourceType").get<std::string>())
        continue;
      json ours = json::array();
      for (const AclOperation operation : supported_operations(static_cast<ResourceType>(type)))
        ours.push_back(std::string(name(operation)));
      EXPECT_EQ(ours, line.at("operations"));
    }
  });
  EXPECT_EQ(seen.size(), 6u);
}

// Tables with a reader elsewhere, and where.
const std::map<std::string, std::string> kReadElsewhere = {
    {"configs", "tests/metadata/config_vector_test.cc"},
    {"coordinator-partition", "tests/protocol/hash_vector_test.cc"},
    {"crc32c", "tests/base/crc32c_vector_test.cc"},
    {"features", "tests/metadata/metadata_vector_test.cc"},
    {"group-metadata-hash", "tests/protocol/hash_vector_test.cc"},
    {"metadata-versions", "tests/metadata/metadata_vector_test.cc"},
    {"murmur2", "tests/protocol/hash_vector_test.cc"},
    {"share-coordinator-partition", "tests/protocol/hash_vector_test.cc"},
    {"topic-metadata-hash", "tests/protocol/hash_vector_test.cc"},
};
// Authentication is not served yet; who brings it brings their readers.
const std::set<std::string> kAwaited = {"scram", "scram-names"};

std::string source(const std::string& file) {
  const char* root = std::getenv("DRAVE_SOURCE_DIR");
  std::ifstream in(std::string(root == nullptr ? "." : root) + "/" + file);
  EXPECT_TRUE(in.is_open()) << file;
  return {std::istreambuf_iterator<char>(in), {}};
}

// A table that nobody reads must not come in unnoticed.
TEST(TableVector, every_table_has_a_reader) {
  std::size_t awaited = 0;
  for (const std::string& path : vectors::list("tables")) {
    ASSERT_TRUE(path.ends_with(".jsonl")) << path;
    const std::string table = path.substr(7, path.size() - 7 - 6);
    if (kAwaited.contains(table)) {
      ++awaited;
      continue;
    }
    const auto elsewhere = kReadElsewhere.find(table);
    const std::string reader = elsewhere == kReadElsewhere.end()
                                   ? "tests/protocol/table_vector_test.cc"
                                   : elsewhere->second;
    const std::string text = source(reader);
    EXPECT_TRUE(text.find("(\"" + table + "\"") != std::string::npos ||
                text.find("\"tables/" + table + ".jsonl\"") != std::string::npos)
        << table << " is not read by " << reader;
  }
  EXPECT_EQ(awaited, kAwaited.size());
}

}  // namespace
}  // namespace drave::protocol
