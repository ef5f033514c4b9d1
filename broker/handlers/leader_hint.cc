#include "broker/handlers/leader_hint.h"

namespace drave::broker {

NodeId any_alive_broker(const metadata::Image& image, NodeId here) {
  const metadata::RegistrationImage* self = image.broker(here);
  if (self != nullptr && !self->fenced) return here;
  for (const auto& [id, broker] : image.brokers())
    if (!broker.fenced) return id;
  return -1;
}

}  // namespace drave::broker
