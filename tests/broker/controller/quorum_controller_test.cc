#include "broker/controller/quorum_controller.h"

#include <deque>
#include <set>

#include "broker/controller/controller_requests.h"
#include "io/file.h"
#include "io/scope.h"
#include "metadata/features.h"
#include "protocol/error_code.h"
#include "protocol/resource.h"
#include "tests/broker/controller/controller_run.h"

namespace drave::broker::testing {
namespace {

using protocol::CreateTopicsRequest;
using protocol::ErrorCode;

CreateTopicsRequest::CreatableTopic topic(std::string_view name, std::int32_t partitions = 1) {
  CreateTopicsRequest::CreatableTopic made;
  made.name = name;
  made.num_partitions = partitions;
  made.replication_factor = 1;
  return made;
}

io::Task<std::int16_t> create(Life life, std::string name, std::int32_t partitions = 1) {
  CreateTopicsRequest request;
  request.topics.push_back(topic(name, partitions));
  const auto answer = co_await life.controller.create_topics(request, 7);
  co_return answer.message.topics.at(0).error_code;
}

TEST(QuorumController, begins_with_the_bootstrap_records_and_registers) {
  ControllerRun run;
  run.live([](Life life) -> io::Task<void> {
    const metadata::Image& image = *life.controller.image();
    EXPECT_EQ(image.feature("metadata.version"), 30);
    EXPECT_EQ(image.feature("kraft.version"), 1);
    EXPECT_EQ(image.feature("transaction.version"), 2);
    EXPECT_EQ(image.voters().size(), 1u);
    const metadata::RegistrationImage* broker = image.broker(1);
    if (broker == nullptr) {
      ADD_FAILURE() << "not registered";
      co_return;
    }
    EXPECT_FALSE(broker->fenced);
    EXPECT_EQ(broker->epoch, life.broker_epoch);
    EXPECT_EQ(image.controllers().size(), 1u);
    EXPECT_EQ(life.controller.raft().epoch(), 1);
    EXPECT_TRUE(life.controller.is_active());
    EXPECT_EQ(life.controller.raft().high_watermark(), image.last_contained().offset + 1);
  });
}

TEST(QuorumController, topics_are_there_after_a_restart_and_the_epoch_grows) {
  ControllerRun run;
  TopicId id;
  TopicId* told = &id;
  run.live([told](Life life) -> io::Task<void> {
    CreateTopicsRequest request;
    request.topics.push_back(topic("events", 3));
    const std::string name = "retention.ms";
    request.topics[0].configs.push_back({name, "1000"});
    const auto answer = co_await life.controller.create_topics(request, 7);
    EXPECT_EQ(answer.message.topics.at(0).error_code, 0);
    EXPECT_EQ(answer.message.topics.at(0).num_partitions, 3);
    *told = answer.message.topics.at(0).topic_id;
    EXPECT_NE(life.published.images.back()->topics().find(std::string_view("events")), nullptr);
  });
  run.live([told](Life life) -> io::Task<void> {
    const metadata::TopicImage* found = life.controller.image()->topics().find(*told);
    if (found == nullptr) {
      ADD_FAILURE() << "the topic is gone";
      co_return;
    }
    EXPECT_EQ(found->name, "events");
    EXPECT_EQ(found->partitions.size(), 3u);
    EXPECT_EQ(found->partitions.at(2).leader, 1);
    EXPECT_EQ(life.controller.image()
                  ->configs({metadata::ConfigResourceType::topic, "events"})
                  .at("retention.ms"),
              "1000");
    EXPECT_EQ(life.controller.raft().epoch(), 2);
    EXPECT_EQ(co_await create(life, "events"),
              static_cast<std::int16_t>(ErrorCode::topic_already_exists));
    EXPECT_EQ(co_await create(life, "more"), 0);
  });
}

TEST(QuorumController, what_was_answered_survives_a_power_cut) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    ControllerRun run(seed);
    for (int life_number = 0; life_number < 4; ++life_number) {
      run.live_until_power_cut([life_number](Life life) -> io::Task<void> {
        for (int before = 0; before < life_number; ++before) {
          const std::string name = "topic" + std::to_string(before);
          EXPECT_NE(life.controller.image()->topics().find(std::string_view(name)), nullptr)
              << name;
        }
        EXPECT_EQ(co_await create(life, "topic" + std::to_string(life_number), 2), 0);
      });
    }
  }
}

