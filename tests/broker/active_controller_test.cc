// What nodes and their clients have from the active controller when something goes slowly or wrong.

#include <deque>

#include "io/scope.h"
#include "protocol/messages/create_acls.h"
#include "protocol/resource.h"
#include "tests/broker/support/sim_cluster.h"

namespace drave {
namespace {

using protocol::ErrorCode;
using test::ClusterTest;
using test::code;
using test::KafkaClient;

// A topic that is asked for by a connection of its own.
struct Creation {
  std::string name;
  std::int32_t timeout_ms = 30'000;
  Duration after{};  // the beginning
  std::int16_t error = -2;
  Duration took{};
};

io::Task<void> carry_out(io::Loop& loop, std::string host, Creation* creation) {
  co_await io::sleep_for(loop, creation->after);
  KafkaClient client(loop);
  const Instant begun = loop.now();
  EXPECT_TRUE((co_await client.connect({host, 9092})).has_value());
  creation->error = co_await test::create_topic(client, creation->name, 1, creation->timeout_ms);
  creation->took = loop.now() - begun;
  co_await client.close();
}

io::Task<void> carry_out_all(io::Loop& loop, std::string host, std::deque<Creation>* all) {
  io::Scope scope(loop);
  for (Creation& creation : *all) scope.spawn(carry_out(loop, host, &creation));
  co_await scope.join();
}

struct ActiveControllerTest : ClusterTest {
  using ClusterTest::ClusterTest;

  void stall(int index, Duration span) {
    machines_[index]->disk().options().stall_one_in = span.ns > 0 ? 1 : 0;
    machines_[index]->disk().options().stall_delay = {span, span};
  }
  // The disks of all but the active controller's node take so long: nothing is committed sooner.
  void commit_takes(Duration span) {
    const int leader = wait_active();
    for (int i = 0; i < kNodes; ++i)
      if (i != leader) stall(i, span);
  }
  void ask(int index, std::deque<Creation>& all) {
    run(index, [&](KafkaClient& client) -> io::Task<void> {
      return carry_out_all(client.loop(), machines_[index]->host(), &all);
    });
  }
  bool has_topic(int index, std::string_view name) {
    return image_of(index).topics().find(name) != nullptr;
  }
};

// All forwarded requests of a node go over one connection.
TEST_F(ActiveControllerTest, a_client_that_waits_for_a_moment_ends_nothing_for_others) {
  boot();
  const int leader = wait_active();
  commit_takes(milliseconds(700));
  std::deque<Creation> all;
  all.push_back({"patient"});
  all.push_back({"hasty", 1, milliseconds(100)});
  all.push_back({"later", 30'000, milliseconds(200)});
  ask((leader + 1) % kNodes, all);
  EXPECT_EQ(all[0].error, 0);
  EXPECT_EQ(all[1].error, code(ErrorCode::request_timed_out));
  EXPECT_LT(all[1].took, milliseconds(600));
  EXPECT_EQ(all[2].error, 0);
  commit_takes({});
  world_.run_for(seconds(1));
  EXPECT_TRUE(has_topic(leader, "hasty")) << "it was decided all the same";
  shut_down();
}

TEST_F(ActiveControllerTest, a_client_of_the_active_one_waits_no_longer_than_it_wants_to) {
  boot();
  const int leader = wait_active();
  commit_takes(milliseconds(1200));
  std::deque<Creation> all;
  all.push_back({"hasty", 1});
  ask(leader, all);
  EXPECT_EQ(all[0].error, code(ErrorCode::request_timed_out));
  EXPECT_LT(all[0].took, milliseconds(600));
  commit_takes({});
  world_.run_for(seconds(2));
  EXPECT_TRUE(has_topic(leader, "hasty"));
  shut_down();
}

// --- What can never be forwarded

struct DeniedNodesTest : ActiveControllerTest {
  DeniedNodesTest()
      : ActiveControllerTest(
            1, {"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users=User:admin", "allow.everyone.if.no.acl.found=true"}) {}
};

io::Task<void> deny_cluster_action(KafkaClient& client) {
  protocol::CreateAclsRequest request;
  auto& acl = request.creations.emplace_back();
  acl.resource_type = static_cast<std::int8_t>(protocol::ResourceType::cluster);
  acl.resource_name = "kafka-cluster";
  acl.resource_pattern_type = static_cast<std::int8_t>(protocol::PatternType::literal);
  acl.principal = "User:*";
  acl.host = "*";
  acl.operation = static_cast<std::int8_t>(protocol::AclOperation::cluster_action);
  acl.permission_type = static_cast<std::int8_t>(protocol::AclPermission::deny);
  const auto answer = co_await client.call<protocol::CreateAclsResponse>(request, 3);
  EXPECT_TRUE(answer.has_value() && answer->message.results.at(0).error_code == 0);
}

TEST_F(DeniedNodesTest, what_the_controller_will_never_take_is_refused_at_once) {
  boot();
  const int leader = wait_active();
  run(leader, [](KafkaClient& client) { return deny_cluster_action(client); });
  std::deque<Creation> all;
  all.push_back({"never"});
  ask((leader + 1) % kNodes, all);
  EXPECT_EQ(all[0].error, code(ErrorCode::unknown_server_error));
  EXPECT_LT(all[0].took, seconds(1));
  for (int i = 0; i < kNodes; ++i) machines_[i]->kill();
}

}  // namespace
}  // namespace drave
