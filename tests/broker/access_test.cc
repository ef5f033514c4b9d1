// Who may do what, asked through the wire: each API refuses with Kafka's error, names and topics
// stay hidden from who may not describe them.

#include <gtest/gtest.h>

#include <map>

#include "broker/node.h"
#include "metadata/acls.h"
#include "protocol/messages/allocate_producer_ids.h"
#include "protocol/messages/alter_configs.h"
#include "protocol/messages/assign_replicas_to_dirs.h"
#include "protocol/messages/begin_quorum_epoch.h"
#include "protocol/messages/broker_heartbeat.h"
#include "protocol/messages/broker_registration.h"
#include "protocol/messages/controller_registration.h"
#include "protocol/messages/create_acls.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/delete_acls.h"
#include "protocol/messages/delete_records.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/describe_acls.h"
#include "protocol/messages/describe_cluster.h"
#include "protocol/messages/describe_configs.h"
#include "protocol/messages/describe_log_dirs.h"
#include "protocol/messages/describe_producers.h"
#include "protocol/messages/describe_quorum.h"
#include "protocol/messages/describe_topic_partitions.h"
#include "protocol/messages/elect_leaders.h"
#include "protocol/messages/end_quorum_epoch.h"
#include "protocol/messages/envelope.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/fetch_snapshot.h"
#include "protocol/messages/find_coordinator.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/init_producer_id.h"
#include "protocol/messages/list_config_resources.h"
#include "protocol/messages/list_offsets.h"
#include "protocol/messages/metadata.h"
#include "protocol/messages/offset_for_leader_epoch.h"
#include "protocol/messages/update_features.h"
#include "protocol/messages/update_raft_voter.h"
#include "protocol/messages/vote.h"
#include "tests/broker/support/node_test.h"

