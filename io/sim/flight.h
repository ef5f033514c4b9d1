#pragma once
// An operation between its start and its completion, as the simulator keeps it.

#include <cstdint>
#include <memory>
#include <vector>

#include "base/intrusive_list.h"
#include "io/operation.h"
#include "io/sim/disk.h"

namespace drave::io::sim {

class SimBackend;
struct Connection;
struct ListeningSocket;

// Recycled by its node; events refer to it by (index, generation), so that an event whose flight
// has landed or whose process has died finds nothing.
struct Flight : ListLink<struct InFlightTag>, ListLink<struct WaitingTag> {
  Operation* operation = nullptr;
  SimBackend* backend = nullptr;
  std::uint32_t index = 0;
  std::uint32_t generation = 0;

  // What the handle named when the operation began (the kernel keeps the file, too).
  InodePointer inode;
  OpenOptions opened;
  std::shared_ptr<Connection> connection;
  int side = 0;
  std::shared_ptr<ListeningSocket> listening;
  Instant give_up_at = Instant::never();  // connect

  std::vector<std::uint8_t> early_bytes;  // of a write whose buffer was read when it began
  bool has_early_bytes = false;
  bool syncing = false;             // holds the file's begin_sync
  std::uint64_t change_number = 0;  // sync of a directory: what it covers

  using InFlightLink = ListLink<struct InFlightTag>;
  using WaitingLink = ListLink<struct WaitingTag>;
};
using WaitingList = IntrusiveList<Flight, struct WaitingTag>;

std::size_t size_of(const Operation& operation);
// Copies all that the operation's vectors hold.
void gather(const Operation& operation, std::vector<std::uint8_t>& into);
// Spreads `bytes` over the operation's vectors; they have room for it.
void scatter(const Operation& operation, ByteView bytes);

}  // namespace drave::io::sim
