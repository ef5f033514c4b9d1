#include "io/uring/address.h"

#include <arpa/inet.h>
#include <netdb.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace drave::io {
namespace {

std::vector<KernelAddress> look_up(const SocketAddress& address, int flags, int* failed) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address.port);
  *failed = getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found);
  if (*failed != 0) return {};
  std::vector<KernelAddress> addresses;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    KernelAddress one;
    std::memcpy(&one.storage, at->ai_addr, at->ai_addrlen);
    one.size = at->ai_addrlen;
    addresses.push_back(one);
  }
  freeaddrinfo(found);
  return addresses;
}

}  // namespace

std::optional<KernelAddress> numeric_address(const SocketAddress& address) {
  int failed = 0;
  const auto found = look_up(address, AI_NUMERICHOST, &failed);
  if (found.empty()) return std::nullopt;
  return found.front();
}

std::vector<KernelAddress> resolve(const SocketAddress& address, int* system) {
  int failed = 0;
  auto found = look_up(address, AI_ADDRCONFIG, &failed);
  if (found.empty()) *system = failed == EAI_AGAIN ? EAGAIN : EHOSTUNREACH;
  return found;
}

SocketAddress from_kernel(const KernelAddress& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.storage.ss_family == AF_INET) {
    const auto* four = reinterpret_cast<const sockaddr_in*>(&address.storage);
    inet_ntop(AF_INET, &four->sin_addr, text, sizeof(text));
    return {text, ntohs(four->sin_port)};
  }
  if (address.storage.ss_family == AF_INET6) {
    const auto* six = reinterpret_cast<const sockaddr_in6*>(&address.storage);
    if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
      inet_ntop(AF_INET, &six->sin6_addr.s6_addr[12], text, sizeof(text));
    } else {
      inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof(text));
    }
    return {text, ntohs(six->sin6_port)};
  }
  return {};
}

}  // namespace drave::io
