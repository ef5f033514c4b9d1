#pragma once
// The features of a cluster, as raftlog/core/features.h knows them (formatting a directory needs
// them below this floor).

#include "raftlog/core/features.h"

namespace drave::metadata {

using raft::broker_change_version;
using raft::changes_metadata;
using raft::check_levels;
using raft::default_levels;
using raft::find_feature;
using raft::kElrVersion;
using raft::kKraftVersion;
using raft::kMetadataVersion;
using raft::metadata_version_level;
using raft::metadata_version_name;
using raft::partition_version;
using raft::register_broker_version;
using raft::supported_features;
using raft::SupportedFeature;
namespace metadata_level = raft::metadata_level;

}  // namespace drave::metadata
