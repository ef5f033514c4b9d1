#pragma once
// Whether a resource may have these configurations, decided as Kafka's controller and broker decide
// it.
//
// Each function takes all the configurations that the resource would have after the change, as
// plain text from a request. Errors are Errc::invalid with the sentence that the client is told
// (context); the code is INVALID_CONFIG, but where a comment says INVALID_REQUEST. A null value is
// the caller's to refuse ("Null value not supported for topic configs: a,b"). Pure.

#include <string_view>

#include "metadata/config/topic_config.h"

namespace drave::metadata {

// `layers.topic` are the wanted configurations, the others give the values of keys it does not
// name. A node's own values never make a wanted set invalid by themselves.
Result<void> validate_topic_configs(const ConfigLayers& layers);

Result<void> validate_group_configs(const ConfigMap& wanted);

Result<void> validate_client_metrics_configs(const ConfigMap& wanted);

enum class BrokerResource : std::uint8_t {
  node,             // BROKER with an id
  cluster_default,  // BROKER with an empty name
};

// Records of a node or of the cluster default. Read-only keys are refused; so are, with our words,
// keys whose new value Drave refuses. INVALID_REQUEST, as in Kafka. Unknown keys pass, as in Kafka
// (an unknown key in a file is an error all the same).
Result<void> validate_broker_configs(const ConfigMap& wanted, BrokerResource resource);

// What is told of a value that no record can hold (kTextLengthMax).
inline constexpr std::string_view kValueTooLong =
    "The configuration value cannot be added because it exceeds the maximum value size of 32767 "
    "bytes.";

// The canonical values of a valid set, as they go into records. Unknown keys stay as they are.
ConfigMap canonical_configs(ConfigScope scope, const ConfigMap& valid);

// True for a key whose values are lists, which APPEND and SUBTRACT may change.
bool is_list_config(ConfigScope scope, std::string_view name);

}  // namespace drave::metadata