TEST(QuorumController, producer_ids_never_repeat) {
  ControllerRun run;
  std::set<std::int64_t> firsts;
  std::set<std::int64_t>* seen = &firsts;
  for (int life_number = 0; life_number < 4; ++life_number) {
    run.live_until_power_cut([seen](Life life) -> io::Task<void> {
      for (int i = 0; i < 3; ++i) {
        const protocol::AllocateProducerIdsRequest request{1, life.broker_epoch};
        const auto block = co_await life.controller.allocate_producer_ids(request, 0);
        EXPECT_EQ(block.message.error_code, 0);
        EXPECT_EQ(block.message.producer_id_len, 1000);
        EXPECT_TRUE(seen->insert(block.message.producer_id_start).second);
      }
    });
  }
  EXPECT_EQ(firsts.size(), 12u);
}

// Of 21 records each: two batches are full, and a third one is begun.
constexpr std::size_t kManyTopics = 1000;
constexpr std::int32_t kTheirPartitions = 9;
constexpr std::string_view kTheirConfigs[] = {"retention.ms",
                                              "retention.bytes",
                                              "segment.bytes",
                                              "segment.ms",
                                              "segment.jitter.ms",
                                              "flush.messages",
                                              "flush.ms",
                                              "max.message.bytes",
                                              "index.interval.bytes",
                                              "segment.index.bytes",
                                              "file.delete.delay.ms"};
constexpr Offset kTheirRecords = 21 * kManyTopics;

io::Task<void> create_many(Life life, bool* created) {
  std::deque<std::string> names;
  CreateTopicsRequest request;
  for (std::size_t i = 0; i < kManyTopics; ++i) {
    const std::string& name = names.emplace_back("topic" + std::to_string(i));
    CreateTopicsRequest::CreatableTopic& made = request.topics.emplace_back(topic(name));
    made.num_partitions = kTheirPartitions;
    for (const std::string_view key : kTheirConfigs) made.configs.push_back({key, "1048576"});
  }
  const auto answer = co_await life.controller.create_topics(request, 7);
  EXPECT_EQ(answer.message.topics.back().error_code, 0);
  *created = true;
}

void expect_many(const metadata::Image& image) {
  EXPECT_EQ(image.topics().by_name().size(), kManyTopics);
  EXPECT_EQ(image.feature("kraft.version"), 1);
  EXPECT_EQ(image.voters().size(), 1u);
}

// The voters are named `passes` after the beginning of a transaction of three batches. Returns
// whether that was done before the transaction was.
bool upgrade_within_transaction(int passes) {
  ControllerRun run;
  run.config.quorum_voters = {{1, "localhost", 19193}};
  bool was_within = false;
  run.live([passes, &was_within](Life life) -> io::Task<void> {
    io::Loop& loop = life.process.loop();
    io::Scope scope(loop);
    bool created = false;
    const Offset before = life.controller.raft().end();
    scope.spawn(create_many(life, &created));
    while (life.controller.raft().end() == before) co_await io::sleep_for(loop, Duration{1});
    for (int i = 0; i < passes; ++i) co_await io::sleep_for(loop, Duration{1});
    EXPECT_TRUE(co_await life.controller.raft().upgrade_kraft_version(1));
    was_within = life.controller.raft().end() < before + kTheirRecords;
    co_await scope.join();
    EXPECT_TRUE(created);
    while (life.controller.published_end() < life.controller.raft().end())
      co_await life.controller.changed().wait();
    expect_many(*life.controller.image());
  });
  run.live([](Life life) -> io::Task<void> {
    expect_many(*life.controller.image());
    co_return;
  });
  return was_within;
}

TEST(QuorumController, voters_may_change_while_a_transaction_goes_on) {
  int within = 0;
  for (int passes = 0; passes < 6; ++passes) {
    SCOPED_TRACE(passes);
    within += upgrade_within_transaction(passes) ? 1 : 0;
  }
  EXPECT_GT(within, 2);
}

io::Task<void> upgrade(Life life) {
  EXPECT_TRUE(co_await life.controller.raft().upgrade_kraft_version(1));
}

io::Task<void> watch_images(Life life, const bool* done) {
  Offset last = -1;
  while (!*done) {
    const Offset next = life.controller.image()->last_contained().offset;
    EXPECT_GE(next, last);
    last = next;
    co_await io::next_pass(life.process.loop());
  }
}

