#pragma once
// Every configuration key that Kafka 4.3 or Drave knows, as one table, and the syntax of its
// values.
//
// The table is made from the *.keys files of this folder when the program is built; it says what
// Kafka says of a key (type, default, rule, importance, how it changes) and what Drave does with it
// (Treatment). Values travel as text in canonical form: what Kafka shows of them, trimmed, lists
// joined by ',', numbers plain. Pure; no state; all views into the table live for ever.

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace drave::metadata {

// Keys and values as they stand in records and requests.
using ConfigMap = std::map<std::string, std::string, std::less<>>;

enum class ConfigScope : std::uint8_t {
  broker,
  topic,
  group,
  client_metrics,
  quota_user_client,
  quota_ip,
};

// The numbers are those of DescribeConfigs' ConfigType.
enum class ConfigType : std::int8_t {
  boolean = 1,
  text = 2,
  int32 = 3,
  int16 = 4,
  int64 = 5,
  float64 = 6,
  list = 7,
  class_name = 8,
  password = 9,  // the only sensitive type: clients never see such a value
};

enum class Importance : std::uint8_t { high, medium, low };

// How a node's key changes while the node runs.
enum class UpdateMode : std::uint8_t { read_only, per_broker, cluster_wide };

enum class Treatment : std::uint8_t {
  honoured,
  no_effect,  // accepted; `note` says why it does nothing here
  refused,    // only Kafka's default is accepted; `note` says why and what to do
};

enum class Unit : std::uint8_t { none, bytes, ms, seconds, minutes, hours };

struct ConfigDef {
  ConfigScope scope;
  std::string_view name;
  ConfigType type;
  std::optional<std::string_view> default_text;  // canonical
  std::string_view rule;                         // see broker.keys; empty: any value of the type
  Importance importance;
  UpdateMode mode;
  Treatment treatment;
  std::string_view note;
  std::string_view
      synonyms;  // of a topic or group key: keys of the node, ',' between, strongest first
  Unit unit;
  bool internal;  // never described to clients

  bool sensitive() const { return type == ConfigType::password; }
};

// The keys of a scope, sorted by name.
std::span<const ConfigDef> all_configs(ConfigScope scope);

// Null: no such key.
const ConfigDef* find_config(ConfigScope scope, std::string_view name);

// The key that somebody who wrote `name` most likely meant; empty if none is near.
std::string_view nearest_config(ConfigScope scope, std::string_view name);

// What became of a key that Kafka had before 4.0; empty if it never had that one.
std::string_view removed_config_note(std::string_view name);

// The canonical form of `text`, or Errc::invalid whose context is Kafka's own sentence ("Invalid
// value x for configuration retention.ms: Not a number of type LONG"), fit to be sent to a client.
// The text of a password is never part of it.
Result<std::string> canonical_value(const ConfigDef& def, std::string_view text);

// Turns "512MiB" or "7d" into a plain number in the key's unit; a text without a unit of size or
// time is returned as it is. For files and command lines only: Kafka's protocol knows plain
// numbers. Errc::invalid: a unit that the key does not take, a value that is no whole number in the
// key's unit.
Result<std::string> expand_units(const ConfigDef& def, std::string_view text);

// The error "Invalid value VALUE for configuration NAME: WHY".
Error invalid_value(const ConfigDef& def, std::string_view value, std::string_view why);

// Readings of a canonical value of the fitting type.
bool boolean_of(std::string_view canonical);
std::int64_t integer_of(std::string_view canonical);
double double_of(std::string_view canonical);
std::vector<std::string> list_of(std::string_view canonical);

// "LONG" and the like, as Kafka's sentences name types.
std::string_view to_string(ConfigType type);

// Java's String.trim: cuts blanks and control characters off both ends.
std::string_view trim(std::string_view text);

}  // namespace drave::metadata
