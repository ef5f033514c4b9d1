#pragma once
// Why the active controller does not register this broker: for the log, for people.

#include <string>

#include "base/ids.h"
#include "protocol/error_code.h"

namespace drave::broker {

struct RegistrationRefusal {
  // It will never take this broker as it is: the node ends. Kafka asks again until
  // initial.broker.registration.timeout.ms is over, and ends then; so does this node otherwise.
  bool is_final = false;
  std::string why;  // and what to do about it
};

RegistrationRefusal registration_refusal(protocol::ErrorCode error, NodeId broker);

}  // namespace drave::broker
