#pragma once
// One handler per API, each in the file of its name (small relatives share one).
// broker/api_table.cc lists them with their versions.

#include "broker/net/request.h"
#include "io/task.h"

namespace drave::broker {

io::Task<void> handle_produce(Request request);
io::Task<void> handle_fetch(Request request);
io::Task<void> handle_list_offsets(Request request);
io::Task<void> handle_metadata(Request request);
io::Task<void> handle_find_coordinator(Request request);
io::Task<void> handle_api_versions(Request request);
io::Task<void> handle_delete_records(Request request);
io::Task<void> handle_init_producer_id(Request request);
io::Task<void> handle_offset_for_leader_epoch(Request request);
io::Task<void> handle_describe_configs(Request request);
io::Task<void> handle_list_config_resources(Request request);
io::Task<void> handle_create_acls(Request request);
io::Task<void> handle_delete_acls(Request request);
io::Task<void> handle_describe_acls(Request request);
io::Task<void> handle_describe_log_dirs(Request request);
io::Task<void> handle_describe_cluster(Request request);
io::Task<void> handle_describe_producers(Request request);
io::Task<void> handle_describe_topic_partitions(Request request);

// What the active controller decides, asked of any node.
io::Task<void> handle_create_topics(Request request);
io::Task<void> handle_delete_topics(Request request);
io::Task<void> handle_create_partitions(Request request);
io::Task<void> handle_elect_leaders(Request request);
io::Task<void> handle_incremental_alter_configs(Request request);
io::Task<void> handle_alter_configs(Request request);
io::Task<void> handle_update_features(Request request);
io::Task<void> handle_unregister_broker(Request request);
io::Task<void> handle_describe_quorum(Request request);
io::Task<void> handle_add_raft_voter(Request request);
io::Task<void> handle_remove_raft_voter(Request request);

// On a controller's listener.
io::Task<void> handle_vote(Request request);
io::Task<void> handle_begin_quorum_epoch(Request request);
io::Task<void> handle_end_quorum_epoch(Request request);
io::Task<void> handle_metadata_fetch(Request request);
io::Task<void> handle_fetch_snapshot(Request request);
io::Task<void> handle_update_raft_voter(Request request);
io::Task<void> handle_envelope(Request request);
io::Task<void> handle_broker_registration(Request request);
io::Task<void> handle_broker_heartbeat(Request request);
io::Task<void> handle_controller_registration(Request request);
io::Task<void> handle_allocate_producer_ids(Request request);
io::Task<void> handle_assign_replicas_to_dirs(Request request);

}  // namespace drave::broker
