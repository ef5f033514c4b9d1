#pragma once
// A client of a simulated cluster: asks one thing after the other, through any broker, as clients
// do that never give up: a new name for most, the same again where the outcome is not known.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "io/sim/world.h"
#include "raftlog/net/rpc_client.h"
#include "tools/sim/cluster/promises.h"
#include "tools/sim/cluster/watch.h"

namespace drave::simulation {

class ClusterClient {
 public:
  // `brokers`: where they listen for clients.
  ClusterClient(int number, std::uint64_t seed, std::vector<io::SocketAddress> brokers,
                Promises& promises, const MetadataWatch& watch)
      : number_(number),
        random_(seed),
        brokers_(std::move(brokers)),
        promises_(promises),
        watch_(watch) {}

  // Programs of its machine. Asks for this and that until it is told to end.
  io::Task<void> work(io::sim::Process& process);
  void end() { ends_ = true; }
  // Creates a topic through each broker, however long that takes; and a quorum that is static still
  // may have to be upgraded.
  io::Task<void> create_through_each(io::sim::Process& process);

 private:
  struct Topic {
    std::string name;
    TopicId id;
    bool is_own = false;  // nobody else knows the name
    bool is_leaving = false;
    std::int32_t partitions = 1;
    std::size_t configs = 0;  // set so far, of kKeys
  };
  struct Acl {
    std::string principal;
    bool is_created = false;
    bool is_leaving = false;
  };
  // The error code of an answer; nothing: there was none.
  using Outcome = std::optional<std::int16_t>;

  void begin(io::sim::Process& process);
  io::Task<void> close();
  raft::RpcClient& any_broker() { return *links_[random_.below(links_.size())]; }
  Duration patience();
  bool is_dead() const { return process_->is_dead(); }

  io::Task<void> act();
  io::Task<bool> create(raft::RpcClient& broker, std::string name, bool is_own);
  io::Task<void> remove(std::size_t index);
  io::Task<void> add_partition(std::size_t index);
  io::Task<void> set_config(std::size_t index);
  io::Task<void> create_acl();
  io::Task<void> remove_acl(std::size_t index);
  io::Task<void> take_producer_id();
  bool is_static() const;
  io::Task<void> upgrade();
  // Of a topic or ACL that is there; nothing: there is none that one may have.
  std::optional<std::size_t> own_topic();
  Outcome noted(Outcome outcome);

  int number_;
  Random random_;
  std::vector<io::SocketAddress> brokers_;
  Promises& promises_;
  const MetadataWatch& watch_;
  io::sim::Process* process_ = nullptr;
  std::vector<std::unique_ptr<raft::RpcClient>> links_;
  bool ends_ = false;
  std::uint64_t count_ = 0;
  std::vector<Topic> topics_;
  std::vector<Acl> acls_;
};

}  // namespace drave::simulation
