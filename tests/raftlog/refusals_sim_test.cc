// Who may not take part in a quorum, or not as it wants to, and what is told of it.

#include <fmt/format.h>

#include <array>

#include "gtest/gtest.h"
#include "protocol/control_record.h"
#include "raftlog/links.h"
#include "tools/sim/raft/raft_peer.h"

namespace drave::simulation {
namespace {

using raft::ErrorCode;

struct Outcome {
  std::optional<std::int16_t> error;
  std::string message;
};

std::int16_t code(ErrorCode error) {
  return static_cast<std::int16_t>(error);
}

io::Task<void> add_voter(raft::RaftLog& log, NodeId id, Uuid directory, std::string host,
                         Outcome& outcome) {
  protocol::AddRaftVoterRequest request;
  request.cluster_id = std::nullopt;
  request.timeout_ms = 5000;
  request.voter_id = id;
  request.voter_directory_id = directory;
  request.listeners.push_back({"CONTROLLER", host, kRaftPort});
  const auto answer = co_await log.add_raft_voter(request, 1);
  outcome.message = answer.message.error_message.value_or("");
  outcome.error = answer.message.error_code;
}

io::Task<void> remove_voter(raft::RaftLog& log, NodeId id, Uuid directory, Outcome& outcome) {
  protocol::RemoveRaftVoterRequest request;
  request.cluster_id = std::nullopt;
  request.voter_id = id;
  request.voter_directory_id = directory;
  const auto answer = co_await log.remove_raft_voter(request, 0);
  outcome.message = answer.message.error_message.value_or("");
  outcome.error = answer.message.error_code;
}

// A voter whose process.roles has no `controller`: nobody could fetch from it.
TEST(RaftRefusals, who_is_no_controller_never_leads) {
  for (std::uint64_t seed = 300; seed < 306; ++seed) {
    RaftCluster cluster(seed, 3, 0, raft::RaftOptions());
    RaftPeer& broker = cluster.peer(2);
    broker.options().raft.voter_role = false;
    cluster.start_all();
    ASSERT_TRUE(cluster.commit("first", seconds(20)));
    ASSERT_TRUE(cluster.await_agreement(seconds(10)));
    for (int round = 0; round < 3; ++round) {
      RaftPeer* led = cluster.await_leader(seconds(10));
      ASSERT_NE(led, nullptr);
      const LeaderEpoch epoch = led->log().epoch();
      led->node().kill();
      // It goes on voting: with it there is a majority.
      ASSERT_TRUE(cluster.run_until(
          [&] { return cluster.leader() != nullptr && cluster.leader()->log().epoch() > epoch; },
          seconds(20)))
          << "seed " << seed;
      EXPECT_NE(cluster.leader(), &broker) << "seed " << seed;
      led->start();
      // What only the two of them have, the one that is left could not be elected without.
      ASSERT_TRUE(cluster.commit(fmt::format("round {}", round), seconds(10)));
      cluster.world().run_for(seconds(1));
      ASSERT_TRUE(led->is_running() && cluster.await_agreement(seconds(10)));
    }
    EXPECT_TRUE(cluster.commit("last", seconds(20)));
    EXPECT_EQ(cluster.ledger().violation(), "");
  }
}

// Somebody wanted it out, and may be about to stop it.
TEST(RaftRefusals, who_was_removed_does_not_join_by_itself_before_it_starts_again) {
  for (const bool removes_leader : {false, true}) {
    raft::RaftOptions options;
    options.auto_join = true;
    RaftCluster cluster(315, 3, 0, options);
    cluster.start_all();
    ASSERT_TRUE(cluster.commit("first", seconds(10)));
    cluster.world().run_for(seconds(3));
    RaftPeer* leader = cluster.leader();
    ASSERT_NE(leader, nullptr);
    RaftPeer& other = cluster.peer(cluster.peer(0).is_leader() ? 1 : 0);
    RaftPeer& removed = removes_leader ? *leader : other;
    Outcome told;
    leader->scope().spawn(remove_voter(leader->log(), removed.id(), removed.directory_id(), told));
    ASSERT_TRUE(cluster.run_until([&] { return told.error.has_value(); }, seconds(10)));
    ASSERT_EQ(*told.error, 0) << told.message;
    const auto is_voter = [&] {
      const RaftPeer* led = cluster.leader();
      if (led == nullptr) return false;
      const std::vector<raft::Voter>& voters = cluster.leader()->log().voters();
      return std::any_of(voters.begin(), voters.end(),
                         [&](const raft::Voter& each) { return each.id == removed.id(); });
    };
    EXPECT_FALSE(cluster.run_until(is_voter, seconds(10)));
    ASSERT_TRUE(cluster.commit("without it", seconds(10)));
    ASSERT_TRUE(cluster.await_agreement(seconds(10))) << "it follows as an observer";
    removed.node().kill();
    removed.start();
    EXPECT_TRUE(cluster.run_until(is_voter, seconds(20)));
    EXPECT_EQ(cluster.ledger().violation(), "");
  }
}

// It is asked for again and again; its reason is told when it changes, and now and then.
TEST(RaftRefusals, who_may_not_join_says_why_but_not_each_time) {
  RaftCluster cluster(317, 1, 1, raft::RaftOptions());
  RaftPeer& joins = cluster.peer(1);
  joins.options().raft.auto_join = true;
  joins.options().raft.endpoint = {"CONTROLLER", "10.9.9.9", kRaftPort};  // nobody is there
  cluster.start_all();
  ASSERT_TRUE(cluster.commit("first", seconds(10)));
  ::testing::internal::CaptureStderr();
  cluster.world().run_for(seconds(50));
  const std::string told = ::testing::internal::GetCapturedStderr();
  std::size_t lines = 0;
  for (std::size_t at = 0; (at = told.find("not yet a voter", at)) != std::string::npos; ++at)
    ++lines;
  EXPECT_GE(lines, 2u) << told;
  EXPECT_LE(lines, 4u) << told;
  EXPECT_NE(told.find("leader=1 error=REQUEST_TIMED_OUT: node 2 does not say which versions"),
            std::string::npos)
      << told;
}

// Each takes a connection for as long as the node is silent.
TEST(RaftRefusals, not_any_number_of_nodes_is_asked_at_a_time_whether_they_can_be_voters) {
  RaftCluster cluster(318, 1, 1, raft::RaftOptions());
  RaftPeer& leader = cluster.peer(0);
  RaftPeer& joins = cluster.peer(1);
  cluster.start_all();
  ASSERT_TRUE(cluster.commit("first", seconds(10)));
  ASSERT_TRUE(cluster.run_until(
      [&] { return joins.is_running() && joins.applied_end() == leader.applied_end(); },
      seconds(10)));
  cluster.world().run_for(milliseconds(100));
  joins.node().pause();
  std::array<Outcome, 6> told;
  for (Outcome& each : told)
    leader.scope().spawn(
        add_voter(leader.log(), joins.id(), joins.directory_id(), joins.node().host(), each));
  cluster.world().run_for(milliseconds(100));
  for (std::size_t i = 0; i < told.size(); ++i) {
    ASSERT_EQ(told[i].error.has_value(), i >= 4) << i << told[i].message;
    if (i < 4) continue;
    EXPECT_EQ(*told[i].error, code(ErrorCode::request_timed_out));
    EXPECT_NE(told[i].message.find("try again"), std::string::npos) << told[i].message;
  }
}

TEST(RaftRefusals, a_change_of_voters_says_what_is_missing) {
  RaftCluster cluster(310, 1, 1, raft::RaftOptions());
  RaftPeer& leader = cluster.peer(0);
  leader.start();
  ASSERT_TRUE(cluster.commit("first", seconds(10)));
  Outcome told;
  leader.scope().spawn(add_voter(leader.log(), 2, Uuid{1, 2}, "10.0.0.2", told));
  ASSERT_TRUE(cluster.run_until([&] { return told.error.has_value(); }, seconds(10)));
  EXPECT_EQ(*told.error, code(ErrorCode::request_timed_out));
  EXPECT_NE(told.message.find("does not follow this leader"), std::string::npos) << told.message;
  told = {};
  leader.scope().spawn(remove_voter(leader.log(), 1, leader.directory_id(), told));
  ASSERT_TRUE(cluster.run_until([&] { return told.error.has_value(); }, seconds(10)));
  EXPECT_EQ(*told.error, code(ErrorCode::voter_not_found));
  EXPECT_EQ(told.message, "Node 1 is the only voter: without it there is no quorum.");
}

// Whoever is said to lead is asked, whatever it calls itself.
TEST(RaftRefusals, connections_to_ever_new_nodes_are_bounded) {
  RaftCluster cluster(311, 1, 0, raft::RaftOptions());
  cluster.peer(0).start();
  ASSERT_NE(cluster.await_leader(seconds(10)), nullptr);
  io::Loop& loop = cluster.peer(0).node().process().loop(0);
  raft::Links links(loop, raft::RpcClientOptions());
  links.join();
  const io::SocketAddress address{cluster.peer(0).node().host(), kRaftPort};
  raft::RpcClient* voter = &links.to(1, address, raft::Lane::fetch);
  for (NodeId id = 1000; id < 1000 + 3 * static_cast<NodeId>(raft::kLinksMax); ++id) {
    links.to(id, address, raft::Lane::other);
    EXPECT_EQ(&links.to(1, address, raft::Lane::fetch), voter) << "it is used all the time";
  }
  EXPECT_EQ(links.peer_count(), raft::kLinksMax);
  bool left = false;
  io::Scope scope(loop);
  scope.spawn([](raft::Links& of, bool& done) -> io::Task<void> {
    co_await of.leave();
    done = true;
  }(links, left));
  EXPECT_TRUE(cluster.run_until([&] { return left; }, seconds(5)));
}

TEST(RaftRefusals, more_voters_than_there_can_be_are_refused) {
  for (const std::size_t count : {raft::kVotersMax, raft::kVotersMax + 1}) {
    RaftCluster cluster(18, 1, 0, raft::RaftOptions());
    RaftPeer& peer = cluster.peer(0);
    for (std::size_t i = 1; i <= count; ++i) {
      raft::Voter voter;
      voter.id = static_cast<NodeId>(i);
      voter.endpoints.push_back({"CONTROLLER", peer.node().host(), kRaftPort});
      peer.options().raft.static_voters.push_back(voter);
    }
    peer.start();
    cluster.world().run_for(seconds(2));
    EXPECT_EQ(peer.is_running(), count == raft::kVotersMax);
  }
}

io::Task<void> format_many(io::Loop& loop, std::size_t count, std::optional<std::string>& said) {
  raft::FormatOptions options;
  options.cluster_id = "q4x9lwHTRwKFrQ69LT3_Sg";
  options.node_id = 1;
  options.metadata_directory = fmt::format("/{}", count);
  options.directories = {options.metadata_directory};
  options.mode = raft::FormatMode::initial_controllers;
  for (std::size_t i = 1; i <= count; ++i)
    options.initial_controllers.push_back({static_cast<NodeId>(i), "host", 1, Uuid{9, i}});
  const auto formatted = co_await raft::format(loop, std::move(options));
  said = formatted ? "" : formatted.error().context;
}

TEST(RaftRefusals, more_initial_controllers_than_there_can_be_are_not_formatted) {
  RaftCluster cluster(19, 1, 0, raft::RaftOptions());
  cluster.start_all();
  ASSERT_NE(cluster.await_leader(seconds(5)), nullptr);
  std::optional<std::string> most;
  std::optional<std::string> too_many;
  io::Loop& loop = cluster.peer(0).node().process().loop(0);
  cluster.peer(0).scope().spawn(format_many(loop, raft::kVotersMax, most));
  cluster.peer(0).scope().spawn(format_many(loop, raft::kVotersMax + 1, too_many));
  ASSERT_TRUE(cluster.run_until([&] { return most && too_many; }, seconds(5)));
  EXPECT_EQ(*most, "");
  EXPECT_NE(too_many->find("at most 16 voters"), std::string::npos) << *too_many;
  EXPECT_FALSE(cluster.peer(0).node().disk().exists("/17/meta.properties"));
}

TEST(RaftRefusals, a_static_quorum_says_what_would_make_it_change) {
  RaftCluster cluster(311, 1, 0, with_static_voters({}, 1));
  RaftPeer& leader = cluster.peer(0);
  leader.start();
  ASSERT_TRUE(cluster.commit("first", seconds(10)));
  for (const Uuid directory : {Uuid{1, 2}, Uuid()}) {
    Outcome removed;
    leader.scope().spawn(remove_voter(leader.log(), 1, directory, removed));
    ASSERT_TRUE(cluster.run_until([&] { return removed.error.has_value(); }, seconds(10)));
    EXPECT_NE(removed.message.find("kraft.version=1"), std::string::npos) << removed.message;
  }
  Outcome added;
  leader.scope().spawn(add_voter(leader.log(), 2, Uuid{1, 2}, "10.0.0.2", added));
  ASSERT_TRUE(cluster.run_until([&] { return added.error.has_value(); }, seconds(10)));
  EXPECT_EQ(*added.error, code(ErrorCode::unsupported_version));
  EXPECT_NE(added.message.find("kraft.version=1"), std::string::npos) << added.message;
}

TEST(RaftRefusals, who_is_of_another_cluster_is_told_so) {
  RaftCluster cluster(312, 1, 1, raft::RaftOptions());
  RaftPeer& stranger = cluster.peer(1);
  stranger.options().cluster_id = "MkU3OEVBNTcwNTJENDM2Qg";
  cluster.start_all();
  ASSERT_TRUE(cluster.commit("first", seconds(10)));
  cluster.world().run_for(seconds(3));
  ASSERT_TRUE(stranger.is_running());
  EXPECT_FALSE(stranger.log().leader_node().has_value());
  const std::string refusal = stranger.log().refusal();
  EXPECT_NE(refusal.find("of another cluster"), std::string::npos) << refusal;
  EXPECT_NE(refusal.find("MkU3OEVBNTcwNTJENDM2Qg"), std::string::npos) << refusal;
  EXPECT_EQ(cluster.peer(0).log().refusal(), "");
}

// Who has led its epoch, and looks for a new one, is no leader to anybody.
TEST(RaftRefusals, without_a_majority_nobody_is_named_as_the_leader) {
  RaftCluster cluster(313, 3, 0, raft::RaftOptions());
  cluster.start_all();
  ASSERT_TRUE(cluster.commit("first", seconds(10)));
  RaftPeer* led = cluster.leader();
  ASSERT_NE(led, nullptr);
  for (std::size_t i = 0; i < cluster.size(); ++i)
    if (&cluster.peer(i) != led) cluster.peer(i).node().kill();
  ASSERT_TRUE(cluster.run_until([&] { return !led->is_leader(); }, seconds(10)));
  int named = 0;
  for (int i = 0; i < 1000; ++i) {
    cluster.world().run_for(milliseconds(10));
    if (led->log().leader_node().has_value()) ++named;
  }
  EXPECT_EQ(named, 0);
}

// Answers each fetch with the same.
class StrangeServer final : public raft::RpcHandler {
 public:
  explicit StrangeServer(protocol::FetchResponse answer) : answer_(std::move(answer)) {}
  io::Task<void> run(io::sim::Process& process) {
    raft::RpcServerOptions options;
    options.apis = {protocol::ApiKey::fetch};
    raft::RpcServer server(process.loop(), options, *this);
    io::Gate stop(process.loop());
    process.on_stop([&stop] { stop.open(); });
    EXPECT_TRUE((co_await server.listen({"0.0.0.0", kRaftPort})).has_value());
    co_await stop.wait();
    co_await server.close();
  }
  io::Task<void> serve(raft::RpcExchange& exchange) override {
    EXPECT_TRUE(exchange.answer(answer_).has_value());
    co_return;
  }
  // What its partition is; the rest is the metadata log's.
  static protocol::FetchResponse answer_with(protocol::FetchResponse::PartitionData partition) {
    protocol::FetchResponse answer;
    auto& topic = answer.responses.emplace_back();
    topic.topic = raft::kMetadataTopic;
    topic.topic_id = kMetadataTopicId;
    topic.partitions.push_back(std::move(partition));
    return answer;
  }

