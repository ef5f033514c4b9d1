#pragma once
// Requests of clients that the active controller decides, as bytes: they come from a connection of
// this node or out of an Envelope that another node forwarded, and their answers leave the same
// way.
//
// Lives on shard 0. Pure but for the QuorumController that is asked.

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "broker/controller/quorum_controller.h"
#include "broker/security/access.h"
#include "broker/serving_image.h"
#include "protocol/api_key.h"

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

// How long the client waits for a decision.
template <class Request>
Duration client_wait(const Request& request) {
  if constexpr (requires { request.timeout_ms; })
    return milliseconds(
        std::clamp<std::int64_t>(request.timeout_ms, 0, kClientWaitMax.ns / 1'000'000));
  return kClientWaitMax;
}

}  // namespace drave::broker