// What a transaction leaves visible while it goes on was made before the voters were committed.
TEST(QuorumController, images_do_not_go_back_when_voters_are_named_before_a_transaction) {
  ControllerRun run;
  run.config.quorum_voters = {{1, "localhost", 19193}};
  run.live([&run](Life life) -> io::Task<void> {
    io::Scope scope(life.process.loop());
    bool created = false;
    scope.spawn(watch_images(life, &created));
    run.node().disk().options().device_delay = {milliseconds(500), milliseconds(500)};
    const Offset before = life.controller.raft().end();
    scope.spawn(upgrade(life));
    while (life.controller.raft().end() == before) co_await io::next_pass(life.process.loop());
    co_await create_many(life, &created);
    co_await scope.join();
    EXPECT_EQ(life.controller.image()->feature("kraft.version"), 1);
  });
}

// 21 pieces, each in a pass of its own; a pass without any work is a tick of the clock.
TEST(QuorumController, many_topics_are_decided_in_pieces_and_come_together) {
  ControllerRun run;
  run.live([](Life life) -> io::Task<void> {
    io::Loop& loop = life.process.loop();
    io::Scope scope(loop);
    bool created = false;
    const Offset before = life.controller.raft().end();
    const std::size_t images = life.published.images.size();
    scope.spawn(create_many(life, &created));
    int passes = 0;
    for (; life.controller.raft().end() == before; ++passes) co_await io::next_pass(loop);
    EXPECT_GE(passes, 20) << "it was decided at once";
    co_await scope.join();
    EXPECT_TRUE(created);
    EXPECT_EQ(life.published.images.size(), images + 1) << "they are seen together";
    expect_many(*life.controller.image());
  });
  // The same batches, followed.
  run.live([](Life life) -> io::Task<void> {
    expect_many(*life.controller.image());
    co_return;
  });
}

io::Task<int> checkpoints_of(Life life) {
  const auto entries =
      co_await io::list_directory(life.process.loop(), "/data/__cluster_metadata-0");
  int checkpoints = 0;
  for (const auto& entry : *entries)
    if (entry.name.ends_with(".checkpoint")) ++checkpoints;
  co_return checkpoints;
}

// A snapshot of all that is begun with the last answer, and there is much of it.
TEST(QuorumController, a_snapshot_that_is_being_written_is_given_up_at_a_stop) {
  ControllerRun run;
  run.config.metadata_bytes_between_snapshots_max = 100'000;
  int checkpoints = -1;
  int* before = &checkpoints;
  run.live([before](Life life) -> io::Task<void> {
    *before = co_await checkpoints_of(life);
    bool created = false;
    co_await create_many(life, &created);
  });
  run.config.metadata_bytes_between_snapshots_max = 100 << 20;
  run.live([before](Life life) -> io::Task<void> {
    EXPECT_EQ(co_await checkpoints_of(life), *before);
    expect_many(*life.controller.image());
    EXPECT_EQ(co_await create(life, "more"), 0);
  });
}

io::Task<void> create_into(Life life, std::string name, std::int16_t* code) {
  *code = co_await create(life, name);
}

TEST(QuorumController, requests_may_be_pipelined) {
  ControllerRun run;
  run.live([](Life life) -> io::Task<void> {
    std::vector<std::int16_t> codes(50, -7);
    const std::size_t images = life.published.images.size();
    io::Scope scope(life.process.loop());
    for (std::size_t i = 0; i < codes.size(); ++i)
      scope.spawn(create_into(life, "t" + std::to_string(i % 40), &codes[i]));
    co_await scope.join();
    int exist = 0;
    for (const std::int16_t code : codes) {
      EXPECT_TRUE(code == 0 || code == static_cast<std::int16_t>(ErrorCode::topic_already_exists));
      if (code != 0) ++exist;
    }
    EXPECT_EQ(exist, 10);
    EXPECT_EQ(life.controller.image()->topics().by_name().size(), 40u);
    // Many decisions became visible together.
    EXPECT_LT(life.published.images.size() - images, 40u);
  });
}

