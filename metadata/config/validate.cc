#include "metadata/config/validate.h"

#include <fmt/format.h>

namespace drave::metadata {
namespace {

// Kafka names the unknown key before it looks at any value.
Result<void> validate_known(ConfigScope scope, const ConfigMap& wanted, std::string_view kind) {
  for (const auto& [name, value] : wanted) {
    if (find_config(scope, name) == nullptr) {
      return failure(Errc::invalid, fmt::format("Unknown {} config name: {}", kind, name));
    }
  }
  for (const auto& [name, value] : wanted) {
    const ConfigDef* def = find_config(scope, name);
    TRY(const std::string canonical, canonical_value(*def, value));
    if (def->treatment == Treatment::refused && def->default_text != canonical) {
      return std::unexpected(invalid_value(*def, value, def->note));
    }
  }
  return {};
}

std::string bracketed(const std::vector<std::string_view>& names) {
  return fmt::format("[{}]", fmt::join(names, ", "));
}

}  // namespace

Result<void> validate_topic_configs(const ConfigLayers& layers) {
  if (const auto found = layers.topic.find("remote.storage.enable");
      found != layers.topic.end() && trim(found->second) == "true") {
    return failure(Errc::invalid,
                   "Tiered Storage functionality is disabled in the broker. Topic cannot be "
                   "configured with remote log storage.");
  }
  TRY_VOID(validate_known(ConfigScope::topic, layers.topic, "topic"));
  if (!layers.topic.contains("min.compaction.lag.ms") &&
      !layers.topic.contains("max.compaction.lag.ms")) {
    return {};
  }
  const TopicConfig config = resolve_topic_config(layers);
  if (config.min_compaction_lag_ms > config.max_compaction_lag_ms) {
    return failure(Errc::invalid,
                   fmt::format("conflict topic config setting min.compaction.lag.ms ({}) > "
                               "max.compaction.lag.ms ({})",
                               config.min_compaction_lag_ms, config.max_compaction_lag_ms));
  }
  return {};
}

Result<void> validate_group_configs(const ConfigMap& wanted) {
  return validate_known(ConfigScope::group, wanted, "group");
}

Result<void> validate_client_metrics_configs(const ConfigMap& wanted) {
  for (const auto& [name, value] : wanted) {
    if (find_config(ConfigScope::client_metrics, name) == nullptr) {
      return failure(Errc::invalid, fmt::format("Unknown client metrics configuration: {}", name));
    }
  }
  return validate_known(ConfigScope::client_metrics, wanted, "client metrics");
}

Result<void> validate_broker_configs(const ConfigMap& wanted, BrokerResource resource) {
  std::vector<std::string_view> fixed;
  std::vector<std::string_view> security;
  std::vector<std::string_view> per_broker;
  for (const auto& [name, value] : wanted) {
    const ConfigDef* def = find_config(ConfigScope::broker, name);
    if (def == nullptr) continue;
    if (def->mode == UpdateMode::read_only) fixed.push_back(name);
    if (def->mode == UpdateMode::per_broker) {
      per_broker.push_back(name);
      if (name.starts_with("ssl.") || name.starts_with("sasl.")) security.push_back(name);
    }
  }
  if (!fixed.empty()) {
    return failure(Errc::invalid,
                   fmt::format("Cannot update these configs dynamically: {}", bracketed(fixed)));
  }
  if (!security.empty()) {
    return failure(
        Errc::invalid,
        fmt::format("These security configs can be dynamically updated only per-listener "
                    "using the listener prefix: {}",
                    bracketed(security)));
  }
  for (const auto& [name, value] : wanted) {
    const ConfigDef* def = find_config(ConfigScope::broker, name);
    if (def == nullptr) continue;
    TRY(const std::string canonical, canonical_value(*def, value));
    if (def->treatment == Treatment::refused && def->default_text != canonical) {
      return std::unexpected(invalid_value(*def, value, def->note));
    }
    if (name == "listeners" || name == "listener.security.protocol.map") {
      return std::unexpected(invalid_value(
          *def, value, "listeners do not change while the node runs yet; restart it"));
    }
  }
  if (resource == BrokerResource::cluster_default && !per_broker.empty()) {
    return failure(
        Errc::invalid,
        fmt::format("Cannot update these configs at default cluster level, broker id must "
                    "be specified: {}",
                    bracketed(per_broker)));
  }
  return {};
}

ConfigMap canonical_configs(ConfigScope scope, const ConfigMap& valid) {
  ConfigMap out;
  for (const auto& [name, value] : valid) {
    const ConfigDef* def = find_config(scope, name);
    const auto canonical =
        def != nullptr ? canonical_value(*def, value) : Result<std::string>(value);
    out.emplace(name, canonical ? *canonical : value);
  }
  return out;
}

bool is_list_config(ConfigScope scope, std::string_view name) {
  const ConfigDef* def = find_config(scope, name);
  return def != nullptr && def->type == ConfigType::list;
}

}  // namespace drave::metadata
