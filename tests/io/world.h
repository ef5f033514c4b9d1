#pragma once
// What the contract suite (contract_suite.h) runs in: a few loops of one node over some backend,
// all driven by the calling thread. One implementation for each backend; the suite is the same.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "io/loop.h"
#include "io/mailbox.h"
#include "io/operation.h"

namespace drave::io::test {

class World {
 public:
  virtual ~World() = default;

  // Shards 0, 1, ... of one node, connected by hub().
  virtual std::uint32_t loop_count() = 0;
  virtual Loop& loop(std::uint32_t shard) = 0;
  virtual MailboxHub& hub() = 0;

  // Runs the loops until `done` returns true (asked between passes); false if that does not happen
  // within a bound of the world's own (about ten seconds of its time).
  virtual bool run_until(const std::function<bool()>& done) = 0;

  // An empty directory, absolute, that the tests may fill.
  virtual std::string scratch() = 0;
  // Whether O_DIRECT works there.
  virtual bool has_direct() = 0;

  // Where a listener binds (port 0: one is chosen), and where a client finds it.
  virtual SocketAddress listen_address() = 0;
  virtual SocketAddress connect_address(std::uint16_t port) = 0;
  // An address on which nobody listens.
  virtual SocketAddress dead_address() = 0;
};

// Makes a fresh world with `loop_count` loops.
using WorldFactory = std::unique_ptr<World> (*)(std::uint32_t loop_count);

struct NamedWorld {
  const char* name;
  WorldFactory make;
};

}  // namespace drave::io::test
