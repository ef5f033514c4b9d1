#include "broker/controller/controller_channel.h"

#include <algorithm>

#include "base/log.h"

namespace drave::broker {

namespace {
// An election takes about as long: nobody could be asked meanwhile.
constexpr Duration kLastAnswersMax = milliseconds(10);
constexpr Duration kLastAnswersLook = milliseconds(1);
}  // namespace

ControllerChannel::ControllerChannel(io::Loop& loop, QuorumController& controller,
                                     ChannelOptions options)
    : loop_(loop), controller_(controller), options_(std::move(options)), scope_(loop) {}

ControllerChannel::~ControllerChannel() = default;

void ControllerChannel::start() {
  scope_.spawn(watch());
}

std::shared_ptr<raft::RpcClient> ControllerChannel::peer() {
  follow_leader();
  return client_;
}

// Makes the connection one to the present leader.
void ControllerChannel::follow_leader() {
  std::optional<io::SocketAddress> wanted;
  const std::optional<raft::Voter> leader = controller_.leader();
  if (leader.has_value() && !controller_.is_here(leader->id) && !scope_.is_stopping()) {
    for (const raft::VoterEndpoint& endpoint : leader->endpoints)
      if (!wanted.has_value() || endpoint.name == options_.listener)
        wanted = io::SocketAddress{endpoint.host, endpoint.port};
  }
  const bool same = client_ != nullptr && wanted.has_value() &&
                    client_->address().host == wanted->host &&
                    client_->address().port == wanted->port;
  if (same) return;
  if (client_ != nullptr) scope_.spawn(retire(std::move(client_)));
  client_ = nullptr;
  if (!wanted.has_value()) return;
  raft::RpcClientOptions options;
  options.client_id = options_.client_id;
  options.connect_timeout = options.request_timeout = options_.request_timeout;
  client_ = std::make_shared<raft::RpcClient>(loop_, *wanted, options);
}

io::Task<void> ControllerChannel::retire(std::shared_ptr<raft::RpcClient> client) {
  const Instant end = loop_.now() + kLastAnswersMax;
  while (client->call_count() > 0 && !scope_.is_stopping() && loop_.now() < end)
    co_await scope_.stopping().wait_until(std::min(end, loop_.now() + kLastAnswersLook));
  co_await client->close();
}

io::Task<void> ControllerChannel::watch() {
  while (!scope_.is_stopping()) {
    co_await controller_.changed().wait();
    follow_leader();
  }
}

std::pair<NodeId, bool> ControllerChannel::asked() const {
  const std::optional<raft::Voter> leader = controller_.leader();
  return {leader.has_value() ? leader->id : -1, controller_.is_active()};
}

io::Task<void> ControllerChannel::back_off() {
  co_await controller_.changed().wait_until(loop_.now() + options_.retry_backoff);
}

// What else changes, an image above all, is no reason to ask again.
io::Task<bool> ControllerChannel::back_off(Duration most, const io::Scope& of) {
  const auto before = asked();
  const Instant end = loop_.now() + most;
  while (!of.is_stopping() && loop_.now() < end && asked() == before)
    co_await controller_.changed().wait_until(end);
  co_return asked() != before;
}

io::Task<void> ControllerChannel::stop() {
  scope_.request_stop();
  follow_leader();
  controller_.changed().wake_all();
  co_await scope_.join();
}

}  // namespace drave::broker