TEST(QuorumController, a_thousand_topics_in_one_request) {
  ControllerRun run;
  run.live([](Life life) -> io::Task<void> {
    std::vector<std::string> names;
    for (int i = 0; i < 1000; ++i) names.push_back("many-" + std::to_string(i));
    CreateTopicsRequest request;
    for (const std::string& name : names) request.topics.push_back(topic(name));
    const auto answer = co_await life.controller.create_topics(request, 7);
    for (const auto& result : answer.message.topics) EXPECT_EQ(result.error_code, 0);
    EXPECT_EQ(life.controller.image()->topics().by_name().size(), 1000u);
    EXPECT_EQ(co_await create(life, "wide", 1000), 0);
  });
}

io::Task<void> beat_into(Life life, protocol::BrokerHeartbeatRequest request,
                         protocol::BrokerHeartbeatResponse* told) {
  *told = (co_await life.controller.broker_heartbeat(request, 1)).message;
}

// What broker 1 says when it wants out of service, or into it.
protocol::BrokerHeartbeatRequest heartbeat_of_1(Life life, bool leaves) {
  protocol::BrokerHeartbeatRequest request;
  request.broker_id = 1;
  request.broker_epoch = life.broker_epoch;
  request.current_metadata_offset = life.controller.published_end() - 1;
  request.want_fence = leaves;
  return request;
}

io::Task<void> downgrade_transactions(Life life, std::int16_t* code) {
  protocol::UpdateFeaturesRequest request;
  auto& update = request.feature_updates.emplace_back();
  update.feature = "transaction.version";
  update.max_version_level = 1;
  update.upgrade_type = 2;
  const auto answer = co_await life.controller.update_features(request, 2);
  *code = answer.message.error_code;
}

// This node's files take half a second to follow the features.
TEST(QuorumController, brokers_are_heard_while_features_become_visible) {
  ControllerRun run;
  run.live([](Life life) -> io::Task<void> {
    io::Loop& loop = life.process.loop();
    life.published.takes = milliseconds(500);
    io::Scope others(loop);
    std::int16_t updated = -1;
    const Offset before = life.controller.raft().end();
    others.spawn(downgrade_transactions(life, &updated));
    while (life.controller.raft().end() == before) co_await io::next_pass(loop);
    EXPECT_EQ(updated, -1);
    const Instant asked = loop.now();
    protocol::BrokerHeartbeatResponse answer;
    co_await beat_into(life, heartbeat_of_1(life, false), &answer);
    EXPECT_EQ(answer.error_code, 0);
    EXPECT_LT(loop.now() - asked, milliseconds(100));
    co_await others.join();
    EXPECT_EQ(updated, 0);
    EXPECT_EQ(life.controller.image()->feature("transaction.version"), 1);
  });
}

io::Task<std::int16_t> allow_reading(Life life) {
  protocol::CreateAclsRequest request;
  auto& acl = request.creations.emplace_back();
  acl.resource_type = static_cast<std::int8_t>(protocol::ResourceType::group);
  acl.resource_name = "group";
  acl.resource_pattern_type = static_cast<std::int8_t>(protocol::PatternType::literal);
  acl.principal = "User:reader";
  acl.host = "*";
  acl.operation = static_cast<std::int8_t>(protocol::AclOperation::read);
  acl.permission_type = static_cast<std::int8_t>(protocol::AclPermission::allow);
  const auto answer = co_await life.controller.create_acls(request, 3);
  co_return answer.message.results.at(0).error_code;
}

// Of a minute that this node's files take it waits for some seconds; the client has not gone yet.
TEST(QuorumController, who_changes_an_acl_hears_of_it_while_it_waits_for_that) {
  ControllerRun run;
  run.live([](Life life) -> io::Task<void> {
    io::Loop& loop = life.process.loop();
    life.published.takes = seconds(60);
    const Instant asked = loop.now();
    EXPECT_EQ(co_await allow_reading(life), 0);
    EXPECT_GT(loop.now() - asked, seconds(5));
    EXPECT_LT(loop.now() - asked, kClientWaitMax - seconds(15));
    EXPECT_EQ(life.controller.image()->acls()->size(), 0u);
  });
}

bool is_half_led(const metadata::Image& image) {
  const std::int64_t leaderless = image.replica_counts(metadata::kNoLeader).leads;
  return 0 < leaderless && leaderless < 2500;
}

