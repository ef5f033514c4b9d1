#include "raftlog/links.h"

#include <algorithm>

#include "raftlog/raft_limits.h"

namespace drave::raft {

// Who makes himself a leader under ever new ids does not fill the table.
Links::Link& Links::link_to(NodeId peer) {
  const auto found = std::find_if(links_.begin(), links_.end(),
                                  [peer](const Link& link) { return link.peer == peer; });
  if (found != links_.end()) {
    std::rotate(found, found + 1, links_.end());
    return links_.back();
  }
  if (links_.size() >= kLinksMax) {
    retire_all(links_.front());
    links_.erase(links_.begin());
  }
  return links_.emplace_back(Link{peer, {}});
}

RpcClient& Links::to(NodeId peer, const io::SocketAddress& address, Lane lane) {
  std::unique_ptr<RpcClient>& client = link_to(peer).lanes[static_cast<std::size_t>(lane)];
  if (client != nullptr && client->address() != address) scope_.spawn(retire(std::move(client)));
  if (client == nullptr) client = std::make_unique<RpcClient>(loop_, address, options_);
  return *client;
}

io::Task<void> Links::retire(std::unique_ptr<RpcClient> client) {
  co_await client->close();
}

void Links::retire_all(Link& link) {
  for (std::unique_ptr<RpcClient>& client : link.lanes) {
    if (client != nullptr) scope_.spawn(retire(std::move(client)));
  }
}

io::Task<void> Links::leave() {
  ASSERT(users_ > 0);
  if (--users_ == 0) co_await close();
}

io::Task<void> Links::close() {
  for (Link& link : links_) retire_all(link);
  links_.clear();
  co_await scope_.join();
}

}  // namespace drave::raft