namespace drave {
namespace {

using protocol::AclOperation;
using protocol::AclPermission;
using protocol::ErrorCode;
using protocol::PatternType;
using protocol::ResourceType;
using test::code;
using test::KafkaClient;
using test::NodeTest;

constexpr int kTopicRefused = 29;
constexpr int kGroupRefused = 30;
constexpr int kClusterRefused = 31;

struct Entry {
  ResourceType type = ResourceType::topic;
  std::string_view name;
  AclOperation operation = AclOperation::all;
  AclPermission permission = AclPermission::allow;
  std::string_view principal = "User:alice";
  PatternType pattern = PatternType::literal;
};

Entry denial(ResourceType type, std::string_view name, AclOperation operation) {
  return {type, name, operation, AclPermission::deny, "User:ANONYMOUS", PatternType::literal};
}

io::Task<int> add_acl(KafkaClient& client, Entry entry) {
  protocol::CreateAclsRequest request;
  auto& acl = request.creations.emplace_back();
  acl.resource_type = static_cast<std::int8_t>(entry.type);
  acl.resource_name = entry.name;
  acl.resource_pattern_type = static_cast<std::int8_t>(entry.pattern);
  acl.principal = entry.principal;
  acl.host = "*";
  acl.operation = static_cast<std::int8_t>(entry.operation);
  acl.permission_type = static_cast<std::int8_t>(entry.permission);
  const auto answer = co_await client.call<protocol::CreateAclsResponse>(request, 3);
  co_return answer ? answer->message.results.at(0).error_code : -2;
}

// While the cluster has no entry, everybody may create and delete every topic by the cluster's
// word. With this one we may go on making entries, and nothing else.
io::Task<void> close_cluster(KafkaClient& client) {
  EXPECT_EQ(co_await add_acl(client, {.type = ResourceType::cluster,
                                      .name = "kafka-cluster",
                                      .operation = AclOperation::alter,
                                      .principal = "User:ANONYMOUS"}),
            0);
}

io::Task<int> create(KafkaClient& client, std::string_view name, Uuid* id = nullptr) {
  protocol::CreateTopicsRequest request;
  request.timeout_ms = 10'000;
  auto& topic = request.topics.emplace_back();
  topic.name = name;
  topic.num_partitions = 1;
  topic.replication_factor = 1;
  const auto answer = co_await client.call<protocol::CreateTopicsResponse>(request, 7);
  if (!answer) co_return -2;
  if (id != nullptr) *id = answer->message.topics.at(0).topic_id;
  co_return answer->message.topics.at(0).error_code;
}

using Outcomes = std::map<std::string, int>;

// Everything that can be asked about the records of one topic, which is there: the error of each.
io::Task<Outcomes> use_records(KafkaClient& client, std::string_view name, Uuid id) {
  Outcomes found;
  const auto batch = test::batch_of(1, "x");
  const auto produced =
      co_await client.call<protocol::ProduceResponse>(test::produce_of(name, 0, batch), 9);
  found["produce"] = produced->message.responses.at(0).partition_responses.at(0).error_code;
  protocol::ProduceRequest produce = test::produce_of("", 0, batch);
  produce.topic_data[0].topic_id = id;
  const auto by_id = co_await client.call<protocol::ProduceResponse>(produce, 13);
  found["produce by id"] = by_id->message.responses.at(0).partition_responses.at(0).error_code;
  const auto fetched =
      co_await client.call<protocol::FetchResponse>(test::fetch_of(name, 0, 0, 0), 12);
  found["fetch"] = fetched->message.responses.at(0).partitions.at(0).error_code;
  protocol::FetchRequest fetch = test::fetch_of("", 0, 0, 0);
  fetch.topics[0].topic_id = id;
  const auto fetched_by_id = co_await client.call<protocol::FetchResponse>(fetch, 17);
  found["fetch by id"] = fetched_by_id->message.responses.at(0).partitions.at(0).error_code;
  protocol::ListOffsetsRequest list;
  list.topics.emplace_back().name = name;
  list.topics[0].partitions.emplace_back().timestamp = -1;
  const auto listed = co_await client.call<protocol::ListOffsetsResponse>(list, 10);
  found["list offsets"] = listed->message.topics.at(0).partitions.at(0).error_code;
  protocol::DeleteRecordsRequest records;
  records.topics.emplace_back().name = name;
  records.topics[0].partitions.push_back({0, 0});
  const auto deleted = co_await client.call<protocol::DeleteRecordsResponse>(records, 2);
  found["delete records"] = deleted->message.topics.at(0).partitions.at(0).error_code;
  protocol::OffsetForLeaderEpochRequest epochs;
  epochs.topics.emplace_back().topic = name;
  epochs.topics[0].partitions.push_back({0, -1, 0});
  const auto ends = co_await client.call<protocol::OffsetForLeaderEpochResponse>(epochs, 4);
  found["epochs"] = ends->message.topics.at(0).partitions.at(0).error_code;
  protocol::DescribeProducersRequest producers;
  producers.topics.emplace_back().name = name;
  producers.topics[0].partition_indexes = {0};
  const auto told = co_await client.call<protocol::DescribeProducersResponse>(producers, 0);
  found["producers"] = told->message.topics.at(0).partitions.at(0).error_code;
  co_return found;
}

// The same of the topic itself.
io::Task<Outcomes> use_topic(KafkaClient& client, std::string_view name, Uuid id) {
  Outcomes found;
  protocol::MetadataRequest metadata;
  metadata.topics->push_back({{}, name});
  metadata.topics->push_back({id, std::nullopt});
  const auto seen = co_await client.call<protocol::MetadataResponse>(metadata, 13);
  found["metadata"] = seen->message.topics.at(0).error_code;
  found["metadata by id"] = seen->message.topics.at(1).error_code;
  protocol::DescribeTopicPartitionsRequest partitions;
  partitions.topics.push_back({name});
  const auto described =
      co_await client.call<protocol::DescribeTopicPartitionsResponse>(partitions, 0);
  found["describe partitions"] = described->message.topics.at(0).error_code;
  protocol::DescribeConfigsRequest configs;
  configs.resources.push_back({2, name, std::nullopt});
  const auto config = co_await client.call<protocol::DescribeConfigsResponse>(configs, 4);
  found["describe configs"] = config->message.results.at(0).error_code;
  protocol::IncrementalAlterConfigsRequest incremental;
  incremental.resources.emplace_back().resource_type = 2;
  incremental.resources[0].resource_name = name;
  const auto altered =
      co_await client.call<protocol::IncrementalAlterConfigsResponse>(incremental, 1);
  found["alter configs"] = altered->message.responses.at(0).error_code;
  protocol::AlterConfigsRequest alter;
  alter.resources.emplace_back().resource_type = 2;
  alter.resources[0].resource_name = name;
  const auto replaced = co_await client.call<protocol::AlterConfigsResponse>(alter, 2);
  found["replace configs"] = replaced->message.responses.at(0).error_code;
  protocol::CreatePartitionsRequest more;
  more.timeout_ms = 10'000;
  more.topics.emplace_back().name = name;
  more.topics[0].count = 2;
  more.topics[0].assignments.reset();
  const auto grown = co_await client.call<protocol::CreatePartitionsResponse>(more, 3);
  found["create partitions"] = grown->message.results.at(0).error_code;
  protocol::DeleteTopicsRequest deletion;
  deletion.timeout_ms = 10'000;
  deletion.topics.push_back({std::nullopt, id});
  const auto by_id = co_await client.call<protocol::DeleteTopicsResponse>(deletion, 6);
  found["delete by id"] = by_id->message.responses.at(0).error_code;
  if (found["delete by id"] == 0) EXPECT_EQ(co_await create(client, name), 0);
  deletion.topics = {{name, Uuid()}};
  const auto deleted = co_await client.call<protocol::DeleteTopicsResponse>(deletion, 6);
  found["delete"] = deleted->message.responses.at(0).error_code;
  co_return found;
}

void expect_all(const Outcomes& found, int error) {
  for (const auto& [what, got] : found) EXPECT_EQ(got, error) << what;
}

TEST_F(NodeTest, a_topic_with_an_entry_is_closed_to_all_others) {
  boot(2);
  run([](KafkaClient& client) -> io::Task<void> {
    Uuid open, closed;
    EXPECT_EQ(co_await create(client, "open", &open), 0);
    EXPECT_EQ(co_await create(client, "closed", &closed), 0);
    EXPECT_EQ(co_await add_acl(client, {.name = "closed"}), 0);
    co_await close_cluster(client);
    expect_all(co_await use_records(client, "closed", closed), kTopicRefused);
    expect_all(co_await use_topic(client, "closed", closed), kTopicRefused);
    // What is not there is refused in the same way.
    EXPECT_EQ(co_await add_acl(client, {.name = "absent"}), 0);
    protocol::MetadataRequest metadata;
    metadata.topics->push_back({{}, "absent"});
    const auto asked = co_await client.call<protocol::MetadataResponse>(metadata, 12);
    EXPECT_EQ(asked->message.topics.at(0).error_code, kTopicRefused);
    metadata.topics.reset();
    const auto listed = co_await client.call<protocol::MetadataResponse>(metadata, 12);
    EXPECT_EQ(listed->message.topics.size(), 1U);
    const auto partitions = co_await client.call<protocol::DescribeTopicPartitionsResponse>(
        protocol::DescribeTopicPartitionsRequest{}, 0);
    EXPECT_EQ(partitions->message.topics.size(), 1U);
    expect_all(co_await use_records(client, "open", open), 0);
    expect_all(co_await use_topic(client, "open", open), 0);
  });
  stop();
}

TEST_F(NodeTest, entries_allow_what_they_say) {
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    Uuid id;
    EXPECT_EQ(co_await create(client, "readable", &id), 0);
    EXPECT_EQ(co_await add_acl(client, {.name = "read",
                                        .operation = AclOperation::read,
                                        .principal = "User:*",
                                        .pattern = PatternType::prefixed}),
              0);
    Outcomes found = co_await use_records(client, "readable", id);
    for (const char* what : {"fetch", "fetch by id", "list offsets", "epochs", "producers"})
      EXPECT_EQ(found[what], 0) << what;
    for (const char* what : {"produce", "produce by id", "delete records"})
      EXPECT_EQ(found[what], kTopicRefused) << what;
    protocol::MetadataRequest metadata;
    metadata.topics->push_back({{}, "readable"});
    metadata.include_topic_authorized_operations = true;
    const auto seen = co_await client.call<protocol::MetadataResponse>(metadata, 12);
    EXPECT_EQ(seen->message.topics.at(0).topic_authorized_operations, (1 << 3) | (1 << 8));
    // A replica must be one of the cluster's, whatever may be read.
    protocol::FetchRequest fetch = test::fetch_of("readable", 0, 0, 0);
    fetch.replica_id = 2;
    EXPECT_EQ(co_await add_acl(client, denial(ResourceType::cluster, "kafka-cluster",
                                              AclOperation::cluster_action)),
              0);
    const auto fetched = co_await client.call<protocol::FetchResponse>(fetch, 12);
    EXPECT_EQ(fetched->message.responses.at(0).partitions.at(0).error_code, kTopicRefused);
  });
  stop();
}