// Broker 2, another node, comes into service.
io::Task<void> join_as_2(Life life, std::vector<Uuid> directories = {Uuid{2, 3}}) {
  protocol::BrokerRegistrationRequest request;
  request.broker_id = 2;
  request.cluster_id = life.directory.meta().cluster_id;
  request.incarnation_id = {2, 2};
  request.listeners.push_back({"PLAINTEXT", "localhost", 9093, 0});
  for (const auto& feature : metadata::supported_features())
    request.features.push_back({feature.name, feature.min, feature.max});
  request.rack.reset();
  request.log_dirs = directories;
  const auto registered = co_await life.controller.broker_registration(request, 4);
  EXPECT_EQ(registered.message.error_code, 0);
  co_await published_all(life.controller);
  protocol::BrokerHeartbeatRequest heartbeat;
  heartbeat.broker_id = 2;
  heartbeat.broker_epoch = registered.message.broker_epoch;
  heartbeat.current_metadata_offset = life.controller.published_end() - 1;
  const auto answer = co_await life.controller.broker_heartbeat(heartbeat, 1);
  EXPECT_FALSE(answer.message.is_fenced);
}

// --- Many partitions change in pieces

constexpr std::int32_t kWide = 2500;

// A creation that is asked for when others are being decided.
struct Meanwhile {
  std::int16_t created = -1;
  std::int16_t elected = -1;
  bool was_half_led = false;  // when the creation was answered
};

io::Task<void> create_meanwhile(Life life, std::string name, Meanwhile* meanwhile) {
  meanwhile->created = co_await create(life, name);
  meanwhile->was_half_led = is_half_led(*life.controller.image());
}

// The first of the wide topic's, which is in the first piece.
io::Task<void> elect_meanwhile(Life life, Meanwhile* meanwhile) {
  protocol::ElectLeadersRequest request;
  request.topic_partitions.emplace().push_back({"wide", {0}});
  const auto answer = co_await life.controller.elect_leaders(request, 2);
  meanwhile->elected =
      answer.message.replica_election_results.at(0).partition_result.at(0).error_code;
}

io::Task<void> beat_timed(Life life, protocol::BrokerHeartbeatRequest request,
                          protocol::BrokerHeartbeatResponse* told, Duration* took) {
  const Instant asked = life.process.loop().now();
  co_await beat_into(life, request, told);
  *took = life.process.loop().now() - asked;
}

void expect_change_in_pieces(Life life, bool leaves, std::size_t images, bool is_slow) {
  const metadata::Image& image = *life.controller.image();
  EXPECT_EQ(image.broker(1)->fenced, leaves);
  EXPECT_EQ(image.replica_counts(1).leads, leaves ? 0 : kWide);
  EXPECT_EQ(image.replica_counts(metadata::kNoLeader).leads, leaves ? kWide : 0);
  int half = 0;
  for (std::size_t i = images; i < life.published.images.size(); ++i) {
    const metadata::Image& published = *life.published.images[i];
    if (is_half_led(published)) ++half;
    // Nobody is fenced while it leads something.
    if (leaves && published.broker(1)->fenced) EXPECT_EQ(published.replica_counts(1).leads, 0);
  }
  EXPECT_GE(half, is_slow ? 1 : 2) << "it was one piece";
}

// Broker 1 with its partitions goes and comes; others decide in between, and nobody waits for this
// node's files. Nothing new is put where all is taken away.
io::Task<void> go_and_come(Life life, Duration files_take) {
  EXPECT_EQ(co_await create(life, "wide", kWide), 0);
  co_await join_as_2(life);
  co_await published_all(life.controller);
  life.published.takes = files_take;
  const bool is_slow = files_take.ns > 0;
  for (const bool leaves : {true, false}) {
    const std::size_t images = life.published.images.size();
    const std::string name = leaves ? "while-it-goes" : "while-it-comes";
    Meanwhile meanwhile;
    protocol::BrokerHeartbeatResponse answer;
    Duration took{};
    io::Scope others(life.process.loop());
    others.spawn(beat_timed(life, heartbeat_of_1(life, leaves), &answer, &took));
    others.spawn(create_meanwhile(life, name, &meanwhile));
    if (leaves) others.spawn(elect_meanwhile(life, &meanwhile));
    co_await others.join();
    EXPECT_LT(took, milliseconds(500));
    EXPECT_EQ(answer.error_code, 0);
    EXPECT_EQ(answer.is_fenced, leaves);
    co_await published_all(life.controller);
    EXPECT_EQ(meanwhile.created, 0);
    EXPECT_TRUE(meanwhile.was_half_led || is_slow) << "it was decided behind all of it";
    EXPECT_EQ(
        life.controller.image()->topics().find(std::string_view(name))->partitions.at(0).leader, 2);
    if (leaves)
      EXPECT_EQ(meanwhile.elected,
                static_cast<std::int16_t>(ErrorCode::preferred_leader_not_available));
    expect_change_in_pieces(life, leaves, images, is_slow);
  }
}

