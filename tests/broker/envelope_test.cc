// What comes in an Envelope: another node has it from a client and leaves the question who may do
// it to the controller, as Apache Kafka's nodes do.

#include <gtest/gtest.h>

#include <map>

#include "broker/controller/forwarder.h"
#include "broker/node.h"
#include "protocol/messages/alter_configs.h"
#include "protocol/messages/create_acls.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/delete_acls.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/describe_quorum.h"
#include "protocol/messages/envelope.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/unregister_broker.h"
#include "protocol/messages/update_features.h"
#include "tests/broker/support/node_test.h"

namespace drave {
namespace {

using protocol::AclOperation;
using protocol::ErrorCode;
using protocol::ResourceType;
using test::KafkaClient;
using test::NodeTest;

constexpr int kTopicRefused = 29;
constexpr int kClusterRefused = 31;
constexpr int kSecurityDisabled = 54;

// Who is behind an Envelope.
struct Behind {
  std::string name;
  std::string address = "10.0.0.9";
};

struct EnvelopeTest : NodeTest {
  EnvelopeTest() {
    settings_ = {"listeners=PLAINTEXT://" + server_.host() + ":9092,CONTROLLER://" +
                 server_.host() + ":9093"};
  }

  // `script` with a client of the controllers' listener, as soon as there is one.
  template <class Script>
  void run_as_node(Script script) {
    bool done = false;
    client_.start([&](io::sim::Process& process) { return play_as_node(process, script, done); },
                  1);
    ASSERT_TRUE(world_.run_until([&] { return done && !client_.is_running(); }, seconds(300)));
  }
  template <class Script>
  io::Task<void> play_as_node(io::sim::Process& process, Script& script, bool& done) {
    KafkaClient client(process.loop(0));
    while (!co_await client.connect({server_.host(), 9093})) co_await client.wait(milliseconds(50));
    co_await script(client);
    co_await client.close();
    done = true;
  }
};

// Sends `whole`, a request with its header; the Envelope's error.
io::Task<Result<test::Answer<protocol::EnvelopeResponse>>> send(KafkaClient& node, ByteView whole,
                                                                const Behind& behind) {
  broker::Caller caller;
  caller.principal_name = behind.name;
  const std::vector<std::uint8_t> principal = broker::encode_principal(caller);
  const std::vector<std::uint8_t> address = broker::encode_address(behind.address);
  protocol::EnvelopeRequest envelope;
  envelope.request_data = whole;
  envelope.request_principal = ByteView(principal);
  envelope.client_host_address = address;
  co_return co_await node.call<protocol::EnvelopeResponse>(envelope, 0);
}

template <class Response>
int first_error(const Response& answer) {
  if constexpr (requires { answer.topics.front().error_code; }) {
    if (!answer.topics.empty()) return answer.topics.front().error_code;
  } else if constexpr (requires { answer.responses.front().error_code; }) {
    if (!answer.responses.empty()) return answer.responses.front().error_code;
  } else if constexpr (requires { answer.results.front().error_code; }) {
    if (!answer.results.empty()) return answer.results.front().error_code;
  } else if constexpr (requires { answer.filter_results.front().error_code; }) {
    if (!answer.filter_results.empty()) return answer.filter_results.front().error_code;
  }
  if constexpr (requires { answer.error_code; }) return answer.error_code;
  return -100;
}

// The first error in what the request is answered with; -200: the Envelope itself failed.
template <class Response, class Request>
io::Task<int> forward(KafkaClient& node, const Request& request, std::int16_t version,
                      Behind behind) {
  std::size_t body = 0;
  const std::vector<std::uint8_t> whole = broker::encode_whole(request, version, body);
  const auto reply = co_await send(node, whole, behind);
  if (!reply || reply->message.error_code != 0 || !reply->message.response_data) co_return -200;
  protocol::Reader in(*reply->message.response_data);
  protocol::ResponseHeader header;
  Response answer;
  if (!decode_response_header(in, header, Request::kApiKey, version)) co_return -201;
  if (!decode(in, answer, version)) co_return -202;
  co_return first_error(answer);
}

protocol::CreateTopicsRequest creation_of(std::string_view name) {
  protocol::CreateTopicsRequest request;
  request.timeout_ms = 5'000;
  auto& topic = request.topics.emplace_back();
  topic.name = name;
  topic.num_partitions = 1;
  topic.replication_factor = 1;
  return request;
}

// An entry that allows alice, and so nobody else, what it says.
protocol::CreateAclsRequest entry_of(ResourceType type, std::string_view name,
                                     std::string_view host = "*",
                                     AclOperation operation = AclOperation::all) {
  protocol::CreateAclsRequest request;
  auto& acl = request.creations.emplace_back();
  acl.resource_type = static_cast<std::int8_t>(type);
  acl.resource_name = name;
  acl.resource_pattern_type = static_cast<std::int8_t>(protocol::PatternType::literal);
  acl.principal = "User:alice";
  acl.host = host;
  acl.operation = static_cast<std::int8_t>(operation);
  acl.permission_type = static_cast<std::int8_t>(protocol::AclPermission::allow);
  return request;
}

// What each request on behalf of `behind` is answered with.
io::Task<std::map<std::string, int>> ask_all(KafkaClient& node, Behind behind) {
  using namespace protocol;
  std::map<std::string, int> said;
  said["create"] = co_await forward<CreateTopicsResponse>(node, creation_of("guarded"), 7, behind);
  CreatePartitionsRequest grow;
  grow.timeout_ms = 5'000;
  grow.topics.emplace_back().name = "guarded";
  grow.topics.back().count = 2;
  said["grow"] = co_await forward<CreatePartitionsResponse>(node, grow, 3, behind);
  IncrementalAlterConfigsRequest configs;
  auto& resource = configs.resources.emplace_back();
  resource.resource_type = 2;
  resource.resource_name = "guarded";
  resource.configs.push_back({"retention.ms", 0, "1000"});
  said["configs"] = co_await forward<IncrementalAlterConfigsResponse>(node, configs, 1, behind);
  DeleteTopicsRequest removal;
  removal.timeout_ms = 5'000;
  removal.topics.push_back({"guarded", TopicId()});
  said["delete"] = co_await forward<DeleteTopicsResponse>(node, removal, 6, behind);
  said["quorum"] =
      co_await forward<DescribeQuorumResponse>(node, DescribeQuorumRequest{}, 2, behind);
  said["features"] =
      co_await forward<UpdateFeaturesResponse>(node, UpdateFeaturesRequest{}, 1, behind);
  UnregisterBrokerRequest unregister;
  unregister.broker_id = 77;
  said["unregister"] = co_await forward<UnregisterBrokerResponse>(node, unregister, 0, behind);
  said["create acl"] =
      co_await forward<CreateAclsResponse>(node, entry_of(ResourceType::topic, "other"), 3, behind);
  DeleteAclsRequest forget;
  forget.filters.push_back({2, "other", 3, std::nullopt, std::nullopt, 2, 3});
  said["delete acl"] = co_await forward<DeleteAclsResponse>(node, forget, 3, behind);
  co_return said;
}

TEST_F(EnvelopeTest, its_client_may_do_what_entries_say_and_no_more) {
  boot(1);
  run_as_node([](KafkaClient& node) -> io::Task<void> {
    const Behind alice{"alice"};
    for (const auto& [type, name] : {std::pair(ResourceType::topic, "guarded"),
                                     std::pair(ResourceType::cluster, "kafka-cluster")}) {
      EXPECT_EQ(
          co_await forward<protocol::CreateAclsResponse>(node, entry_of(type, name), 3, alice), 0);
    }
    for (const auto& [name, error] : co_await ask_all(node, {"bob"})) {
      const bool of_topic = name == "create" || name == "grow" || name == "configs";
      EXPECT_EQ(error, name == "delete" || of_topic ? kTopicRefused : kClusterRefused) << name;
    }
    for (const auto& [name, error] : co_await ask_all(node, alice)) {
      EXPECT_NE(error, kTopicRefused) << name;
      EXPECT_NE(error, kClusterRefused) << name;
      EXPECT_GE(error, 0) << name;
    }
  });
  stop();
}

// A topic is closed to all but alice, and then bob asks for it, while the disk takes `stall` for
// whatever is asked of it from then on.
io::Task<void> ask_while_it_starts(KafkaClient& node, io::sim::Delay& stall, int& said) {
  const Behind alice{"alice"};
  const protocol::DescribeQuorumRequest nothing;
  while (co_await forward<protocol::DescribeQuorumResponse>(node, nothing, 2, alice) != 0)
    co_await node.wait(milliseconds(1));
  co_await node.wait(milliseconds(50));  // the broker registers, and opens its partitions
  stall = {seconds(1), seconds(1)};
  protocol::CreateAclsRequest closed = entry_of(ResourceType::topic, "guarded");
  closed.creations.push_back(entry_of(ResourceType::cluster, "kafka-cluster").creations[0]);
  EXPECT_EQ(co_await forward<protocol::CreateAclsResponse>(node, closed, 3, alice), 0);
  said = co_await forward<protocol::CreateTopicsResponse>(node, creation_of("guarded"), 7, {"bob"});
}

// What was acknowledged counts at once, also on a node that is the active controller before its own
// shards have what they serve.
TEST_F(EnvelopeTest, its_client_is_judged_by_the_newest_entries_while_the_node_still_starts) {
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    EXPECT_EQ(co_await test::create_topic(client, "many", 150), 0);
  });
  stop();
  server_.disk().options().stall_one_in = 1;
  server_.disk().options().stall_delay = {milliseconds(10), milliseconds(10)};
  node_->start(1);
  int said = 0;
  run_as_node([this, &said](KafkaClient& node) {
    return ask_while_it_starts(node, server_.disk().options().stall_delay, said);
  });
  EXPECT_EQ(said, kTopicRefused);
  EXPECT_FALSE(node_->is_ready());
  server_.disk().options().stall_one_in = 0;
  ASSERT_TRUE(world_.run_until([&] { return node_->is_ready(); }, seconds(60)));
  stop();
}

