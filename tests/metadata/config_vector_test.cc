// Our table of keys beside Kafka's (tables/configs.jsonl), in both directions.
#include <gtest/gtest.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <map>
#include <set>
#include <string>

#include "metadata/config/config_def.h"
#include "tests/vectors/vectors.h"

namespace drave::metadata {
namespace {

const std::map<std::string, ConfigScope> kScopes = {
    {"broker", ConfigScope::broker},
    {"topic", ConfigScope::topic},
    {"group", ConfigScope::group},
    {"client-metrics", ConfigScope::client_metrics},
    {"quota-user-client", ConfigScope::quota_user_client},
    {"quota-ip", ConfigScope::quota_ip},
};

// Defaults that differ from Kafka's on purpose (broker/CONFIG.md names them), and how Kafka's end.
const std::map<std::string, std::string> kOtherDefaults = {
    {"topic flush.messages", "9223372036854775807"},
    {"broker log.flush.interval.messages", "9223372036854775807"},
    {"broker socket.listen.backlog.size", "50"},
    {"broker socket.receive.buffer.bytes", "102400"},
    {"broker socket.send.buffer.bytes", "102400"},
    {"broker listeners", "PLAINTEXT://:9092"},
    {"broker authorizer.class.name", ""},
    {"broker log.dir", "/kafka-logs"},
    {"broker node.id", "required"},
    {"broker process.roles", "required"},
    {"broker controller.listener.names", "required"},
};

std::string with_blanks(std::string_view options) {
  std::string out;
  for (const char c : options) {
    out.push_back(c);
    if (c == ',') out.push_back(' ');
  }
  return out;
}

// A rule as Kafka prints its validator; "none" where there is none.
std::string validator_of(const ConfigDef& def) {
  const std::string rule(def.rule);
  if (rule.empty()) return "none";
  if (rule == "not_empty") return "non-empty string";
  if (rule == "not_null") return "non-null string";
  if (rule == "voters" || rule == "servers") return "non-empty list";
  if (rule == "throttles") return "[partitionId]:[brokerId],[partitionId]:[brokerId],...";
  if (rule == "offset_reset") return "[latest, earliest, by_duration:PnDTnHnMn.nS]";
  if (rule == "list" || rule == "list+") return "";
  if (rule.starts_with("in_ci:")) {
    return fmt::format("(case insensitive) [{}]", with_blanks(rule.substr(6)));
  }
  if (const auto colon = rule.find(':'); colon != std::string::npos) {
    return fmt::format("[{}]", with_blanks(rule.substr(colon + 1)));
  }
  const auto dots = rule.find("..");
  const std::string lowest = rule.substr(0, dots);
  std::string highest = rule.substr(dots + 2);
  if (highest.ends_with("|-1")) {
    return fmt::format("[{},...,{}] or -1", lowest, highest.substr(0, highest.size() - 3));
  }
  return highest.empty() ? fmt::format("[{},...]", lowest)
                         : fmt::format("[{},...,{}]", lowest, highest);
}

std::string importance_of(const ConfigDef& def) {
  return def.importance == Importance::high     ? "HIGH"
         : def.importance == Importance::medium ? "MEDIUM"
                                                : "LOW";
}

std::string mode_of(const ConfigDef& def) {
  return def.mode == UpdateMode::read_only    ? "read-only"
         : def.mode == UpdateMode::per_broker ? "per-broker"
                                              : "cluster-wide";
}

void compare_default(const nlohmann::json& row, const ConfigDef& def) {
  const std::string key = fmt::format("{} {}", row.at("scope").get<std::string>(), def.name);
  std::string kafkas = "null";
  if (row.at("required").get<bool>()) {
    kafkas = "required";
  } else if (row.contains("default") && !row["default"].is_null()) {
    kafkas = row["default"].get<std::string>();
  }
  const auto other = kOtherDefaults.find(key);
  const std::string ours = def.default_text ? std::string(*def.default_text) : "null";
  if (other == kOtherDefaults.end()) {
    EXPECT_EQ(ours, kafkas) << key;
  } else {
    EXPECT_TRUE(kafkas.ends_with(other->second)) << key << " " << kafkas;
    EXPECT_NE(ours, kafkas) << key << " is no exception any more";
  }
}

void compare(const nlohmann::json& row, const ConfigDef& def) {
  EXPECT_EQ(to_string(def.type), row.at("type").get<std::string>());
  EXPECT_EQ(importance_of(def), row.at("importance").get<std::string>());
  EXPECT_EQ(def.internal, row.value("internal", false));
  const bool validated = row.contains("validator") && !row["validator"].is_null();
  EXPECT_EQ(validator_of(def), validated ? row["validator"].get<std::string>() : "none");
  if (def.scope == ConfigScope::broker) {
    EXPECT_EQ(mode_of(def), row.at("dynamicUpdateMode").get<std::string>());
  } else {
    EXPECT_FALSE(row.contains("dynamicUpdateMode"));
  }
  compare_default(row, def);
}

TEST(ConfigVector, every_key_of_kafka_is_known_as_kafka_knows_it) {
  const std::set<std::string> known = {"scope",    "name",    "type",     "importance",
                                       "required", "default", "internal", "dynamicUpdateMode",
                                       "validator"};
  std::size_t rows = 0;
  vectors::for_each_line("tables/configs.jsonl", [&](std::string_view line, std::size_t number) {
    SCOPED_TRACE(fmt::format("tables/configs.jsonl:{}: {}", number, line));
    const nlohmann::json row = nlohmann::json::parse(line);
    ++rows;
    for (const auto& [field, value] : row.items()) EXPECT_TRUE(known.contains(field)) << field;
    const auto scope = kScopes.find(row.at("scope").get<std::string>());
    ASSERT_NE(scope, kScopes.end());
    const ConfigDef* def = find_config(scope->second, row.at("name").get<std::string>());
    ASSERT_NE(def, nullptr);
    compare(row, *def);
  });
  EXPECT_GE(rows, 419U);
}

TEST(ConfigVector, every_other_key_of_ours_has_our_prefix) {
  std::set<std::pair<ConfigScope, std::string>> kafkas;
  vectors::for_each_line("tables/configs.jsonl", [&](std::string_view line, std::size_t) {
    const nlohmann::json row = nlohmann::json::parse(line);
    kafkas.emplace(kScopes.at(row.at("scope").get<std::string>()),
                   row.at("name").get<std::string>());
  });
  for (const auto& [name, scope] : kScopes) {
    for (const ConfigDef& def : all_configs(scope)) {
      if (kafkas.contains({scope, std::string(def.name)})) continue;
      // Those of Kafka's authorizer have a table of their own there.
      EXPECT_TRUE(def.name.starts_with("drave.") || def.name == "super.users" ||
                  def.name == "allow.everyone.if.no.acl.found")
          << name << " " << def.name;
    }
  }
}

}  // namespace
}  // namespace drave::metadata
