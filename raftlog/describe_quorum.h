#pragma once
// The answer to DescribeQuorum. Pure.
//
// Only the leader knows how far the others are. Who does not lead says so with its error, as Kafka
// does, and beside it what Kafka's does not: `why_not`, and the voters as far as it knows them, so
// that a tool can go on to the leader, or show what is wrong.

#include <string_view>

#include "protocol/messages/describe_quorum.h"
#include "protocol/owned_message.h"
#include "raftlog/raft_log.h"

namespace drave::raft {

protocol::OwnedMessage<protocol::DescribeQuorumResponse> describe_quorum_answer(
    const QuorumStatus& status, bool is_leader, std::string_view why_not,
    const protocol::DescribeQuorumRequest& request, std::int16_t version);

}  // namespace drave::raft
