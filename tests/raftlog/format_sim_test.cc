// Formatting where an earlier attempt, or a node that ran, has left something.

#include "raftlog/format.h"

#include <algorithm>

#include "gtest/gtest.h"
#include "tools/sim/raft/raft_peer.h"

namespace drave::simulation {
namespace {

using raft::FormatMode;

constexpr const char* kMeta = "/data/meta.properties";
constexpr const char* kLog = "/data/__cluster_metadata-0/";
constexpr std::string_view kVoters = "00000000000000000000-0000000000.checkpoint";

class FormatAgain : public ::testing::Test {
 protected:
  explicit FormatAgain(std::uint64_t seed = 51) : world_(seed), node_(world_.add_node()) {}

  static raft::FormatOptions options(FormatMode mode) {
    raft::FormatOptions options;
    options.cluster_id = "q4x9lwHTRwKFrQ69LT3_Sg";
    options.node_id = 1;
    options.directories = {"/other", "/data"};
    options.metadata_directory = "/data";
    options.mode = mode;
    options.controller_host = "10.0.0.1";
    options.controller_port = kRaftPort;
    if (mode == FormatMode::initial_controllers) {
      for (NodeId id = 1; id <= 3; ++id)
        options.initial_controllers.push_back({id, "10.0.0.1", kRaftPort, Uuid{9, 1ULL * id}});
    }
    options.ignore_formatted = true;
    return options;
  }

  // Begins to format in a process of its own.
  void begin(FormatMode mode) {
    said_.reset();
    node_.start([this, mode](io::sim::Process& process) { return run(process, mode); });
  }
  // The error, empty: it is formatted.
  std::string format(FormatMode mode) {
    begin(mode);
    EXPECT_TRUE(world_.run_until([this] { return said_.has_value(); }, seconds(10)));
    node_.kill();
    return said_.value_or("it did not end");
  }
  io::Task<void> run(io::sim::Process& process, FormatMode mode) {
    const auto formatted = co_await raft::format(process.loop(0), options(mode));
    if (process.is_dead()) co_return;
    said_ = formatted ? "" : formatted.error().message();
  }

  io::sim::Disk& disk() { return node_.disk(); }
  bool has(std::string_view name) { return disk().exists(std::string(kLog).append(name)); }

  io::sim::World world_;
  io::sim::Node& node_;
  std::optional<std::string> said_;
};

// It was cut short before meta.properties: what it is to be now is decided anew.
TEST_F(FormatAgain, nothing_is_left_of_the_voters_of_an_earlier_attempt) {
  for (const FormatMode first : {FormatMode::standalone, FormatMode::initial_controllers}) {
    for (const FormatMode second :
         {FormatMode::no_initial_controllers, FormatMode::static_voters}) {
      ASSERT_EQ(format(first), "");
      ASSERT_TRUE(has(kVoters));
      disk().remove(kMeta);
      EXPECT_EQ(format(second), "");
      EXPECT_TRUE(disk().exists(kMeta));
      EXPECT_FALSE(has(kVoters));
      disk().remove(kMeta);
    }
  }
  EXPECT_EQ(format(FormatMode::standalone), "");
  EXPECT_TRUE(has(kVoters));
}

TEST_F(FormatAgain, it_is_durable_that_nothing_is_left) {
  bool has_ended = false;
  for (int events = 0; !has_ended; ++events) {
    ASSERT_EQ(format(FormatMode::standalone), "");
    disk().remove(kMeta);
    disk().sync_all();
    begin(FormatMode::no_initial_controllers);
    for (int i = 0; i < events && !said_.has_value(); ++i) world_.step();
    has_ended = said_.has_value();
    node_.power_cut();
    if (disk().exists(kMeta)) EXPECT_FALSE(has(kVoters)) << "cut after " << events << " events";
    if (has_ended) EXPECT_TRUE(disk().exists(kMeta));
    disk().remove("/data");
    disk().remove("/other");
  }
}

TEST_F(FormatAgain, the_metadata_log_of_a_node_that_ran_is_not_taken_over) {
  const std::string snapshot = "00000000000000000164-0000000003.checkpoint";
  for (const std::string& name :
       {std::string("00000000000000000000.log"), std::string("quorum-state"), snapshot}) {
    disk().put(kLog + name, as_bytes(std::string_view("something")));
    for (const FormatMode mode :
         {FormatMode::standalone, FormatMode::no_initial_controllers, FormatMode::static_voters}) {
      const std::string error = format(mode);
      EXPECT_NE(error.find("the metadata log of a node that ran"), std::string::npos) << error;
      EXPECT_NE(error.find(name), std::string::npos) << error;
      EXPECT_EQ(disk().files_below("/"), std::vector{kLog + name}) << "nothing is written";
    }
    disk().remove(kLog + name);
  }
  // A segment without a byte says nothing.
  disk().put(std::string(kLog) + "00000000000000000000.log", {});
  EXPECT_EQ(format(FormatMode::standalone), "");
}

}  // namespace
}  // namespace drave::simulation
