#pragma once
// Second stage of load_broker_config(): listeners and the quorum's addresses, which depend on each
// other. Private to broker/config.

#include "broker/config/broker_config.h"
#include "broker/config/settings.h"

namespace drave::broker {

// "host:port" or "[v6]:port"; an empty host is allowed.
struct Address {
  std::string host;
  std::uint16_t port = 0;
};
Result<Address> parse_address(std::string_view text);

// "NAME://host:port", the name in any case. The protocol is left plaintext.
Result<Endpoint> parse_endpoint(std::string_view text);

// Fills the fields of `config` that have to do with listeners and the quorum; node_id must be
// there. What is wrong is noted in `settings`.
void read_listeners(Settings& settings, const Machine& machine, BrokerConfig& config);

}  // namespace drave::broker
