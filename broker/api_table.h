#pragma once
// The APIs that this node serves, each with its handler: one table, from which ApiVersions is
// answered, so that it lists exactly what works.

#include <cstdint>
#include <span>

#include "broker/net/request.h"
#include "protocol/api_key.h"

namespace drave::broker {

struct ApiEntry {
  protocol::ApiKey key;
  std::int16_t version_min;
  std::int16_t version_max;
  std::uint8_t listeners;  // kListenerBroker, kListenerController
  Handler handler;
  bool accepts(std::int16_t version) const {
    return version_min <= version && version <= version_max;
  }
};

// By key, ascending.
std::span<const ApiEntry> api_table();
// Null: not served on such a listener.
const ApiEntry* find_api(std::int16_t key, bool controller_listener);

// Answers a request in a version that we do not serve: ApiVersions with version 0 and
// UNSUPPORTED_VERSION, all others by closing the connection, as Kafka does; both after the answers
// before it.
void refuse_version(Response& response, const ApiEntry& api);

}  // namespace drave::broker
