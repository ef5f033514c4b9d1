#pragma once
// Where brokers listen, as users write it.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace drave::client {

inline constexpr std::uint16_t kDefaultPort = 9092;

struct Endpoint {
  std::string host;  // a name or an address, without brackets
  std::uint16_t port = kDefaultPort;

  std::string to_string() const;
  bool operator==(const Endpoint&) const = default;
};

// "host", "host:port", "[::1]:port", several with commas between them. Errc::invalid says what is
// wrong with which.
Result<std::vector<Endpoint>> parse_endpoints(std::string_view text);

}  // namespace drave::client
