#pragma once
// Requests of clients that the active controller decides, as bytes: they come from a connection of
// this node or out of an Envelope that another node forwarded, and their answers leave the same
// way.
//
// Lives on shard 0. Pure but for the QuorumController that is asked.

#include <algorithm>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "broker/controller/quorum_controller.h"
#include "broker/security/access.h"
#include "broker/serving_image.h"
#include "protocol/api_key.h"
#include "protocol/messages/describe_quorum.h"

namespace drave::broker {

// Who asks, as the controller judges it.
struct Caller {
  std::string principal_type = "User";
  std::string principal_name = "ANONYMOUS";
  bool token_authenticated = false;
  std::string address;  // of the client: "10.0.0.1"
};

// An answer's body, encoded in the version of its request.
struct Decision {
  std::vector<std::uint8_t> body;
  // Something in it was refused because this node is not the active controller (any more).
  bool not_controller = false;
};

// What the one that asks may do, for requests of which nobody has asked yet.
struct CallerRights {
  Access access;
  ServingImagePtr image;
};

struct ControllerRequest {
  protocol::ApiKey key;
  // Decodes `body`, asks `controller`, encodes what it answers. What `rights` do not allow is
  // refused; null: that has been done. Errors: those of decode() and encode(). `body` and `rights`
  // outlive the task.
  io::Task<Result<Decision>> (*decide)(QuorumController& controller, ByteView body,
                                       std::int16_t version, const CallerRights* rights);
};

// Null: such requests are not for the controller, or not from clients.
const ControllerRequest* find_controller_request(protocol::ApiKey key);

// Of requests that name no timeout, and the most that others wait: Kafka's request.timeout.ms.
inline constexpr Duration kClientWaitMax = seconds(30);

// How long a request waits for a decision, and for how much of that while no leader is known.
struct ClientWait {
  Duration most = kClientWaitMax;
  Duration leaderless = kClientWaitMax;
};

// Who asks for the state of the quorum wants to know that there is no leader, rather than to wait
// for one: then this node says what it knows.
inline constexpr ClientWait kQuorumViewWait{seconds(3), seconds(1)};

template <class Request>
ClientWait client_wait(const Request& request) {
  if constexpr (std::is_same_v<Request, protocol::DescribeQuorumRequest>) return kQuorumViewWait;
  ClientWait wait;
  if constexpr (requires { request.timeout_ms; })
    wait.most = milliseconds(
        std::clamp<std::int64_t>(request.timeout_ms, 0, kClientWaitMax.ns / 1'000'000));
  return wait;
}

}  // namespace drave::broker
