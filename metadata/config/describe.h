#pragma once
// What DescribeConfigs says of a topic, a group, a subscription to metrics or a node. Pure.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "metadata/config/topic_config.h"

namespace drave::metadata {

// What is told to those who look for a node's loggers among the configs.
inline constexpr std::string_view kWhereLogLevelsAre =
    "Log levels are changed by the key drave.log.level of the node's file.";

struct ConfigSynonym {
  std::string name;
  std::optional<std::string> value;  // nullopt: sensitive, or null
  ConfigSource source;
};

struct ConfigEntry {
  std::string name;
  std::optional<std::string> value;  // nullopt: sensitive, or null
  ConfigSource source = ConfigSource::default_config;
  ConfigType type = ConfigType::text;
  bool sensitive = false;
  bool read_only = false;               // a node's key that cannot change while it runs
  std::vector<ConfigSynonym> synonyms;  // every place that gives a value, the strongest first
  std::string documentation;            // a few words of ours; may be empty
};

// Every key that is not internal, sorted by name. A topic's own values of unknown keys are left
// out.
std::vector<ConfigEntry> describe_topic_configs(const ConfigLayers& layers);
// One of them; nothing: there is no such key. Who describes thousands of topics asks for the keys
// of which a topic has its own values, and once for the rest.
std::optional<ConfigEntry> describe_topic_config(std::string_view name, const ConfigLayers& layers);
std::vector<ConfigEntry> describe_group_configs(const ConfigLayers& layers);
// Of a subscription to clients' metrics: its own values, else the defaults.
std::vector<ConfigEntry> describe_client_metrics_configs(const ConfigMap& own);

// Every key of the node; `layers.topic` is not read. Keys with a prefix ("listener.name.", ...)
// that are given appear, too.
std::vector<ConfigEntry> describe_broker_configs(const ConfigLayers& layers);

// The cluster default: only what its records give.
std::vector<ConfigEntry> describe_default_broker_configs(const ConfigMap& dynamic_default);

}  // namespace drave::metadata
