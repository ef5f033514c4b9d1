#pragma once
// The simulated network: ordered byte streams between nodes, as TCP gives them.
//
// Bytes of one direction arrive in order, in pieces of any size, after a latency. A direction
// between two nodes can be blocked (bytes wait, nobody is told) and opened again, so that cuts may
// be one-way; a connection can be reset; a peer that lost its power says nothing until it is up and
// is sent something. What a socket had sent before it was closed still arrives, perhaps much later.
// A killed process's sockets are closed by its kernel; bytes that the kernel had taken still
// arrive.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "base/random.h"
#include "io/operation.h"
#include "io/sim/event_queue.h"
#include "io/sim/flight.h"
#include "io/sim/options.h"

namespace drave::io::sim {

class Node;
class World;

struct Segment {
  enum class Kind : std::uint8_t { data, finish, reset };
  Kind kind;
  Instant arrival;
  std::vector<std::uint8_t> bytes;
};

// One end of a connection.
struct Side {
  Node* node = nullptr;
  SocketAddress address;
  bool is_open = true;    // a process holds it
  bool vanished = false;  // its node lost its power
  bool finished = false;  // the peer's end of stream has arrived
  bool was_reset = false;
  bool shut_write = false;
  bool shut_read = false;
  std::vector<std::uint8_t> inbox;  // arrived and not read: [inbox_first, end)
  std::size_t inbox_first = 0;
  WaitingList receiving;
  WaitingList sending;
  std::deque<Segment> wire;      // on the way from this side to the other
  std::uint64_t wire_bytes = 0;  // in `wire`, and those that a vanished peer swallowed
  Instant last_arrival;

  std::size_t inbox_bytes() const { return inbox.size() - inbox_first; }
};

struct Connection {
  std::uint64_t id = 0;
  Side sides[2];
};

struct ListeningSocket {
  Node* node = nullptr;
  SocketAddress address;
  std::size_t backlog = 0;
  bool is_open = true;
  std::deque<std::shared_ptr<Connection>> pending;  // side 1 is the listener's
  WaitingList accepting;
};

class Network final : public EventTarget {
 public:
  Network(World& world, NetworkOptions options, std::uint64_t seed);
  NetworkOptions& options() { return options_; }

  // --- For scenarios.
  // Bytes from `from` to `to` wait until unblock(); connects in that direction, too.
  void block(const Node& from, const Node& to);
  void unblock(const Node& from, const Node& to);
  void unblock_all();
  // Resets every connection between the two nodes, at once at both ends.
  void cut(const Node& left, const Node& right);
  std::size_t connection_count() const { return connections_.size(); }

  // --- For the backends.
  int listen(Node& node, const SocketAddress& address, int backlog,
             std::shared_ptr<ListeningSocket>& made);
  void accept(Flight& flight);
  void connect(Flight& flight);
  void receive(Flight& flight);
  void send(Flight& flight);
  void shutdown(Connection& connection, int side, bool write_only);
  void close(Connection& connection, int side);
  void close(ListeningSocket& listening);

  // --- For the nodes.
  void process_died(Node& node, bool power);
  void node_started(Node& node);

  void on_event(EventKind kind, std::uint64_t a, std::uint64_t b) override;

 private:
  Duration latency(const Node& from, const Node& to);
  bool is_blocked(const Node& from, const Node& to) const;
  Node* find_node(const Node& from, const SocketAddress& address) const;
  void put_on_wire(Connection& connection, int from, Segment::Kind kind,
                   std::vector<std::uint8_t> bytes);
  void arrive(Connection& connection, int to, Segment segment);
  void deliver_due(std::uint64_t connection_id, int from);
  void schedule_wire(const Connection& connection, int from, Instant at);
  void serve_receivers(Connection& connection, int side);
  void serve_senders(Connection& connection, int side);
  bool try_receive(Connection& connection, int side, Flight& flight);
  bool try_send(Connection& connection, int side, Flight& flight);
  void serve_accepts(ListeningSocket& listening);
  void connect_arrived(Flight& flight, Node& to);
  void reset_side(Connection& connection, int side);
  void forget_if_over(std::uint64_t connection_id);

  World& world_;
  NetworkOptions options_;
  Random random_;
  std::uint64_t connection_count_ = 0;
  std::map<std::uint64_t, std::shared_ptr<Connection>> connections_;
  std::vector<std::weak_ptr<ListeningSocket>> listeners_;      // in the order of listen()
  std::set<std::pair<std::uint32_t, std::uint32_t>> blocked_;  // node numbers (from, to)
  std::uint16_t next_port_ = 32768;
};

}  // namespace drave::io::sim
