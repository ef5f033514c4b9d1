// The contract suite over the simulator, in worlds of several seeds.

#include "io/sim/world.h"

#include "io/sync.h"
#include "tests/io/contract_suite.h"

namespace drave::io::test {
namespace {

// Does nothing until the node is stopped; the tests start what they want on its loops.
Task<void> stay(sim::Process& process) {
  Gate gate(process.loop());
  process.on_stop([&gate] { gate.open(); });
  co_await gate.wait();
}

class SimWorld final : public World {
 public:
  SimWorld(std::uint64_t seed, std::uint32_t loop_count) : world_(seed, options(seed)) {
    node_ = &world_.add_node();
    node_->disk().make_directory("/scratch");
    node_->disk().sync_all();
    node_->start(stay, loop_count);
  }

  std::uint32_t loop_count() override { return node_->process().shard_count(); }
  Loop& loop(std::uint32_t shard) override { return node_->process().loop(shard); }
  MailboxHub& hub() override { return *node_->process().hub(); }

  bool run_until(const std::function<bool()>& done) override {
    for (std::uint32_t i = 0; i < loop_count(); ++i) node_->touch(i);
    return world_.run_until(done, seconds(10));
  }

  std::string scratch() override { return "/scratch"; }
  bool has_direct() override { return true; }
  SocketAddress listen_address() override { return {"127.0.0.1", 0}; }
  SocketAddress connect_address(std::uint16_t port) override { return {"127.0.0.1", port}; }
  SocketAddress dead_address() override { return {"127.0.0.1", 1}; }

 private:
  static sim::WorldOptions options(std::uint64_t seed) {
    sim::WorldOptions options;
    options.node.disk.short_read_one_in = 3;
    options.node.disk.short_write_one_in = 3;
    if (seed % 2 == 0) options.network.loopback_latency = {microseconds(100), milliseconds(1)};
    return options;
  }
  sim::World world_;
  sim::Node* node_;
};

template <std::uint64_t kSeed>
std::unique_ptr<World> make_sim_world(std::uint32_t loop_count) {
  return std::make_unique<SimWorld>(kSeed, loop_count);
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Sim, Contract,
                         testing::Values(NamedWorld{"seed_1", make_sim_world<1>},
                                         NamedWorld{"seed_2", make_sim_world<2>},
                                         NamedWorld{"seed_3", make_sim_world<3>},
                                         NamedWorld{"seed_4", make_sim_world<4>}),
                         world_name);

}  // namespace drave::io::test
