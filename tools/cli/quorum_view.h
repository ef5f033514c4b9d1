#pragma once
// Who leads the metadata log, found through whatever node is asked; and where nobody leads, what is
// to be said of it. For the verbs of `quorum`, and for all that wait for a controller.

#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "protocol/messages/describe_quorum.h"
#include "tools/cli/context.h"
#include "tools/client/client.h"

namespace drave::cli {

// A voter's endpoint: where controllers reach it.
struct ControllerEndpoint {
  std::string listener;
  client::Endpoint at;
};

// What a voter says when it is asked itself.
struct VoterAnswer {
  NodeId id = -1;
  Uuid directory;
  std::optional<ControllerEndpoint> endpoint;
  bool is_reached = false;
  LeaderEpoch epoch = -1;
  NodeId leader = -1;
};

// What one node says of the quorum, and the connection over which it did. The leader's own view
// where `is_led`; else that of a node that heard of none, with which each voter was then asked
// (`voters`), and `why_not` is that node's sentence.
struct QuorumView {
  using Answered = protocol::DescribeQuorumResponse;

  client::Client client;
  client::Answer<Answered> answer;
  bool is_led = true;
  std::string why_not;
  std::vector<VoterAnswer> voters;

  const Answered::PartitionData& partition() const {
    return answer.message.topics.front().partitions.front();
  }
  std::optional<ControllerEndpoint> endpoint_of(NodeId id) const;
  const Answered::ReplicaState* voter(NodeId id) const;
};

// Any of the nodes that -b names, brokers or controllers, may be the one that knows: one that does
// not lead is asked who does. Each has so long to answer. Errors: nobody answers, or none of those
// that do knows anything of the quorum.
Outcome<QuorumView> view_quorum(const std::string& bootstrap, int timeout_ms);

// The leader's; a failure that says what is wrong where nobody leads.
Outcome<QuorumView> find_leader(const Context& context);

// Of a view without a leader: so few voters answer that they can elect none.
bool lacks_majority(const QuorumView& view);
// How many of the voters answer, and how many are needed.
Failure no_leader(const QuorumView& view);

}  // namespace drave::cli
