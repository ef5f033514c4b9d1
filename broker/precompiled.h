#pragma once
// The precompiled headers of the node; see base/precompiled.h.

#include "broker/config/broker_config.h"
#include "io/mailbox.h"
#include "io/socket.h"
#include "metadata/authorizer.h"
#include "metadata/image.h"
#include "raftlog/net/rpc_client.h"
#include "raftlog/raft_log.h"
#include "segments/log_directory.h"
#include "segments/precompiled.h"
