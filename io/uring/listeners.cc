#include "io/uring/listeners.h"

#include <netinet/tcp.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <mutex>

#include "io/uring/address.h"

namespace drave::io {
namespace {

// Addresses on which this process listens, with the number of its sockets there.
struct Registry {
  std::mutex mutex;
  std::map<std::pair<std::string, std::uint16_t>, int> sockets;
};
Registry& registry() {
  static Registry instance;
  return instance;
}

void set_option(int fd, int level, int name, int value = 1) {
  setsockopt(fd, level, name, &value, sizeof(value));
}

int bind_socket(const KernelAddress& address, bool share_port) {
  const int fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  set_option(fd, SOL_SOCKET, SO_REUSEADDR);
  if (share_port) set_option(fd, SOL_SOCKET, SO_REUSEPORT);
  set_option(fd, IPPROTO_TCP, TCP_NODELAY);  // inherited by what is accepted
  if (bind(fd, address.get(), address.size) == 0) return fd;
  const int system = errno;
  ::close(fd);
  return -system;
}

// Would bind without SO_REUSEPORT, thus only if nobody else has the port.
int check_free(const KernelAddress& address) {
  const int fd = bind_socket(address, false);
  if (fd < 0) return fd;
  ::close(fd);
  return 0;
}

std::vector<KernelAddress> addresses_to_try(const SocketAddress& address, int* system) {
  if (!address.host.empty()) return resolve(address, system);
  // All interfaces: IPv6 takes IPv4 along, unless the machine has no IPv6.
  std::vector<KernelAddress> any;
  for (const char* host : {"::", "0.0.0.0"}) {
    const auto one = numeric_address({host, address.port});
    if (one) any.push_back(*one);
  }
  return any;
}

}  // namespace

Listeners::~Listeners() {
  while (!open_.empty()) forget(open_.back().first);
}

int Listeners::open(Operation& operation) {
  SocketAddress& address = operation.address;
  int system = EADDRNOTAVAIL;
  const auto candidates = addresses_to_try(address, &system);
  Registry& known = registry();
  const std::lock_guard lock(known.mutex);
  int fd = -system;
  for (const KernelAddress& candidate : candidates) {
    const bool is_ours = known.sockets.contains({address.host, address.port});
    const int free = address.port == 0 || is_ours ? 0 : check_free(candidate);
    fd = free < 0 ? free : bind_socket(candidate, true);
    if (fd >= 0 || fd == -EADDRINUSE) break;
  }
  if (fd < 0) return fd;
  KernelAddress bound;
  bound.size = sizeof(bound.storage);
  // Inherited by what is accepted; -1 leaves the kernel's own tuning on.
  if (operation.send_buffer_bytes > 0)
    set_option(fd, SOL_SOCKET, SO_SNDBUF, operation.send_buffer_bytes);
  if (operation.receive_buffer_bytes > 0)
    set_option(fd, SOL_SOCKET, SO_RCVBUF, operation.receive_buffer_bytes);
  if (listen(fd, operation.backlog) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&bound.storage), &bound.size) != 0) {
    const int failed = errno;
    ::close(fd);
    return -failed;
  }
  address.port = from_kernel(bound).port;
  const Key key{address.host, address.port};
  ++known.sockets[key];
  open_.emplace_back(fd, key);
  return fd;
}

void Listeners::forget(int fd) {
  for (auto at = open_.begin(); at != open_.end(); ++at) {
    if (at->first != fd) continue;
    Registry& known = registry();
    const std::lock_guard lock(known.mutex);
    const auto entry = known.sockets.find(at->second);
    if (--entry->second == 0) known.sockets.erase(entry);
    open_.erase(at);
    return;
  }
}

}  // namespace drave::io