// Of several items each is judged by itself, and by the client's address.
TEST_F(EnvelopeTest, what_its_client_may_not_do_is_answered_beside_the_rest) {
  boot(1);
  run_as_node([](KafkaClient& node) -> io::Task<void> {
    const Behind near{"alice", "10.0.0.1"};
    EXPECT_EQ(co_await forward<protocol::CreateAclsResponse>(
                  node, entry_of(ResourceType::topic, "guarded", "10.0.0.1"), 3, near),
              0);
    EXPECT_EQ(co_await forward<protocol::CreateAclsResponse>(
                  node, entry_of(ResourceType::cluster, "kafka-cluster", "*", AclOperation::alter),
                  3, near),
              0);
    protocol::CreateTopicsRequest two = creation_of("open");
    two.topics.push_back(creation_of("guarded").topics.front());
    EXPECT_EQ(co_await forward<protocol::CreateTopicsResponse>(node, two, 7, {"alice", "10.0.0.2"}),
              0);
    EXPECT_EQ(co_await forward<protocol::CreateTopicsResponse>(node, creation_of("guarded"), 7,
                                                               {"alice", "10.0.0.2"}),
              kTopicRefused);
    EXPECT_EQ(co_await forward<protocol::CreateTopicsResponse>(node, creation_of("open"), 7, near),
              static_cast<int>(ErrorCode::topic_already_exists));
    EXPECT_EQ(
        co_await forward<protocol::CreateTopicsResponse>(node, creation_of("guarded"), 7, near), 0);
  });
  stop();
}