TEST_F(NodeTest, topics_are_created_by_who_may) {
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    // Anybody may see such names, only alice may create them.
    EXPECT_EQ(co_await add_acl(client, {.name = "new",
                                        .operation = AclOperation::describe,
                                        .principal = "User:*",
                                        .pattern = PatternType::prefixed}),
              0);
    EXPECT_EQ(co_await create(client, "other"), 0);
    // By the cluster's word everything may be created.
    EXPECT_EQ(co_await create(client, "new-1"), 0);
    co_await close_cluster(client);
    EXPECT_EQ(co_await create(client, "new-2"), kTopicRefused);
    protocol::MetadataRequest metadata;
    metadata.topics->push_back({{}, "new-3"});
    metadata.topics->push_back({{}, "free"});
    const auto asked = co_await client.call<protocol::MetadataResponse>(metadata, 12);
    EXPECT_EQ(asked->message.topics.at(0).error_code, kTopicRefused);
    EXPECT_EQ(asked->message.topics.at(1).error_code, 0);
    // Who may create a topic and not know its configs is not told them.
    EXPECT_EQ(co_await add_acl(client, {.name = "blind",
                                        .operation = AclOperation::create,
                                        .principal = "User:ANONYMOUS"}),
              0);
    protocol::CreateTopicsRequest request;
    request.topics.emplace_back().name = "blind";
    request.topics[0].num_partitions = 1;
    request.topics[0].replication_factor = 1;
    const auto made = co_await client.call<protocol::CreateTopicsResponse>(request, 7);
    EXPECT_EQ(made->message.topics.at(0).error_code, 0);
    EXPECT_EQ(made->message.topics.at(0).topic_config_error_code, kTopicRefused);
    EXPECT_EQ(made->message.topics.at(0).num_partitions, -1);
    EXPECT_TRUE(made->message.topics.at(0).configs->empty());
  });
  stop();
}

