#include "io/sim/network.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "io/sim/backend.h"
#include "io/sim/world.h"

namespace drave::io::sim {
namespace {

// A connect that nothing answers tries again after this.
constexpr Duration kConnectRetry = milliseconds(200);

bool is_wildcard(const std::string& host) {
  return host.empty() || host == "0.0.0.0" || host == "::";
}

}  // namespace

Network::Network(World& world, NetworkOptions options, std::uint64_t seed)
    : world_(world), options_(options), random_(seed) {}

// --- Scenarios.

void Network::block(const Node& from, const Node& to) {
  blocked_.emplace(from.number(), to.number());
}

void Network::unblock(const Node& from, const Node& to) {
  blocked_.erase({from.number(), to.number()});
  for (auto& [id, connection] : connections_) {
    for (int side = 0; side < 2; ++side) {
      if (!connection->sides[side].wire.empty()) {
        schedule_wire(*connection, side, world_.now() + latency(from, to));
      }
    }
  }
}

void Network::unblock_all() {
  const auto all = blocked_;
  for (const auto& [from, to] : all) unblock(world_.node(from), world_.node(to));
}

void Network::cut(const Node& left, const Node& right) {
  std::vector<std::shared_ptr<Connection>> hit;
  for (auto& [id, connection] : connections_) {
    const Node* nodes[] = {connection->sides[0].node, connection->sides[1].node};
    if ((nodes[0] == &left && nodes[1] == &right) || (nodes[0] == &right && nodes[1] == &left)) {
      hit.push_back(connection);
    }
  }
  for (auto& connection : hit) {
    ++world_.counters().cuts;
    for (int side = 0; side < 2; ++side) reset_side(*connection, side);
    forget_if_over(connection->id);
  }
}

// --- Places.

Duration Network::latency(const Node& from, const Node& to) {
  return (&from == &to ? options_.loopback_latency : options_.latency).draw(random_);
}

bool Network::is_blocked(const Node& from, const Node& to) const {
  return blocked_.contains({from.number(), to.number()});
}

Node* Network::find_node(const Node& from, const SocketAddress& address) const {
  for (std::size_t i = 0; i < world_.node_count(); ++i) {
    if (world_.node(i).resolves_to(address, from)) return &world_.node(i);
  }
  return nullptr;
}

int Network::listen(Node& node, const SocketAddress& address, int backlog,
                    std::shared_ptr<ListeningSocket>& made) {
  if (!is_wildcard(address.host) && !node.resolves_to(address, node)) return -EADDRNOTAVAIL;
  std::erase_if(listeners_, [](const auto& at) { return at.expired() || !at.lock()->is_open; });
  made = std::make_shared<ListeningSocket>();
  made->node = &node;
  made->address = address;
  made->backlog = static_cast<std::size_t>(std::max(1, backlog));
  if (address.port == 0) made->address.port = next_port_++;
  if (next_port_ == 0) next_port_ = 32768;
  listeners_.push_back(made);
  return 0;
}

// --- Connections begin.

// Called when the operation begins, when its request arrives, and when the answer is back.
void Network::connect(Flight& flight) {
  Node& from = flight.backend->process().node();
  if (flight.connection != nullptr) {  // the answer is back
    Process& process = flight.backend->process();
    Descriptor made;
    made.connection = flight.connection;
    made.side = 0;
    const std::int32_t handle = process.add_descriptor(std::move(made));
    if (handle < 0) close(*flight.connection, 0);
    flight.backend->finish(flight, handle);
    return;
  }
  Node* to = find_node(from, flight.operation->address);
  if (to == nullptr) {
    flight.backend->finish(flight, -EHOSTUNREACH);
    return;
  }
  if (flight.give_up_at == Instant::never()) {
    flight.give_up_at = world_.now() + options_.connect_timeout;
    from.schedule_flight(flight, world_.now() + latency(from, *to));
    return;
  }
  if (world_.now() >= flight.give_up_at) {
    flight.backend->finish(flight, -ETIMEDOUT);
    return;
  }
  if (!to->has_power() || is_blocked(from, *to) || is_blocked(*to, from)) {
    from.schedule_flight(flight, world_.now() + kConnectRetry);
    return;
  }
  connect_arrived(flight, *to);
}

void Network::connect_arrived(Flight& flight, Node& to) {
  Node& from = flight.backend->process().node();
  std::vector<std::shared_ptr<ListeningSocket>> listening;
  for (const auto& weak : listeners_) {
    auto at = weak.lock();
    if (at == nullptr || !at->is_open || at->node != &to) continue;
    if (at->address.port == flight.operation->address.port) listening.push_back(std::move(at));
  }
  if (listening.empty()) {
    ++world_.counters().refused_connects;
    flight.backend->finish(flight, -ECONNREFUSED);
    return;
  }
  ListeningSocket& chosen = *listening[random_.below(listening.size())];
  if (chosen.pending.size() >= chosen.backlog) {
    from.schedule_flight(flight, world_.now() + kConnectRetry);
    return;
  }
  ++world_.counters().connections;
  auto connection = std::make_shared<Connection>();
  connection->id = connection_count_++;
  connection->sides[0].node = &from;
  connection->sides[0].address = {from.host(), next_port_++};
  if (next_port_ == 0) next_port_ = 32768;
  connection->sides[1].node = &to;
  connection->sides[1].address = {to.host(), chosen.address.port};
  connections_.emplace(connection->id, connection);
  flight.connection = connection;
  chosen.pending.push_back(connection);
  serve_accepts(chosen);
  from.schedule_flight(flight, world_.now() + latency(to, from));
}

void Network::accept(Flight& flight) {
  if (!flight.listening->is_open) {
    flight.backend->finish(flight, -ECANCELED);
    return;
  }
  flight.listening->accepting.push_back(flight);
  serve_accepts(*flight.listening);
}

void Network::serve_accepts(ListeningSocket& listening) {
  while (!listening.accepting.empty() && !listening.pending.empty()) {
    Flight& flight = listening.accepting.front();
    Process& process = flight.backend->process();
    if (!process.has_free_descriptor()) {
      flight.backend->finish(flight, -EMFILE);
      continue;
    }
    const auto chosen = listening.pending.begin() +
                        static_cast<std::ptrdiff_t>(random_.below(listening.pending.size()));
    Descriptor made;
    made.connection = *chosen;
    made.side = 1;
    listening.pending.erase(chosen);
    if (flight.operation->peer != nullptr) {
      *flight.operation->peer = made.connection->sides[0].address;
    }
    flight.backend->finish(flight, process.add_descriptor(std::move(made)));
  }
}

// --- Bytes.

void Network::schedule_wire(const Connection& connection, int from, Instant at) {
  world_.events().push(at, *this, EventKind::wire, connection.id, static_cast<std::uint64_t>(from));
}

void Network::put_on_wire(Connection& connection, int from, Segment::Kind kind,
                          std::vector<std::uint8_t> bytes) {
  Side& side = connection.sides[from];
  const Instant earliest = world_.now() + latency(*side.node, *connection.sides[1 - from].node);
  side.last_arrival = std::max(side.last_arrival, earliest);
  side.wire_bytes += bytes.size();
  side.wire.push_back({kind, side.last_arrival, std::move(bytes)});
  schedule_wire(connection, from, side.last_arrival);
}

void Network::on_event(EventKind, std::uint64_t a, std::uint64_t b) {
  deliver_due(a, static_cast<int>(b));
}

void Network::deliver_due(std::uint64_t connection_id, int from) {
  const auto found = connections_.find(connection_id);
  if (found == connections_.end()) return;
  const std::shared_ptr<Connection> connection = found->second;
  Side& sender = connection->sides[from];
  if (is_blocked(*sender.node, *connection->sides[1 - from].node)) return;
  while (!sender.wire.empty() && sender.wire.front().arrival <= world_.now()) {
    Segment segment = std::move(sender.wire.front());
    sender.wire.pop_front();
    world_.trace().add((connection_id << 24) ^ segment.bytes.size());
    arrive(*connection, 1 - from, std::move(segment));
  }
  forget_if_over(connection_id);
}

void Network::arrive(Connection& connection, int to, Segment segment) {
  Side& side = connection.sides[to];
  Side& sender = connection.sides[1 - to];
  if (side.vanished) {
    // Without power nothing answers; what was sent stays in the sender's window for ever.
    if (side.node->has_power() && segment.kind != Segment::Kind::reset) {
      put_on_wire(connection, to, Segment::Kind::reset, {});
    }
    return;
  }
  sender.wire_bytes -= segment.bytes.size();
  if (segment.kind == Segment::Kind::reset) {
    reset_side(connection, to);
    return;
  }
  if (side.was_reset) return;
  if (segment.kind == Segment::Kind::finish) {
    side.finished = true;
    serve_receivers(connection, to);
    return;
  }
  if (!side.is_open) {
    if (sender.is_open) put_on_wire(connection, to, Segment::Kind::reset, {});
    return;
  }
  if (side.shut_read) {
    serve_senders(connection, 1 - to);
    return;
  }
  side.inbox.insert(side.inbox.end(), segment.bytes.begin(), segment.bytes.end());
  serve_receivers(connection, to);
}

void Network::reset_side(Connection& connection, int side_number) {
  Side& side = connection.sides[side_number];
  side.was_reset = true;
  side.inbox.clear();
  side.inbox_first = 0;
  side.wire.clear();
  side.wire_bytes = 0;
  serve_receivers(connection, side_number);
  serve_senders(connection, side_number);
}

void Network::serve_receivers(Connection& connection, int side) {
  auto& waiting = connection.sides[side].receiving;
  while (!waiting.empty() && try_receive(connection, side, waiting.front())) {
  }
}

void Network::serve_senders(Connection& connection, int side) {
  auto& waiting = connection.sides[side].sending;
  while (!waiting.empty() && try_send(connection, side, waiting.front())) {
  }
}

void Network::receive(Flight& flight) {
  const std::shared_ptr<Connection> connection = flight.connection;
  Side& side = connection->sides[flight.side];
  static_cast<Flight::WaitingLink&>(flight).unlink();
  side.receiving.push_back(flight);
  serve_receivers(*connection, flight.side);
}

// True if the flight no longer waits for bytes.
bool Network::try_receive(Connection& connection, int side_number, Flight& flight) {
  Side& side = connection.sides[side_number];
  if (side.was_reset) {
    flight.backend->finish(flight, -ECONNRESET);
    return true;
  }
  const std::size_t available = side.inbox_bytes();
  if (available == 0) {
    if (!side.finished && !side.shut_read) return false;
    flight.operation->pooled_buffer = {};
    flight.backend->finish(flight, 0);
    return true;
  }
  MutableByteView buffer;
  std::size_t size = size_of(*flight.operation);
  if (flight.operation->pooled) {
    buffer = flight.backend->take_buffer(flight);
    if (buffer.empty()) return true;
    size = buffer.size();
  }
  size = std::min(size, available);
  if (size > 1 && options_.fragment_one_in != 0 && random_.one_in(options_.fragment_one_in)) {
    size = 1 + random_.below(size);
    ++world_.counters().fragments;
  }
  const ByteView bytes{side.inbox.data() + side.inbox_first, size};
  if (flight.operation->pooled) {
    std::memcpy(buffer.data(), bytes.data(), size);
    flight.operation->pooled_buffer = buffer.first(size);
  } else {
    scatter(*flight.operation, bytes);
  }
  side.inbox_first += size;
  if (side.inbox_first == side.inbox.size()) {
    side.inbox.clear();
    side.inbox_first = 0;
  }
  flight.backend->finish(flight, static_cast<std::int32_t>(size));
  serve_senders(connection, 1 - side_number);
  return true;
}

void Network::send(Flight& flight) {
  const std::shared_ptr<Connection> connection = flight.connection;
  connection->sides[flight.side].sending.push_back(flight);
  serve_senders(*connection, flight.side);
  forget_if_over(connection->id);
}

bool Network::try_send(Connection& connection, int side_number, Flight& flight) {
  Side& side = connection.sides[side_number];
  Side& peer = connection.sides[1 - side_number];
  if (side.was_reset || side.shut_write) {
    flight.backend->finish(flight, side.was_reset ? -ECONNRESET : -EPIPE);
    return true;
  }
  const std::uint64_t outstanding = side.wire_bytes + (peer.vanished ? 0 : peer.inbox_bytes());
  std::size_t size = size_of(*flight.operation);
  if (size == 0) {
    flight.backend->finish(flight, 0);
    return true;
  }
  if (outstanding >= options_.window_bytes) return false;
  if (options_.cut_one_in != 0 && side.node != peer.node && random_.one_in(options_.cut_one_in)) {
    ++world_.counters().cuts;
    reset_side(connection, 1 - side_number);
    static_cast<Flight::WaitingLink&>(flight).unlink();
    flight.backend->finish(flight, -ECONNRESET);
    reset_side(connection, side_number);
    return true;
  }
  size = std::min<std::size_t>(size, options_.window_bytes - outstanding);
  if (size > 1 && options_.short_send_one_in != 0 && random_.one_in(options_.short_send_one_in)) {
    size = 1 + random_.below(size);
    ++world_.counters().short_transfers;
  }
  std::vector<std::uint8_t> bytes;
  gather(*flight.operation, bytes);
  bytes.resize(size);
  world_.trace().add_bytes(bytes);
  put_on_wire(connection, side_number, Segment::Kind::data, std::move(bytes));
  flight.backend->finish(flight, static_cast<std::int32_t>(size));
  return true;
}

// --- Connections end.

void Network::shutdown(Connection& connection, int side_number, bool write_only) {
  Side& side = connection.sides[side_number];
  if (!side.shut_write && !side.was_reset) {
    side.shut_write = true;
    put_on_wire(connection, side_number, Segment::Kind::finish, {});
  }
  serve_senders(connection, side_number);
  if (write_only) return;
  side.shut_read = true;
  serve_receivers(connection, side_number);
}

void Network::close(Connection& connection, int side_number) {
  Side& side = connection.sides[side_number];
  if (!side.is_open) return;
  side.is_open = false;
  for (WaitingList* waiting : {&side.receiving, &side.sending}) {
    while (!waiting->empty()) waiting->front().backend->finish(waiting->front(), -ECANCELED);
  }
  const bool unread = side.inbox_bytes() > 0;
  if (!side.was_reset && (unread || !side.shut_write)) {
    put_on_wire(connection, side_number, unread ? Segment::Kind::reset : Segment::Kind::finish, {});
  }
  side.inbox.clear();
  side.inbox_first = 0;
  if (side.wire_bytes > 0 && options_.zombie_one_in != 0 &&
      random_.one_in(options_.zombie_one_in)) {
    ++world_.counters().zombies;
    const Duration late = options_.zombie_delay.draw(random_);
    for (Segment& segment : side.wire) {
      // What was held up by a block has been due for long.
      segment.arrival = std::max(segment.arrival, world_.now()) + late;
      schedule_wire(connection, side_number, segment.arrival);
    }
    side.last_arrival = std::max(side.last_arrival, world_.now()) + late;
  }
  forget_if_over(connection.id);
}

void Network::close(ListeningSocket& listening) {
  listening.is_open = false;
  while (!listening.accepting.empty()) {
    Flight& flight = listening.accepting.front();
    flight.backend->finish(flight, -ECANCELED);
  }
  const auto pending = std::exchange(listening.pending, {});
  for (const auto& connection : pending) {
    put_on_wire(*connection, 1, Segment::Kind::reset, {});
    connection->sides[1].is_open = false;
  }
}

void Network::forget_if_over(std::uint64_t connection_id) {
  const auto found = connections_.find(connection_id);
  if (found == connections_.end()) return;
  for (const Side& side : found->second->sides) {
    if (side.is_open || !side.wire.empty()) return;
  }
  connections_.erase(found);
}

void Network::process_died(Node& node, bool power) {
  for (const auto& weak : listeners_) {
    if (auto listening = weak.lock(); listening != nullptr && listening->node == &node) {
      if (power) listening->pending.clear();
      close(*listening);
    }
  }
  std::vector<std::shared_ptr<Connection>> held;
  for (auto& [id, connection] : connections_) held.push_back(connection);
  for (auto& connection : held) {
    for (int number = 0; number < 2; ++number) {
      Side& side = connection->sides[number];
      if (side.node != &node) continue;
      if (!power) {
        close(*connection, number);
        continue;
      }
      // Of what was on the way a first part may arrive.
      while (!side.wire.empty() && random_.one_in(2)) {
        side.wire_bytes -= side.wire.back().bytes.size();
        side.wire.pop_back();
      }
      if (!side.is_open) continue;
      ++world_.counters().silences;
      side.is_open = false;
      side.vanished = true;
    }
    forget_if_over(connection->id);
  }
}

void Network::node_started(Node& node) {
  // What peers sent into the dark is sent again, and now somebody says that he knows nothing.
  for (auto& [id, connection] : connections_) {
    for (int number = 0; number < 2; ++number) {
      if (connection->sides[number].node == &node && connection->sides[number].vanished &&
          connection->sides[1 - number].wire_bytes > 0) {
        put_on_wire(*connection, number, Segment::Kind::reset, {});
      }
    }
  }
}

}  // namespace drave::io::sim