TEST(QuorumController, many_partitions_change_in_pieces) {
  ControllerRun run;
  run.live([](Life life) { return go_and_come(life, {}); });
}

TEST(QuorumController, many_partitions_change_in_pieces_that_wait_for_no_files) {
  ControllerRun run;
  run.live([](Life life) { return go_and_come(life, seconds(1)); });
}

io::Task<void> assign(Life life, const Uuid& directory, std::string topic, std::int16_t* code) {
  const metadata::TopicImage& found =
      *life.controller.image()->topics().find(std::string_view(topic));
  protocol::AssignReplicasToDirsRequest request;
  request.broker_id = 2;
  request.broker_epoch = life.controller.image()->broker(2)->epoch;
  auto& assigned = request.directories.emplace_back();
  assigned.id = directory;
  auto& there = assigned.topics.emplace_back();
  there.topic_id = found.id;
  for (const auto& [index, partition] : found.partitions) there.partitions.push_back({index});
  *code = (co_await life.controller.assign_replicas_to_dirs(request, 0)).message.error_code;
}

// One of broker 2's directories is gone: 2,500 partitions were there. Another is put there when the
// walk has passed it.
TEST(QuorumController, what_comes_between_the_pieces_is_looked_at_once_more) {
  ControllerRun run;
  run.live([](Life life) -> io::Task<void> {
    const Uuid gone{2, 3};
    const Uuid kept{2, 4};
    co_await join_as_2(life, {gone, kept});
    co_await life.controller.broker_heartbeat(heartbeat_of_1(life, true), 1);
    EXPECT_EQ(co_await create(life, "apart"), 0);
    EXPECT_EQ(co_await create(life, "wide", kWide), 0);
    std::int16_t assigned = -1;
    co_await assign(life, kept, "apart", &assigned);
    EXPECT_EQ(assigned, 0);
    co_await assign(life, gone, "wide", &assigned);
    EXPECT_EQ(assigned, 0);
    co_await published_all(life.controller);
    EXPECT_EQ(life.controller.image()->replica_counts(2).leads, kWide + 1);

    protocol::BrokerHeartbeatRequest heartbeat;
    heartbeat.broker_id = 2;
    heartbeat.broker_epoch = life.controller.image()->broker(2)->epoch;
    heartbeat.current_metadata_offset = life.controller.published_end() - 1;
    heartbeat.offline_log_dirs = {gone};
    protocol::BrokerHeartbeatResponse answer;
    io::Scope others(life.process.loop());
    others.spawn(beat_into(life, heartbeat, &answer));
    others.spawn(assign(life, gone, "apart", &assigned));
    co_await others.join();
    EXPECT_EQ(assigned, 0);
    EXPECT_EQ(answer.error_code, 0);
    co_await published_all(life.controller);
    EXPECT_EQ(life.controller.image()->broker(2)->directories, std::vector<Uuid>{kept});
    EXPECT_EQ(life.controller.image()->replica_counts(2).leads, 0);
  });
}

// A broker is silent for a session, and the power goes when some of its 2,500 partitions are taken
// from it; then it goes on. Whatever the log has of that, it leads all of them in the end.
TEST(QuorumController, a_fencing_that_was_cut_short_is_taken_back) {
  int cut_short = 0;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    ControllerRun run(seed);
    run.live_until_power_cut([](Life life) -> io::Task<void> {
      co_await join_as_2(life);
      co_await life.controller.broker_heartbeat(heartbeat_of_1(life, true), 1);
      EXPECT_EQ(co_await create(life, "wide", 2500), 0);
      EXPECT_EQ(life.controller.image()->replica_counts(2).leads, 2500);
      while (life.controller.image()->replica_counts(metadata::kNoLeader).leads == 0)
        co_await life.controller.changed().wait();
    });
    int* count = &cut_short;
    run.live([count](Life life) -> io::Task<void> {
      const metadata::RegistrationImage broker = *life.controller.image()->broker(2);
      if (is_half_led(*life.published.images.front())) {
        ++*count;
        EXPECT_FALSE(broker.fenced);
        // The controller has seen to it before broker 1 came again, which would have done it, too.
        metadata::ImagePtr last;
        for (const metadata::ImagePtr& image : life.published.images)
          if (image->broker(1)->epoch < life.broker_epoch) last = image;
        EXPECT_EQ(last->replica_counts(2).leads, 2500);
      }
      protocol::BrokerHeartbeatRequest heartbeat;
      heartbeat.broker_id = 2;
      heartbeat.broker_epoch = broker.epoch;
      heartbeat.current_metadata_offset = life.controller.published_end() - 1;
      const auto answer = co_await life.controller.broker_heartbeat(heartbeat, 1);
      EXPECT_EQ(answer.message.error_code, 0);
      co_await published_all(life.controller);
      EXPECT_EQ(life.controller.image()->replica_counts(2).leads, 2500);
    });
  }
  EXPECT_GE(cut_short, 1);
}