TEST_F(EnvelopeTest, without_an_authorizer_acls_are_refused) {
  settings_.push_back("authorizer.class.name=");
  boot(1);
  run_as_node([](KafkaClient& node) -> io::Task<void> {
    EXPECT_EQ(co_await forward<protocol::CreateAclsResponse>(
                  node, entry_of(ResourceType::topic, "guarded"), 3, {"alice"}),
              kSecurityDisabled);
  });
  stop();
}

// Kafka's node tells its client UNSUPPORTED_VERSION where that is in the Envelope, and
// UNKNOWN_SERVER_ERROR for all else.
TEST_F(EnvelopeTest, what_controllers_of_kafka_decide_and_we_do_not_is_an_unsupported_version) {
  boot(1);
  run_as_node([](KafkaClient& node) -> io::Task<void> {
    const auto error_of = [&](std::int16_t key) -> io::Task<int> {
      protocol::RequestHeader header;
      header.request_api_key = key;
      header.request_api_version = 0;
      protocol::Writer out;
      EXPECT_TRUE(encode_request_header(out, header).has_value());
      const auto reply = co_await send(node, out.own(), {"alice"});
      co_return reply ? reply->message.error_code : -1;
    };
    EXPECT_EQ(co_await error_of(46), 35);   // ListPartitionReassignments
    EXPECT_EQ(co_await error_of(49), 35);   // AlterClientQuotas
    EXPECT_EQ(co_await error_of(0), 42);    // Produce is nobody's in an Envelope
    EXPECT_EQ(co_await error_of(999), 42);  // there is no such API
  });
  stop();
}

}  // namespace
}  // namespace drave
