#pragma once
// How the metadata log is run, from the node's configuration.

#include <string>

#include "broker/config/broker_config.h"
#include "raftlog/raft_log.h"

namespace drave::broker {

raft::RaftOptions raft_options(const BrokerConfig& config, std::string cluster_id,
                               const Uuid& directory_id);

}  // namespace drave::broker
