#include "metadata/config/describe.h"

#include <fmt/format.h>

namespace drave::metadata {
namespace {

std::optional<std::string> shown(const ConfigDef* def, std::string_view value) {
  if (def == nullptr || def->sensitive()) return std::nullopt;
  const auto canonical = canonical_value(*def, value);
  return canonical ? *canonical : std::string(value);
}

std::string documentation_of(const ConfigDef& def) {
  std::string words =
      fmt::format("{} of a {}.", def.name,
                  def.scope == ConfigScope::broker  ? "node"
                  : def.scope == ConfigScope::topic ? "topic"
                  : def.scope == ConfigScope::group ? "group"
                                                    : "client metrics subscription");
  if (def.treatment == Treatment::no_effect) words += fmt::format(" No effect here: {}.", def.note);
  if (def.treatment == Treatment::refused) words += fmt::format(" Refused here: {}.", def.note);
  return words;
}

ConfigEntry entry_of(const ConfigDef& def) {
  ConfigEntry entry;
  entry.name = def.name;
  entry.type = def.type;
  entry.sensitive = def.sensitive();
  entry.documentation = documentation_of(def);
  return entry;
}

// The values of `names` in one map.
void add_synonyms(std::vector<ConfigSynonym>& out, const ConfigMap& map, std::string_view names,
                  ConfigSource source) {
  for (const std::string& name : list_of(names)) {
    const auto found = map.find(name);
    if (found == map.end()) continue;
    out.push_back({name, shown(find_config(ConfigScope::broker, name), found->second), source});
  }
}

void add_node_synonyms(std::vector<ConfigSynonym>& out, const ConfigLayers& layers,
                       std::string_view names) {
  add_synonyms(out, layers.dynamic_broker, names, ConfigSource::dynamic_broker);
  add_synonyms(out, layers.dynamic_default, names, ConfigSource::dynamic_default_broker);
  add_synonyms(out, layers.fixed, names, ConfigSource::static_broker);
  for (const std::string& name : list_of(names)) {
    const ConfigDef* def = find_config(ConfigScope::broker, name);
    if (def == nullptr || !def->default_text) continue;
    out.push_back({name, shown(def, *def->default_text), ConfigSource::default_config});
  }
}

ConfigEntry entry_by_synonyms(const ConfigDef& def, const ConfigLayers& layers) {
  const bool of_group = def.scope == ConfigScope::group;
  ConfigEntry entry = entry_of(def);
  if (auto resolved = resolve_config(def, layers)) {
    entry.source = resolved->source;
    if (!def.sensitive()) entry.value = std::move(resolved->value);
  }
  if (const auto found = layers.topic.find(def.name); found != layers.topic.end()) {
    entry.synonyms.push_back({entry.name, shown(&def, found->second),
                              of_group ? ConfigSource::group : ConfigSource::dynamic_topic});
  }
  add_node_synonyms(entry.synonyms, layers, def.synonyms);
  if (def.synonyms.empty() && def.default_text) {
    entry.synonyms.push_back(
        {entry.name, shown(&def, *def.default_text), ConfigSource::default_config});
  }
  return entry;
}

std::vector<ConfigEntry> describe_by_synonyms(ConfigScope scope, const ConfigLayers& layers) {
  std::vector<ConfigEntry> entries;
  for (const ConfigDef& def : all_configs(scope))
    if (!def.internal) entries.push_back(entry_by_synonyms(def, layers));
  return entries;
}

// The key behind "listener.name.<listener>.[<mechanism>.]<key>"; null if it is not one.
const ConfigDef* prefixed_config(std::string_view name) {
  constexpr std::string_view kPrefix = "listener.name.";
  if (!name.starts_with(kPrefix)) return nullptr;
  name.remove_prefix(kPrefix.size());
  for (int words = 0; words < 2; ++words) {
    const std::size_t dot = name.find('.');
    if (dot == std::string_view::npos) return nullptr;
    name.remove_prefix(dot + 1);
    if (const ConfigDef* def = find_config(ConfigScope::broker, name)) return def;
  }
  return nullptr;
}

std::string_view names_beside(const ConfigDef& def) {
  if (def.name == "log.retention.ms")
    return "log.retention.ms,log.retention.minutes,log.retention.hours";
  if (def.name == "log.roll.ms") return "log.roll.ms,log.roll.hours";
  if (def.name == "log.roll.jitter.ms") return "log.roll.jitter.ms,log.roll.jitter.hours";
  if (def.name == "log.flush.interval.ms")
    return "log.flush.interval.ms,log.flush.scheduler.interval.ms";
  return def.name;
}

}  // namespace

std::vector<ConfigEntry> describe_topic_configs(const ConfigLayers& layers) {
  return describe_by_synonyms(ConfigScope::topic, layers);
}

std::optional<ConfigEntry> describe_topic_config(std::string_view name,
                                                 const ConfigLayers& layers) {
  const ConfigDef* def = find_config(ConfigScope::topic, name);
  if (def == nullptr || def->internal) return std::nullopt;
  return entry_by_synonyms(*def, layers);
}

std::vector<ConfigEntry> describe_group_configs(const ConfigLayers& layers) {
  return describe_by_synonyms(ConfigScope::group, layers);
}

std::vector<ConfigEntry> describe_client_metrics_configs(const ConfigMap& own) {
  std::vector<ConfigEntry> entries;
  for (const ConfigDef& def : all_configs(ConfigScope::client_metrics)) {
    ConfigEntry entry = entry_of(def);
    if (const auto found = own.find(def.name); found != own.end()) {
      entry.value = shown(&def, found->second);
      entry.source = ConfigSource::client_metrics;
      entry.synonyms.push_back({entry.name, entry.value, entry.source});
    } else if (def.default_text) {
      entry.value = shown(&def, *def.default_text);
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::vector<ConfigEntry> describe_broker_configs(const ConfigLayers& layers) {
  std::vector<ConfigEntry> entries;
  for (const ConfigDef& def : all_configs(ConfigScope::broker)) {
    if (def.internal) continue;
    ConfigEntry entry = entry_of(def);
    entry.read_only = def.mode == UpdateMode::read_only;
    add_node_synonyms(entry.synonyms, layers, names_beside(def));
    for (const ConfigSynonym& synonym : entry.synonyms) {
      if (synonym.name != def.name) continue;
      entry.value = synonym.value;
      entry.source = synonym.source;
      break;
    }
    entries.push_back(std::move(entry));
  }
  for (const auto* map : {&layers.dynamic_broker, &layers.dynamic_default, &layers.fixed}) {
    for (const auto& [name, value] : *map) {
      if (find_config(ConfigScope::broker, name) != nullptr) continue;
      const bool stronger =
          (map != &layers.dynamic_broker && layers.dynamic_broker.contains(name)) ||
          (map == &layers.fixed && layers.dynamic_default.contains(name));
      if (stronger) continue;
      ConfigEntry entry;
      const ConfigDef* def = prefixed_config(name);
      if (def != nullptr) entry = entry_of(*def);
      entry.name = name;
      entry.sensitive = def == nullptr || def->sensitive();  // unknown: as Kafka, better hidden
      entry.value = shown(def, value);
      entry.read_only = map == &layers.fixed;
      entry.source = map == &layers.dynamic_broker    ? ConfigSource::dynamic_broker
                     : map == &layers.dynamic_default ? ConfigSource::dynamic_default_broker
                                                      : ConfigSource::static_broker;
      entry.synonyms.push_back({entry.name, entry.value, entry.source});
      entries.push_back(std::move(entry));
    }
  }
  return entries;
}

std::vector<ConfigEntry> describe_default_broker_configs(const ConfigMap& dynamic_default) {
  std::vector<ConfigEntry> entries;
  for (const auto& [name, value] : dynamic_default) {
    const ConfigDef* def = find_config(ConfigScope::broker, name);
    ConfigEntry entry;
    if (def != nullptr) entry = entry_of(*def);
    entry.name = name;
    entry.sensitive = def == nullptr || def->sensitive();
    entry.value = shown(def, value);
    entry.source = ConfigSource::dynamic_default_broker;
    entry.synonyms.push_back({entry.name, entry.value, entry.source});
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace drave::metadata