// The records of a start and of a broker are made without anybody who could be told that they are
// too large.
TEST(QuorumController, small_batches_hold_what_there_has_to_be) {
  ControllerRun run;
  run.config.metadata_batch_bytes_max = 100;
  run.live([](Life life) -> io::Task<void> {
    std::vector<Uuid> directories;
    for (std::uint64_t i = 0; i < 100; ++i) directories.push_back({2, 1000 + i});
    co_await join_as_2(life, directories);
    EXPECT_EQ(co_await create(life, "some", 5), 0);
    const metadata::Image& image = *life.controller.image();
    EXPECT_EQ(image.broker(2)->directories.size(), 100u);
    EXPECT_EQ(image.topics().find(std::string_view("some"))->partitions.size(), 5u);
  });
}

TEST(QuorumController, validate_only_changes_nothing) {
  ControllerRun run;
  run.live([](Life life) -> io::Task<void> {
    CreateTopicsRequest request;
    request.topics.push_back(topic("dry"));
    request.validate_only = true;
    const Offset before = life.controller.raft().high_watermark();
    const auto answer = co_await life.controller.create_topics(request, 7);
    EXPECT_EQ(answer.message.topics.at(0).error_code, 0);
    EXPECT_EQ(life.controller.raft().high_watermark(), before);
    EXPECT_TRUE(life.controller.image()->topics().by_name().empty());
  });
}

TEST(QuorumController, describes_its_quorum) {
  ControllerRun run;
  run.live([](Life life) -> io::Task<void> {
    protocol::DescribeQuorumRequest request;
    request.topics.push_back({"__cluster_metadata", {{0}}});
    request.topics.push_back({"other", {{0}}});
    const auto answer = life.controller.raft().describe_quorum(request, 2);
    const auto& partition = answer.message.topics.at(0).partitions.at(0);
    EXPECT_EQ(partition.leader_id, 1);
    EXPECT_EQ(partition.leader_epoch, 1);
    EXPECT_EQ(partition.high_watermark, life.controller.raft().high_watermark());
    EXPECT_EQ(partition.current_voters.size(), 1u);
    EXPECT_EQ(partition.current_voters.at(0).log_end_offset, partition.high_watermark);
    EXPECT_EQ(answer.message.topics.at(1).partitions.at(0).error_code, 3);
    EXPECT_EQ(answer.message.nodes.size(), 1u);
    co_return;
  });
}

TEST(QuorumController, snapshots_replace_the_log_and_old_ones_go) {
  ControllerRun run;
  run.config.metadata_bytes_between_snapshots_max = 4000;
  run.config.metadata_retention_bytes = 1;
  run.live([](Life life) -> io::Task<void> {
    for (int i = 0; i < 60; ++i) EXPECT_EQ(co_await create(life, "s" + std::to_string(i), 3), 0);
    // A stop leaves the rest of the work to the next snapshot.
    for (int i = 0; i < 100 && co_await checkpoints_of(life) > 1; ++i)
      co_await io::sleep_for(life.process.loop(), milliseconds(10));
  });
  run.live([](Life life) -> io::Task<void> {
    EXPECT_EQ(life.controller.image()->topics().by_name().size(), 60u);
    EXPECT_EQ(life.controller.image()->feature("kraft.version"), 1);
    EXPECT_EQ(life.controller.image()->voters().size(), 1u);
    EXPECT_EQ(co_await checkpoints_of(life), 1);
  });
}

}  // namespace
}  // namespace drave::broker::testing
