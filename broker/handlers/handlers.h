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
io::Task<void> handle_create_topics(Request request);
io::Task<void> handle_delete_topics(Request request);
io::Task<void> handle_delete_records(Request request);
io::Task<void> handle_init_producer_id(Request request);
io::Task<void> handle_offset_for_leader_epoch(Request request);
io::Task<void> handle_describe_configs(Request request);
io::Task<void> handle_alter_configs(Request request);
io::Task<void> handle_create_acls(Request request);
io::Task<void> handle_delete_acls(Request request);
io::Task<void> handle_describe_acls(Request request);
io::Task<void> handle_describe_log_dirs(Request request);
io::Task<void> handle_create_partitions(Request request);
io::Task<void> handle_incremental_alter_configs(Request request);
io::Task<void> handle_describe_quorum(Request request);
io::Task<void> handle_update_features(Request request);
io::Task<void> handle_describe_cluster(Request request);
io::Task<void> handle_describe_producers(Request request);
io::Task<void> handle_describe_topic_partitions(Request request);

}  // namespace drave::broker
