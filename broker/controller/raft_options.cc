#include "broker/controller/raft_options.h"

namespace drave::broker {

raft::RaftOptions raft_options(const BrokerConfig& config, std::string cluster_id,
                               const Uuid& directory_id) {
  raft::RaftOptions options;
  options.cluster_id = std::move(cluster_id);
  options.node_id = config.node_id;
  options.directory_id = directory_id;
  options.voter_role = config.has_controller_role;
  options.auto_join = config.quorum_auto_join_enable;
  for (const QuorumVoter& voter : config.quorum_voters) {
    raft::Voter& added = options.static_voters.emplace_back();
    added.id = voter.id;
    added.endpoints.push_back({config.controller_listener_name, voter.host, voter.port});
  }
  for (const QuorumServer& server : config.quorum_bootstrap_servers)
    options.bootstrap_servers.push_back({server.host, server.port});
  options.fetch_bytes_max = static_cast<std::size_t>(config.quorum_fetch_bytes_max);
  options.snapshot_bytes_max = static_cast<std::size_t>(config.quorum_snapshot_bytes_max);
  const Endpoint& endpoint = config.advertised_controller_listener;
  options.endpoint = {endpoint.listener, endpoint.host, endpoint.port};
  options.timers.election_timeout = milliseconds(config.quorum_election_timeout_ms);
  options.timers.election_backoff_max = milliseconds(config.quorum_election_backoff_ms_max);
  options.timers.fetch_timeout = milliseconds(config.quorum_fetch_timeout_ms);
  options.timers.request_timeout = milliseconds(config.quorum_request_timeout_ms);
  options.timers.retry_backoff = milliseconds(config.quorum_retry_backoff_ms);
  options.log.segment_bytes = config.metadata_segment_bytes;
  options.log.segment_ms = config.metadata_segment_ms;
  options.log.retention_ms = -1;
  options.log.retention_bytes = -1;
  options.retention_bytes = config.metadata_retention_bytes;
  options.retention_ms = config.metadata_retention_ms;
  return options;
}

}  // namespace drave::broker
