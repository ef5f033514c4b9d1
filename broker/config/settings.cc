#include "broker/config/settings.h"

#include <fmt/format.h>

#include "base/assert.h"

namespace drave::broker {
namespace {

using metadata::ConfigDef;
using metadata::ConfigScope;
using metadata::Treatment;

constexpr std::string_view kLogLevelPrefix = "drave.log.level.";
constexpr std::string_view kListenerPrefix = "listener.name.";

// Errors after which no nearest key is looked for.
constexpr std::size_t kHintsMax = 8;

const ConfigDef* definition_of(std::string_view key) {
  if (key.starts_with(kLogLevelPrefix) && key.size() > kLogLevelPrefix.size()) {
    key = kLogLevelPrefix.substr(0, kLogLevelPrefix.size() - 1);
  }
  return metadata::find_config(ConfigScope::broker, key);
}

// "listener.name.<listener>.<key>" or "listener.name.<listener>.<mechanism>.<key>" of a known key.
bool is_listener_setting(std::string_view key) {
  if (!key.starts_with(kListenerPrefix)) return false;
  key.remove_prefix(kListenerPrefix.size());
  for (int words = 0; words < 2; ++words) {
    const std::size_t dot = key.find('.');
    if (dot == std::string_view::npos) return false;
    key.remove_prefix(dot + 1);
    if (metadata::find_config(ConfigScope::broker, key) != nullptr) return true;
  }
  return false;
}

}  // namespace

Settings::Settings(const std::vector<Property>& properties) {
  std::map<std::string_view, const Property*> last;
  for (const Property& property : properties) {
    const Property*& known = last[property.key];
    if (known != nullptr && known->where != kProfile && !property.where.starts_with("--")) {
      warnings_.push_back(fmt::format("{}: {} is given again; the value of {} does not count",
                                      property.where, property.key, known->where));
    }
    known = &property;
  }
  for (const Property& property : properties) {
    if (last.at(property.key) == &property) check(property);
  }
}

void Settings::check(const Property& property) {
  places_[property.key] = property.where;
  const ConfigDef* def = definition_of(property.key);
  if (def == nullptr) return check_unknown(property);
  auto plain = metadata::expand_units(*def, property.value);
  if (!plain) return error(property.key, plain.error().context);
  auto value = metadata::canonical_value(*def, *plain);
  if (!value) return error(property.key, value.error().context);
  const bool as_default = def->default_text == *value;
  if (def->treatment == Treatment::refused && !as_default) {
    return error(property.key, fmt::format("{} is refused: {}", property.key, def->note));
  }
  if (def->treatment == Treatment::no_effect && !as_default) {
    warning(property.key, fmt::format("{} has no effect: {}", property.key, def->note));
  }
  values_[property.key] = std::move(*value);
}

void Settings::check_unknown(const Property& property) {
  const std::string_view key = property.key;
  if (is_listener_setting(key)) {
    return warning(
        key, fmt::format("{} has no effect: listeners have no settings of their own yet", key));
  }
  if (key.starts_with("rsm.config.") || key.starts_with("rlmm.config.")) {
    return warning(key, fmt::format("{} has no effect: tiered storage is not served", key));
  }
  if (const std::string_view note = metadata::removed_config_note(key); !note.empty()) {
    return warning(key, fmt::format("{} has no effect: Kafka 4 dropped it; {}", key, note));
  }
  std::string sentence = fmt::format("there is no key '{}'", key);
  // Of a file that is none of ours there may be thousands.
  const std::string_view nearest = errors_.size() < kHintsMax
                                       ? metadata::nearest_config(ConfigScope::broker, key)
                                       : std::string_view();
  if (const ConfigDef* topic_key = metadata::find_config(ConfigScope::topic, key)) {
    const std::string_view synonym = topic_key->synonyms.substr(0, topic_key->synonyms.find(','));
    sentence += "; it is a key of topics";
    if (!synonym.empty()) sentence += fmt::format(", the default of all topics is '{}'", synonym);
  } else if (!nearest.empty()) {
    sentence += fmt::format("; did you mean '{}'?", nearest);
  }
  error(key, sentence);
}

std::string Settings::text(std::string_view key) const {
  if (const auto found = values_.find(key); found != values_.end()) return found->second;
  const ConfigDef* def = metadata::find_config(ConfigScope::broker, key);
  ASSERT(def != nullptr && def->default_text.has_value());
  return std::string(*def->default_text);
}

std::int64_t Settings::integer(std::string_view key) const {
  return metadata::integer_of(text(key));
}

bool Settings::boolean(std::string_view key) const {
  return metadata::boolean_of(text(key));
}

void Settings::error(std::string_view key, std::string_view sentence) {
  errors_.push_back(placed(key, sentence));
}

void Settings::warning(std::string_view key, std::string_view sentence) {
  warnings_.push_back(placed(key, sentence));
}

std::string Settings::placed(std::string_view key, std::string_view sentence) const {
  const auto place = places_.find(key);
  return place == places_.end() ? std::string(sentence)
                                : fmt::format("{}: {}", place->second, sentence);
}

}  // namespace drave::broker