io::Task<Outcomes> use_cluster(KafkaClient& client) {
  Outcomes found;
  const auto logs = co_await client.call<protocol::DescribeLogDirsResponse>(
      protocol::DescribeLogDirsRequest{}, 4);
  found["log dirs"] = logs->message.error_code;
  protocol::DescribeQuorumRequest quorum;
  const auto told = co_await client.call<protocol::DescribeQuorumResponse>(quorum, 2);
  found["quorum"] = told->message.error_code;
  protocol::DescribeAclsRequest acls;
  acls.resource_type_filter = acls.pattern_type_filter = 1;
  acls.operation = acls.permission_type = 1;
  acls.resource_name_filter = acls.principal_filter = acls.host_filter = std::nullopt;
  const auto listed = co_await client.call<protocol::DescribeAclsResponse>(acls, 3);
  found["describe acls"] = listed->message.error_code;
  protocol::DescribeConfigsRequest configs;
  configs.resources.push_back({4, "1", std::nullopt});
  const auto config = co_await client.call<protocol::DescribeConfigsResponse>(configs, 4);
  found["describe configs"] = config->message.results.at(0).error_code;
  const auto resources = co_await client.call<protocol::ListConfigResourcesResponse>(
      protocol::ListConfigResourcesRequest{}, 1);
  found["list config resources"] = resources->message.error_code;
  protocol::IncrementalAlterConfigsRequest alter;
  alter.resources.emplace_back().resource_type = 4;
  alter.resources[0].resource_name = "1";
  const auto altered = co_await client.call<protocol::IncrementalAlterConfigsResponse>(alter, 1);
  found["alter configs"] = altered->message.responses.at(0).error_code;
  protocol::ElectLeadersRequest election;
  election.topic_partitions.emplace();
  const auto elected = co_await client.call<protocol::ElectLeadersResponse>(election, 2);
  found["elect leaders"] = elected->message.error_code;
  protocol::UpdateFeaturesRequest features;
  const auto updated = co_await client.call<protocol::UpdateFeaturesResponse>(features, 2);
  found["update features"] = updated->message.error_code;
  protocol::DeleteAclsRequest deletion;
  auto& filter = deletion.filters.emplace_back();
  filter.resource_type_filter = 2;
  filter.pattern_type_filter = filter.operation = filter.permission_type = 1;
  filter.resource_name_filter = "no such";
  filter.principal_filter = filter.host_filter = std::nullopt;
  const auto deleted = co_await client.call<protocol::DeleteAclsResponse>(deletion, 3);
  found["delete acls"] = deleted->message.filter_results.at(0).error_code;
  const auto id = co_await client.call<protocol::InitProducerIdResponse>(
      protocol::InitProducerIdRequest{.transactional_id = std::nullopt}, 4);
  found["producer id"] = id->message.error_code;
  co_return found;
}

