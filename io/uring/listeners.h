#pragma once
// Listening sockets. The shards of one process share a port (SO_REUSEPORT), but two processes must
// not, although the kernel would let them: a port that another process holds is -EADDRINUSE.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "io/operation.h"

namespace drave::io {

// The listening sockets of one backend.
class Listeners {
 public:
  ~Listeners();

  // The descriptor, or a negative errno; sets operation.address.port to what was bound.
  int open(Operation& operation);
  // Called for every handle that is about to be closed.
  void forget(int fd);

 private:
  using Key = std::pair<std::string, std::uint16_t>;
  std::vector<std::pair<int, Key>> open_;
};

}  // namespace drave::io
