#include "tools/client/endpoint.h"

#include <fmt/format.h>

#include <charconv>

namespace drave::client {
namespace {

Result<Endpoint> parse_endpoint(std::string_view text) {
  Endpoint endpoint;
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos)
      return failure(Errc::invalid, fmt::format("{}: the bracket is not closed", text));
    endpoint.host = text.substr(1, end - 1);
    std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && rest.front() != ':')
      return failure(Errc::invalid, fmt::format("{}: expected [address]:port", text));
    if (!rest.empty()) port = rest.substr(1);
  } else {
    const std::size_t colon = text.rfind(':');
    endpoint.host = text.substr(0, colon);
    if (endpoint.host.find(':') != std::string::npos)
      return failure(Errc::invalid,
                     fmt::format("{}: write IPv6 addresses as [address]:port", text));
    if (colon != std::string_view::npos) port = text.substr(colon + 1);
    if (colon + 1 == text.size())
      return failure(Errc::invalid, fmt::format("{}: the port is missing", text));
  }
  if (endpoint.host.empty())
    return failure(Errc::invalid, fmt::format("\"{}\": expected host:port", text));
  if (port.empty()) return endpoint;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
  if (error != std::errc{} || end != port.data() + port.size() || endpoint.port == 0)
    return failure(Errc::invalid, fmt::format("{}: the port must be 1 to 65535", text));
  return endpoint;
}

}  // namespace

std::string Endpoint::to_string() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                             : fmt::format("[{}]:{}", host, port);
}

Result<std::vector<Endpoint>> parse_endpoints(std::string_view text) {
  std::vector<Endpoint> endpoints;
  while (true) {
    const std::size_t comma = text.find(',');
    TRY(Endpoint endpoint, parse_endpoint(text.substr(0, comma)));
    endpoints.push_back(std::move(endpoint));
    if (comma == std::string_view::npos) return endpoints;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace drave::client