TEST_F(NodeTest, the_cluster_is_closed_by_a_denial) {
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    const Outcomes before = co_await use_cluster(client);
    expect_all(before, 0);
    protocol::DescribeClusterRequest request;
    request.include_cluster_authorized_operations = true;
    const auto all = co_await client.call<protocol::DescribeClusterResponse>(request, 2);
    EXPECT_EQ(all->message.cluster_authorized_operations,
              (1 << 5) | (1 << 7) | (1 << 8) | (1 << 9) | (1 << 10) | (1 << 11) | (1 << 12));
    protocol::FindCoordinatorRequest find;
    find.coordinator_keys = {"mine", "hers"};
    EXPECT_EQ(co_await add_acl(client, {.type = ResourceType::group, .name = "hers"}), 0);
    const auto found = co_await client.call<protocol::FindCoordinatorResponse>(find, 4);
    EXPECT_EQ(found->message.coordinators.at(0).error_code,
              code(ErrorCode::coordinator_not_available));
    EXPECT_EQ(found->message.coordinators.at(1).error_code, kGroupRefused);
    EXPECT_EQ(co_await add_acl(client, denial(ResourceType::topic, "*", AclOperation::write)), 0);
    EXPECT_EQ(
        co_await add_acl(client, denial(ResourceType::cluster, "kafka-cluster", AclOperation::all)),
        0);
    expect_all(co_await use_cluster(client), kClusterRefused);
    const auto none = co_await client.call<protocol::DescribeClusterResponse>(request, 2);
    EXPECT_EQ(none->message.error_code, 0);
    EXPECT_EQ(none->message.cluster_authorized_operations, 0);
    EXPECT_EQ(co_await add_acl(client, {.name = "too late"}), kClusterRefused);
    // Its first version has no code for the whole.
    protocol::ElectLeadersRequest election;
    election.topic_partitions.emplace().push_back({"topic", {3}});
    const auto elected = co_await client.call<protocol::ElectLeadersResponse>(election, 0);
    EXPECT_TRUE(elected.has_value());
    if (!elected) co_return;
    const auto& partition = elected->message.replica_election_results.at(0).partition_result.at(0);
    EXPECT_EQ(partition.partition_id, 3);
    EXPECT_EQ(partition.error_code, kClusterRefused);
  });
  stop();
}