 private:
  protocol::FetchResponse answer_;
};

// Runs an observer that has such a server to ask; returns what it says meanwhile.
std::string run_with(const protocol::FetchResponse& answer, RaftCluster& cluster, Duration span) {
  StrangeServer server(answer);
  io::sim::Node& stranger = cluster.peer(0).node();
  stranger.start([&server](io::sim::Process& process) { return server.run(process); });
  ::testing::internal::CaptureStderr();
  cluster.peer(1).start();
  cluster.world().run_for(span);
  std::string told = ::testing::internal::GetCapturedStderr();
  EXPECT_TRUE(stranger.is_running() && cluster.peer(1).is_running()) << told;
  stranger.kill();
  return told;
}

// The commonest mistake of a first cluster: brokers are named, or nobody.
TEST(RaftRefusals, bootstrap_servers_that_are_no_controllers_are_named) {
  RaftCluster cluster(316, 1, 1, raft::RaftOptions());
  const std::string host = cluster.peer(0).node().host();
  cluster.peer(1).options().raft.bootstrap_servers.push_back({host, kRaftPort + 1});
  protocol::FetchResponse::PartitionData refused;
  refused.error_code = code(ErrorCode::unknown_topic_or_partition);
  const std::string told =
      run_with(StrangeServer::answer_with(std::move(refused)), cluster, seconds(13));
  EXPECT_NE(
      told.find(fmt::format("voters: none is known; bootstrap servers: {0}:{1} (no controllers' "
                            "listener: it answers UNKNOWN_TOPIC_OR_PARTITION), {0}:{2} (",
                            host, kRaftPort, kRaftPort + 1)),
      std::string::npos)
      << told;
  EXPECT_NE(told.find("refused)"), std::string::npos) << told;
}

// A newer release leads: it is asked many times a second, and says the same.
TEST(RaftRefusals, a_leader_that_is_not_understood_is_told_of_now_and_then) {
  RaftCluster cluster(319, 1, 1, raft::RaftOptions());
  protocol::BatchOptions options;
  options.control = true;
  options.leader_epoch = 1;
  protocol::BatchBuilder batch(options);
  protocol::KRaftVersionRecord level;
  level.kraft_version = 9;
  protocol::Writer out;
  ASSERT_TRUE(protocol::encode(out, level, 0).has_value());
  protocol::append_control_record(batch, protocol::ControlType::kraft_version, 0, out.own());
  const std::vector<std::uint8_t> records = std::move(batch).finish();
  protocol::FetchResponse::PartitionData sent;
  sent.current_leader.leader_id = 1;
  sent.current_leader.leader_epoch = 1;
  sent.records = records;
  protocol::FetchResponse answer = StrangeServer::answer_with(std::move(sent));
  const std::string host = cluster.peer(0).node().host();
  auto& node = answer.node_endpoints.emplace_back();
  node.node_id = 1;
  node.host = host;
  node.port = kRaftPort;
  const std::string told = run_with(answer, cluster, seconds(45));
  std::size_t lines = 0;
  for (std::size_t at = 0; (at = told.find("fail their check", at)) != std::string::npos; ++at)
    ++lines;
  EXPECT_EQ(lines, 2u) << told;
  EXPECT_NE(told.find("the quorum's kraft.version is 9"), std::string::npos) << told;
}

using Described = protocol::DescribeQuorumResponse;

protocol::OwnedMessage<Described> describe(raft::RaftLog& log, std::int16_t version = 2) {
  protocol::DescribeQuorumRequest request;
  request.topics.emplace_back().topic_name = raft::kMetadataTopic;
  request.topics.back().partitions.emplace_back();
  return log.describe_quorum(request, version);
}

const Described::PartitionData& partition_of(const protocol::OwnedMessage<Described>& answer) {
  return answer.message.topics.at(0).partitions.at(0);
}

// Whoever is asked, a tool comes to the leader; and where there is none it can say why.
TEST(RaftRefusals, who_does_not_lead_tells_what_it_knows_of_the_quorum) {
  RaftCluster cluster(314, 3, 0, raft::RaftOptions());
  cluster.start_all();
  ASSERT_TRUE(cluster.commit("first", seconds(10)));
  RaftPeer* led = cluster.leader();
  ASSERT_NE(led, nullptr);
  RaftPeer* other = &cluster.peer(0) == led ? &cluster.peer(1) : &cluster.peer(0);
  EXPECT_EQ(partition_of(describe(led->log())).error_code, 0);
  const auto by_follower = describe(other->log());
  const auto& seen = partition_of(by_follower);
  EXPECT_EQ(seen.error_code, code(ErrorCode::not_leader_or_follower));
  EXPECT_EQ(seen.leader_epoch, led->log().epoch());
  EXPECT_EQ(seen.current_voters.size(), 3u);
  EXPECT_NE(seen.error_message.value_or("").find(fmt::format("follows node {}", seen.leader_id)),
            std::string::npos)
      << seen.error_message.value_or("");
  const auto& nodes = by_follower.message.nodes;
  const auto at = std::find_if(nodes.begin(), nodes.end(),
                               [&](const auto& node) { return node.node_id == seen.leader_id; });
  ASSERT_NE(at, nodes.end());
  EXPECT_EQ(at->listeners.at(0).port, kRaftPort);
  EXPECT_TRUE(describe(other->log(), 1).message.nodes.empty());
  for (std::size_t i = 0; i < cluster.size(); ++i)
    if (&cluster.peer(i) != other) cluster.peer(i).node().kill();
  cluster.world().run_for(seconds(15));
  const auto alone = describe(other->log());
  EXPECT_EQ(partition_of(alone).error_code, code(ErrorCode::not_leader_or_follower));
  EXPECT_EQ(partition_of(alone).leader_id, -1);
  const std::string_view told = partition_of(alone).error_message.value_or("");
  EXPECT_NE(told.find("No leader"), std::string::npos) << told;
  EXPECT_NE(told.find("(this node)"), std::string::npos) << told;
  EXPECT_NE(told.find("(not reached)"), std::string::npos) << told;
}

}  // namespace
}  // namespace drave::simulation
