#include "metadata/config/config_def.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace drave::metadata {
namespace {

const ConfigDef& topic_key(std::string_view name) {
  const ConfigDef* def = find_config(ConfigScope::topic, name);
  EXPECT_NE(def, nullptr) << name;
  return *def;
}

const ConfigDef& broker_key(std::string_view name) {
  const ConfigDef* def = find_config(ConfigScope::broker, name);
  EXPECT_NE(def, nullptr) << name;
  return *def;
}

std::string canonical(const ConfigDef& def, std::string_view text) {
  const auto value = canonical_value(def, text);
  return value ? *value : "error: " + value.error().context;
}

std::string expanded(const ConfigDef& def, std::string_view text) {
  const auto value = expand_units(def, text);
  return value ? *value : "error: " + value.error().context;
}

TEST(ConfigTable, scopes_are_sorted_and_found) {
  std::size_t keys = 0;
  for (const auto scope :
       {ConfigScope::broker, ConfigScope::topic, ConfigScope::group, ConfigScope::client_metrics,
        ConfigScope::quota_user_client, ConfigScope::quota_ip}) {
    const auto all = all_configs(scope);
    EXPECT_FALSE(all.empty());
    keys += all.size();
    EXPECT_TRUE(std::is_sorted(all.begin(), all.end(),
                               [](const auto& a, const auto& b) { return a.name < b.name; }));
    for (const ConfigDef& def : all) EXPECT_EQ(find_config(scope, def.name), &def);
  }
  EXPECT_EQ(keys, 428U);  // Kafka's 419, 2 of its authorizer's, 7 of ours
  EXPECT_EQ(find_config(ConfigScope::topic, "log.dirs"), nullptr);
  EXPECT_EQ(find_config(ConfigScope::broker, ""), nullptr);
}

TEST(ConfigTable, every_default_follows_its_own_rule_and_is_canonical) {
  for (const auto scope : {ConfigScope::broker, ConfigScope::topic, ConfigScope::group}) {
    for (const ConfigDef& def : all_configs(scope)) {
      if (!def.default_text) continue;
      EXPECT_EQ(canonical(def, *def.default_text), *def.default_text) << def.name;
    }
  }
}

TEST(ConfigTable, synonyms_are_keys_of_the_node) {
  for (const auto scope : {ConfigScope::topic, ConfigScope::group}) {
    for (const ConfigDef& def : all_configs(scope)) {
      for (const std::string& name : list_of(def.synonyms)) {
        EXPECT_NE(find_config(ConfigScope::broker, name), nullptr) << def.name << ": " << name;
      }
    }
  }
}

TEST(ConfigTable, a_key_without_effect_or_refused_says_why) {
  for (const ConfigDef& def : all_configs(ConfigScope::broker)) {
    EXPECT_EQ(def.note.empty(), def.treatment == Treatment::honoured) << def.name;
  }
  EXPECT_EQ(broker_key("config.providers").treatment, Treatment::refused);
  EXPECT_EQ(broker_key("num.io.threads").treatment, Treatment::no_effect);
}

TEST(ConfigTable, the_nearest_key_is_named) {
  const auto nearest = [](std::string_view name) {
    return nearest_config(ConfigScope::broker, name);
  };
  EXPECT_EQ(nearest("log.retnetion.ms"), "log.retention.ms");
  EXPECT_EQ(nearest("listener"), "listeners");
  EXPECT_EQ(nearest("num_partitions"), "num.partitions");
  EXPECT_EQ(nearest("partitions.num"), "num.partitions");
  EXPECT_EQ(nearest("Log.Dirs"), "log.dirs");
  EXPECT_EQ(nearest("drave.shard"), "drave.shards");
  EXPECT_EQ(nearest("completely.different"), "");
  EXPECT_EQ(nearest(""), "");
  EXPECT_EQ(nearest(std::string(10'000, 'x')), "");
}

TEST(ConfigValue, integers_are_read_as_java_reads_them) {
  const ConfigDef& retention = topic_key("retention.ms");
  EXPECT_EQ(canonical(retention, " 5 "), "5");
  EXPECT_EQ(canonical(retention, "+5"), "5");
  EXPECT_EQ(canonical(retention, "-1"), "-1");
  EXPECT_EQ(canonical(retention, "007"), "7");
  EXPECT_EQ(canonical(retention, "9223372036854775807"), "9223372036854775807");
  for (const std::string_view bad :
       {"x", "", "5x", "0x5", "1.0", "+-5", "9223372036854775808", "7d", "--5", "+"}) {
    EXPECT_EQ(canonical(retention, bad),
              "error: Invalid value " + std::string(bad) +
                  " for configuration retention.ms: Not a number of type "
                  "LONG");
  }
  EXPECT_EQ(canonical(retention, "-2"),
            "error: Invalid value -2 for configuration retention.ms: Value must be at least -1");
  EXPECT_EQ(
      canonical(topic_key("segment.bytes"), "99999999999"),
      "error: Invalid value 99999999999 for configuration segment.bytes: Not a number of type "
      "INT");
  EXPECT_EQ(canonical(broker_key("sasl.login.refresh.buffer.seconds"), "70000"),
            "error: Invalid value 70000 for configuration sasl.login.refresh.buffer.seconds: Not a "
            "number of type SHORT");
}

TEST(ConfigValue, ranges_have_kafkas_words) {
  EXPECT_EQ(
      canonical(topic_key("compression.lz4.level"), "18"),
      "error: Invalid value 18 for configuration compression.lz4.level: Value must be no more "
      "than 17");
  EXPECT_EQ(
      canonical(topic_key("compression.gzip.level"), "0"),
      "error: Invalid value 0 for configuration compression.gzip.level: Value must be between 1 "
      "and 9 or equal to -1");
  EXPECT_EQ(canonical(topic_key("compression.gzip.level"), "-1"), "-1");
  EXPECT_EQ(canonical(topic_key("compression.gzip.level"), "9"), "9");
  EXPECT_EQ(canonical(topic_key("compression.zstd.level"), "-131072"), "-131072");
  EXPECT_EQ(canonical(topic_key("segment.bytes"), "1048575"),
            "error: Invalid value 1048575 for configuration segment.bytes: Value must be at least "
            "1048576");
}

TEST(ConfigValue, booleans_in_any_case) {
  const ConfigDef& preallocate = topic_key("preallocate");
  EXPECT_EQ(canonical(preallocate, "TRUE"), "true");
  EXPECT_EQ(canonical(preallocate, " false "), "false");
  EXPECT_EQ(canonical(preallocate, ""),
            "error: Invalid value  for configuration preallocate: Expected "
            "value to be either true or false");
}

TEST(ConfigValue, doubles_print_as_java_prints_them) {
  const ConfigDef& rate = broker_key("log.cleaner.io.max.bytes.per.second");
  EXPECT_EQ(canonical(rate, "5"), "5.0");
  EXPECT_EQ(canonical(rate, "0.90"), "0.9");
  EXPECT_EQ(canonical(rate, "100"), "100.0");
  EXPECT_EQ(canonical(rate, "1e9"), "1.0E9");
  EXPECT_EQ(canonical(rate, "12345678"), "1.2345678E7");
  EXPECT_EQ(canonical(rate, "9999999"), "9999999.0");
  EXPECT_EQ(canonical(rate, "0.001"), "0.001");
  EXPECT_EQ(canonical(rate, "0.0001"), "1.0E-4");
  EXPECT_EQ(canonical(rate, "-0.25"), "-0.25");
  EXPECT_EQ(canonical(rate, "0"), "0.0");
  EXPECT_EQ(canonical(rate, "0.5d"), "0.5");
  EXPECT_EQ(canonical(rate, "1.7976931348623157E308"), "1.7976931348623157E308");
  for (const std::string_view bad : {"x", "", "NaN", "1e999", "1,5", "d"}) {
    EXPECT_EQ(canonical(rate, bad).substr(0, 5), "error") << bad;
  }
  EXPECT_EQ(
      canonical(topic_key("min.cleanable.dirty.ratio"), "1.5"),
      "error: Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no "
      "more than 1");
}

TEST(ConfigValue, lists_are_trimmed_and_hold_each_item_once) {
  const ConfigDef& policy = topic_key("cleanup.policy");
  EXPECT_EQ(canonical(policy, " compact , delete "), "compact,delete");
  EXPECT_EQ(canonical(policy, "delete,delete"), "delete");
  EXPECT_EQ(canonical(policy, ""), "");
  EXPECT_EQ(canonical(policy, "Compact"),
            "error: Invalid value Compact for configuration "
            "cleanup.policy: String must be one of: compact, delete");
  EXPECT_EQ(canonical(policy, "compact,"),
            "error: Configuration 'cleanup.policy' values must not be empty.");
  EXPECT_EQ(
      canonical(broker_key("log.dirs"), " "),
      "error: Configuration 'log.dirs' must not be empty. Valid values include: any non-empty "
      "value");
  EXPECT_EQ(
      canonical(broker_key("process.roles"), ""),
      "error: Configuration 'process.roles' must not be empty. Valid values include: [broker, "
      "controller]");
  EXPECT_EQ(list_of("a,b"), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(list_of("").empty());
}

TEST(ConfigValue, throttled_replicas_are_pairs_or_a_star) {
  const ConfigDef& throttle = topic_key("leader.replication.throttled.replicas");
  EXPECT_EQ(canonical(throttle, "*"), "*");
  EXPECT_EQ(canonical(throttle, "0:1, 2:3"), "0:1,2:3");
  EXPECT_EQ(canonical(throttle, ""), "");
  for (const std::string_view bad : {"x", "*,0:1", "0:", ":1", "0:1,", "-1:1"}) {
    EXPECT_EQ(canonical(throttle, bad).substr(0, 5), "error") << bad;
  }
}

TEST(ConfigValue, share_groups_reset_to_an_end_or_a_duration) {
  const ConfigDef* reset = find_config(ConfigScope::group, "share.auto.offset.reset");
  ASSERT_NE(reset, nullptr);
  for (const std::string_view good : {"earliest", "latest", "by_duration:PT1H", "by_duration:P2D",
                                      "by_duration:P1DT1.5S", "by_duration:PT1H2M3S"}) {
    EXPECT_EQ(canonical(*reset, good), good);
  }
  for (const std::string_view bad :
       {"LATEST", "by_duration:", "by_duration:P", "by_duration:PT", "by_duration:-PT1H",
        "by_duration:PT1", "by_duration:P1H", "by_duration:PT1S1H", "by_duration:PT1.5H"}) {
    EXPECT_EQ(canonical(*reset, bad).substr(0, 5), "error") << bad;
  }
}

TEST(ConfigValue, addresses_of_the_quorum) {
  const ConfigDef& voters = broker_key("controller.quorum.voters");
  EXPECT_EQ(canonical(voters, "1@localhost:9093"), "1@localhost:9093");
  EXPECT_EQ(canonical(voters, ""), "");
  for (const std::string_view bad :
       {"x", "1@localhost", "@h:1", "1@h:", "1@h:99999", "-1@h:1", "1@:5"}) {
    EXPECT_EQ(canonical(voters, bad).substr(0, 5), "error") << bad;
  }
  EXPECT_EQ(canonical(broker_key("controller.quorum.bootstrap.servers"), "h:9093"), "h:9093");
  EXPECT_EQ(canonical(broker_key("controller.quorum.bootstrap.servers"), "h").substr(0, 5),
            "error");
}

TEST(ConfigValue, the_text_of_a_password_is_in_no_error) {
  const ConfigDef& password = broker_key("ssl.key.password");
  EXPECT_TRUE(password.sensitive());
  EXPECT_EQ(invalid_value(password, "secret", "no").context,
            "Invalid value [hidden] for configuration ssl.key.password: no");
}

TEST(ConfigUnits, sizes_and_times_become_plain_numbers) {
  EXPECT_EQ(expanded(broker_key("log.segment.bytes"), "512MiB"), "536870912");
  EXPECT_EQ(expanded(broker_key("log.segment.bytes"), " 512 MiB "), "536870912");
  EXPECT_EQ(expanded(broker_key("log.segment.bytes"), "512MB"), "512000000");
  EXPECT_EQ(expanded(broker_key("log.retention.ms"), "7d"), "604800000");
  EXPECT_EQ(expanded(broker_key("log.retention.ms"), "90s"), "90000");
  EXPECT_EQ(expanded(broker_key("log.retention.hours"), "7d"), "168");
  EXPECT_EQ(expanded(broker_key("log.retention.minutes"), "2h"), "120");
  EXPECT_EQ(expanded(broker_key("drave.journal.bytes"), "1GiB"), "1073741824");
  EXPECT_EQ(expanded(broker_key("offsets.load.buffer.size"), "5MiB"), "5242880");
}

TEST(ConfigUnits, what_has_no_unit_stays_as_it_is) {
  EXPECT_EQ(expanded(broker_key("log.segment.bytes"), " 100 "), " 100 ");
  EXPECT_EQ(expanded(broker_key("log.retention.ms"), "-1"), "-1");
  EXPECT_EQ(expanded(broker_key("log.retention.ms"), ""), "");
  EXPECT_EQ(expanded(broker_key("log.retention.ms"), "x"), "x");
  EXPECT_EQ(expanded(broker_key("num.partitions"), "5d"), "5d");
  EXPECT_EQ(expanded(broker_key("log.dirs"), "5d"), "5d");
}

TEST(ConfigUnits, a_wrong_unit_is_an_error) {
  for (const auto& [key, text] : std::vector<std::pair<std::string_view, std::string_view>>{
           {"log.segment.bytes", "7d"},
           {"log.segment.bytes", "7mib"},
           {"log.retention.ms", "7MiB"},
           {"log.retention.ms", "7y"},
           {"log.retention.ms", "1.5h"},
           {"log.retention.hours", "90min"},
           {"log.retention.ms", "99999999999999999d"},
           {"log.retention.bytes", "9999999999999TiB"}}) {
    EXPECT_EQ(expanded(broker_key(key), text).substr(0, 5), "error") << key << "=" << text;
  }
  EXPECT_EQ(
      expanded(broker_key("log.retention.hours"), "90min"),
      "error: Invalid value 90min for configuration log.retention.hours: not a whole number of "
      "hours");
}

}  // namespace
}  // namespace drave::metadata