TEST_F(NodeTest, entries_are_there_after_a_restart) {
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    EXPECT_EQ(co_await create(client, "closed"), 0);
    EXPECT_EQ(co_await add_acl(client, {.name = "closed"}), 0);
  });
  server_.power_cut();
  boot(2);
  run([](KafkaClient& client) -> io::Task<void> {
    const auto produced = co_await client.call<protocol::ProduceResponse>(
        test::produce_of("closed", 0, test::batch_of(1, "x")), 9);
    EXPECT_EQ(produced->message.responses.at(0).partition_responses.at(0).error_code,
              kTopicRefused);
    protocol::DescribeAclsRequest acls;
    acls.resource_type_filter = 2;
    acls.resource_name_filter = "closed";
    acls.pattern_type_filter = static_cast<std::int8_t>(PatternType::match);
    acls.principal_filter = acls.host_filter = std::nullopt;
    acls.operation = acls.permission_type = 1;
    const auto listed = co_await client.call<protocol::DescribeAclsResponse>(acls, 3);
    EXPECT_EQ(listed->message.resources.size(), 1U);
    if (listed->message.resources.empty()) co_return;
    EXPECT_EQ(listed->message.resources[0].resource_name, "closed");
    EXPECT_EQ(listed->message.resources[0].acls.at(0).principal, "User:alice");
    acls.operation = 0;
    const auto refused = co_await client.call<protocol::DescribeAclsResponse>(acls, 3);
    EXPECT_EQ(refused->message.error_code, code(ErrorCode::invalid_request));
  });
  stop();
}

TEST_F(NodeTest, an_authorizer_that_is_asked_for_is_closed) {
  settings_ = {"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer"};
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    expect_all(co_await use_cluster(client), kClusterRefused);
    EXPECT_EQ(co_await create(client, "t"), kTopicRefused);
  });
  stop();
}

template <class Answered, class Asked>
io::Task<void> note_code(KafkaClient& client, Asked request, std::int16_t version,
                         std::map<std::string, int>& found, std::string name) {
  const auto answer = co_await client.call<Answered>(request, version);
  EXPECT_TRUE(answer.has_value()) << name;
  if (answer) found[name] = answer->message.error_code;
}

// The first error of each request that nodes send to controllers.
io::Task<void> act_as_node(KafkaClient& client, std::map<std::string, int>& found) {
  using namespace protocol;
  co_await note_code<VoteResponse>(client, VoteRequest{}, 2, found, "vote");
  co_await note_code<BeginQuorumEpochResponse>(client, BeginQuorumEpochRequest{}, 1, found,
                                               "begin");
  co_await note_code<EndQuorumEpochResponse>(client, EndQuorumEpochRequest{}, 1, found, "end");
  co_await note_code<FetchResponse>(client, FetchRequest{}, 17, found, "fetch");
  co_await note_code<FetchSnapshotResponse>(client, FetchSnapshotRequest{}, 1, found, "snapshot");
  co_await note_code<UpdateRaftVoterResponse>(client, UpdateRaftVoterRequest{}, 0, found, "update");
  co_await note_code<BrokerRegistrationResponse>(client, BrokerRegistrationRequest{}, 4, found,
                                                 "register");
  co_await note_code<BrokerHeartbeatResponse>(client, BrokerHeartbeatRequest{}, 1, found,
                                              "heartbeat");
  co_await note_code<ControllerRegistrationResponse>(client, ControllerRegistrationRequest{}, 0,
                                                     found, "controller");
  co_await note_code<AllocateProducerIdsResponse>(client, AllocateProducerIdsRequest{}, 0, found,
                                                  "ids");
  co_await note_code<AssignReplicasToDirsResponse>(client, AssignReplicasToDirsRequest{}, 0, found,
                                                   "assign");
  co_await note_code<EnvelopeResponse>(client, EnvelopeRequest{}, 0, found, "envelope");
}

