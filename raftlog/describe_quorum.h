#pragma once
// The answer to DescribeQuorum. Pure.

#include "protocol/messages/describe_quorum.h"
#include "protocol/owned_message.h"
#include "raftlog/raft_log.h"

namespace drave::raft {

protocol::OwnedMessage<protocol::DescribeQuorumResponse> describe_quorum_answer(
    const QuorumStatus& status, bool is_leader, const protocol::DescribeQuorumRequest& request,
    std::int16_t version);

}  // namespace drave::raft
