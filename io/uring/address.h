#pragma once
// SocketAddress to and from the kernel's form.

#include <netinet/in.h>
#include <sys/socket.h>

#include <optional>
#include <vector>

#include "io/operation.h"

namespace drave::io {

struct KernelAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// Without asking anybody: the host must be a number. Empty: it is a name.
std::optional<KernelAddress> numeric_address(const SocketAddress& address);

// Asks the resolver, which may take seconds; addresses in the order in which to try them. Empty
// with *system set to a positive errno that comes nearest to what the resolver said.
std::vector<KernelAddress> resolve(const SocketAddress& address, int* system);

SocketAddress from_kernel(const KernelAddress& address);

}  // namespace drave::io