struct ControllerAccessTest : NodeTest {
  // What is said to a stranger that acts as a node.
  std::map<std::string, int> act(std::vector<std::string> settings) {
    settings_ = std::move(settings);
    settings_.push_back("listeners=PLAINTEXT://" + server_.host() + ":9092,CONTROLLER://" +
                        server_.host() + ":9093");
    boot(1);
    std::map<std::string, int> found;
    bool done = false;
    client_.start(
        [&](io::sim::Process& process) { return ask(process, server_.host(), found, done); }, 1);
    EXPECT_TRUE(world_.run_until([&] { return done && !client_.is_running(); }, seconds(60)));
    return found;
  }
  static io::Task<void> ask(io::sim::Process& process, std::string host,
                            std::map<std::string, int>& found, bool& done) {
    KafkaClient client(process.loop(0));
    if (co_await client.connect({host, 9093})) co_await act_as_node(client, found);
    co_await client.close();
    done = true;
  }
};

TEST_F(ControllerAccessTest, who_acts_as_a_node_needs_the_right_where_the_authorizer_is_asked_for) {
  const std::map<std::string, int> found =
      act({"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer"});
  EXPECT_EQ(found.size(), 12u);
  for (const auto& [name, error] : found) EXPECT_EQ(error, kClusterRefused) << name;
  stop();
}

TEST_F(ControllerAccessTest, an_entry_for_people_does_not_cut_off_nodes_where_it_is_not) {
  std::map<std::string, int> found = act({});
  EXPECT_EQ(found.size(), 12u);
  for (const auto& [name, error] : found) EXPECT_NE(error, kClusterRefused) << name;
  run([](KafkaClient& client) -> io::Task<void> {
    EXPECT_EQ(co_await add_acl(client, {.type = ResourceType::cluster,
                                        .name = "kafka-cluster",
                                        .operation = AclOperation::alter}),
              0);
    EXPECT_EQ((co_await use_cluster(client)).at("log dirs"), kClusterRefused);
  });
  bool done = false;
  found.clear();
  client_.start(
      [&](io::sim::Process& process) { return ask(process, server_.host(), found, done); }, 1);
  EXPECT_TRUE(world_.run_until([&] { return done && !client_.is_running(); }, seconds(60)));
  EXPECT_EQ(found.size(), 12u);
  for (const auto& [name, error] : found) EXPECT_NE(error, kClusterRefused) << name;
  stop();
}

TEST_F(NodeTest, super_users_are_never_refused) {
  settings_ = {"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
               "super.users=User:admin; User:ANONYMOUS"};
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    EXPECT_EQ(co_await add_acl(client, denial(ResourceType::topic, "*", AclOperation::all)), 0);
    expect_all(co_await use_cluster(client), 0);
    Uuid id;
    EXPECT_EQ(co_await create(client, "t", &id), 0);
    expect_all(co_await use_records(client, "t", id), 0);
    expect_all(co_await use_topic(client, "t", id), 0);
  });
  stop();
}

TEST_F(NodeTest, without_an_authorizer_acl_requests_are_told_so) {
  settings_ = {"authorizer.class.name="};
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    EXPECT_EQ(co_await add_acl(client, {.name = "t"}), code(ErrorCode::security_disabled));
    const Outcomes found = co_await use_cluster(client);
    EXPECT_EQ(found.at("describe acls"), code(ErrorCode::security_disabled));
    EXPECT_EQ(found.at("delete acls"), code(ErrorCode::security_disabled));
    EXPECT_EQ(found.at("log dirs"), 0);
  });
  stop();
}

}  // namespace
}  // namespace drave
