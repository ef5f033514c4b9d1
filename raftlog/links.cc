#include "raftlog/links.h"

#include <algorithm>

namespace drave::raft {

RpcClient& Links::to(NodeId peer, const io::SocketAddress& address, Lane lane) {
  auto found = std::find_if(links_.begin(), links_.end(),
                            [peer](const Link& link) { return link.peer == peer; });
  if (found == links_.end()) {
    links_.push_back({peer, {}});
    found = std::prev(links_.end());
  }
  std::unique_ptr<RpcClient>& client = found->lanes[static_cast<std::size_t>(lane)];
  if (client != nullptr && client->address() != address) scope_.spawn(retire(std::move(client)));
  if (client == nullptr) client = std::make_unique<RpcClient>(loop_, address, options_);
  return *client;
}

io::Task<void> Links::retire(std::unique_ptr<RpcClient> client) {
  co_await client->close();
}

io::Task<void> Links::leave() {
  ASSERT(users_ > 0);
  if (--users_ == 0) co_await close();
}

io::Task<void> Links::close() {
  for (Link& link : links_) {
    for (std::unique_ptr<RpcClient>& client : link.lanes) {
      if (client != nullptr) scope_.spawn(retire(std::move(client)));
    }
  }
  links_.clear();
  co_await scope_.join();
}

}  // namespace drave::raft
