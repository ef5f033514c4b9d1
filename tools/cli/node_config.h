#pragma once
// What a node's server.properties says, for verbs that do something in the node's name.

#include <string>

#include "broker/config/broker_config.h"
#include "tools/cli/outcome.h"

namespace drave::cli {

// Warnings go to stderr. Failures: not_found (the file), usage (all that is wrong with it).
Outcome<broker::BrokerConfig> load_node_config(const std::string& file);

}  // namespace drave::cli
