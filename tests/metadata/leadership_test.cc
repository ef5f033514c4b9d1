// Leaders, ISRs and eligible leaders when brokers come and go; elections that were asked for;
// directories.

#include "metadata/controller/leadership.h"

#include <map>

#include "metadata/controller/partition_change.h"
#include "tests/metadata/decision_support.h"

namespace drave::metadata::testing {
namespace {

using protocol::ErrorCode;
using Ids = std::vector<NodeId>;

struct Leadership : BrokerDecisions {
  void fence(NodeId id) {
    fence_broker(context(), id, records);
    accept();
  }
  void unfence(NodeId id) {
    unfence_broker(context(), id, records);
    accept();
  }
  void set_config(std::string_view topic, std::string_view name, std::string_view value) {
    protocol::ConfigRecord record;
    record.resource_type = 2;
    record.resource_name = topic;
    record.name = name;
    record.value = value;
    records.add(record);
    accept();
  }
};

TEST_F(Leadership, one_replica_without_elr_keeps_its_isr) {
  create("t", {{2}});
  fence(2);
  EXPECT_EQ(partition("t", 0).leader, kNoLeader);
  EXPECT_EQ(partition("t", 0).isr, Ids{2});
  EXPECT_EQ(partition("t", 0).leader_epoch, 1);
  unfence(2);
  EXPECT_EQ(partition("t", 0).leader, 2);
  EXPECT_EQ(partition("t", 0).leader_epoch, 2);
  EXPECT_EQ(partition("t", 0).partition_epoch, 2);
}

TEST_F(Leadership, one_replica_with_elr_becomes_eligible_and_leads_again) {
  enable_elr();
  create("t", {{2}});
  fence(2);
  EXPECT_EQ(partition("t", 0).leader, kNoLeader);
  EXPECT_EQ(partition("t", 0).isr, Ids());
  EXPECT_EQ(partition("t", 0).eligible_leader_replicas, Ids{2});
  EXPECT_EQ(partition("t", 0).last_known_elr, Ids{2});
  unfence(2);
  EXPECT_EQ(partition("t", 0).leader, 2);
  EXPECT_EQ(partition("t", 0).isr, Ids{2});
  EXPECT_EQ(partition("t", 0).eligible_leader_replicas, Ids());
  EXPECT_EQ(partition("t", 0).last_known_elr, Ids());
  EXPECT_EQ(partition("t", 0).leader_recovery_state, 0);
  EXPECT_EQ(partition("t", 0).leader_epoch, 2);
}

TEST_F(Leadership, the_next_in_sync_replica_in_order_leads) {
  create("t", {{2, 3, 1}, {1, 2, 3}, {3, 1}});
  fence(2);
  EXPECT_EQ(partition("t", 0).leader, 3);
  EXPECT_EQ(partition("t", 0).isr, (Ids{3, 1}));
  EXPECT_EQ(partition("t", 1).leader, 1);
  EXPECT_EQ(partition("t", 1).isr, (Ids{1, 3}));
  EXPECT_EQ(partition("t", 1).leader_epoch, 0);
  EXPECT_EQ(partition("t", 1).partition_epoch, 1);
  EXPECT_EQ(partition("t", 2).partition_epoch, 0);
  fence(3);
  fence(1);
  EXPECT_EQ(partition("t", 0).leader, kNoLeader);
  EXPECT_EQ(partition("t", 0).isr, Ids{1}) << "the last in sync";
  unfence(3);
  EXPECT_EQ(partition("t", 0).leader, kNoLeader) << "it lacks what 1 wrote alone";
  unfence(1);
  EXPECT_EQ(partition("t", 0).leader, 1);
}

TEST_F(Leadership, below_the_minimum_isr_who_leaves_stays_eligible) {
  enable_elr();
  create("t", {{1, 2, 3}});
  set_config("t", "min.insync.replicas", "2");
  fence(3);
  EXPECT_EQ(partition("t", 0).eligible_leader_replicas, Ids());
  fence(2);
  EXPECT_EQ(partition("t", 0).isr, Ids{1});
  EXPECT_EQ(partition("t", 0).eligible_leader_replicas, Ids{2});
  fence(1);
  EXPECT_EQ(partition("t", 0).isr, Ids());
  EXPECT_EQ(partition("t", 0).eligible_leader_replicas, (Ids{1, 2}));
  EXPECT_EQ(partition("t", 0).last_known_elr, Ids{1});
  unfence(3);
  EXPECT_EQ(partition("t", 0).leader, kNoLeader);
  unfence(2);
  EXPECT_EQ(partition("t", 0).leader, 2);
  EXPECT_EQ(partition("t", 0).isr, Ids{2});
  EXPECT_EQ(partition("t", 0).eligible_leader_replicas, Ids{1});
}

TEST_F(Leadership, unclean_elections_are_for_topics_that_want_them) {
  create("t", {{2, 3}});
  create("u", {{2, 3}});
  set_config("u", "unclean.leader.election.enable", "true");
  fence(3);
  fence(2);
  unfence(3);
  EXPECT_EQ(partition("t", 0).leader, kNoLeader);
  EXPECT_EQ(partition("u", 0).leader, 3);
  EXPECT_EQ(partition("u", 0).isr, Ids{3});
  EXPECT_EQ(partition("u", 0).leader_recovery_state, 1);
}

TEST_F(Leadership, before_3_6_a_smaller_isr_is_a_new_leader_epoch) {
  image = cluster(3, 11);
  create("t", {{1, 2}});
  fence(2);
  EXPECT_EQ(partition("t", 0).leader, 1);
  EXPECT_EQ(partition("t", 0).isr, Ids{1});
  EXPECT_EQ(partition("t", 0).leader_epoch, 1);
}

TEST_F(Leadership, who_has_lost_the_directory_does_not_lead_from_it) {
  create("t", {{2, 3}});
  protocol::PartitionChangeRecord record;
  record.partition_id = 0;
  record.topic_id = image.topics().find(std::string_view("t"))->id;
  record.directories = std::vector<Uuid>{{7, 2}, {9, 9}};
  records.add(record, std::int16_t{2});
  accept();
  fence(2);
  EXPECT_EQ(partition("t", 0).leader, kNoLeader);
}

TEST_F(Leadership, eight_thousand_partitions_are_one_decision) {
  std::vector<Ids> assignments;
  for (int index = 0; index < 8000; ++index) assignments.push_back({1 + index % 3});
  create("t", assignments);
  fence_broker(context(), 2, records);
  EXPECT_EQ(records.size(), 2668u);
}

struct Elections : Leadership {
  std::vector<std::pair<int, std::string>> elect(
      std::int8_t type, std::optional<std::vector<PartitionIndex>> partitions) {
    protocol::ElectLeadersRequest request;
    request.election_type = type;
    request.topic_partitions = std::nullopt;
    if (partitions.has_value()) request.topic_partitions.emplace().push_back({"t", *partitions});
    ControllerContext asked = context();
    asked.leaving = leaving;
    const auto answer = elect_leaders(asked, request, records);
    accept();
    std::vector<std::pair<int, std::string>> results;
    for (const auto& topic : answer.message.replica_election_results)
      for (const auto& partition : topic.partition_result)
        results.emplace_back(partition.error_code,
                             std::string(partition.error_message.value_or("")));
    return results;
  }
  std::optional<NodeId> leaving;
};

TEST_F(Elections, the_preferred_replica_leads_if_it_is_in_sync) {
  create("t", {{2, 3}, {1, 3}});
  fence(2);
  unfence(2);
  ASSERT_EQ(partition("t", 0).leader, 3);
  using Results = std::vector<std::pair<int, std::string>>;
  EXPECT_EQ(elect(0, Ids{0, 1, 7}),
            (Results{{code(ErrorCode::preferred_leader_not_available),
                      std::string(protocol::message(ErrorCode::preferred_leader_not_available))},
                     {code(ErrorCode::election_not_needed),
                      std::string(protocol::message(ErrorCode::election_not_needed))},
                     {code(ErrorCode::unknown_topic_or_partition), "No such partition as t-7"}}));
  protocol::PartitionChangeRecord grown;
  grown.partition_id = 0;
  grown.topic_id = image.topics().find(std::string_view("t"))->id;
  grown.isr = Ids{3, 2};
  records.add(grown, std::int16_t{2});
  accept();
  EXPECT_EQ(elect(0, std::nullopt), (Results{{0, ""}}));
  EXPECT_EQ(partition("t", 0).leader, 2);
  EXPECT_EQ(partition("t", 0).isr, (Ids{3, 2}));
}

// Of a sweep that takes them away, and of which others are still to come.
TEST_F(Elections, nobody_leads_again_what_is_being_taken_away) {
  create("t", {{2}, {2, 3}});
  PartitionSweep sweep(2, {SweepStep::out_of_isrs});
  leaving = sweep.leaving();
  EXPECT_FALSE(sweep.next(context(), records));
  accept();
  EXPECT_TRUE(image.broker(2)->is_active());
  for (const std::int8_t type : {std::int8_t{0}, std::int8_t{1}}) {
    const auto results = elect(type, Ids{0, 1});
    EXPECT_EQ(results[0].first, code(type == 0 ? ErrorCode::preferred_leader_not_available
                                               : ErrorCode::eligible_leaders_not_available));
    EXPECT_EQ(results[1].first, code(type == 0 ? ErrorCode::preferred_leader_not_available
                                               : ErrorCode::election_not_needed));
  }
  EXPECT_EQ(partition("t", 0).leader, kNoLeader);
  EXPECT_EQ(partition("t", 1).leader, 3);
  leaving.reset();
  EXPECT_EQ(elect(1, Ids{0})[0].first, 0);
  EXPECT_EQ(partition("t", 0).leader, 2);
}

TEST_F(Elections, an_unclean_one_takes_any_replica_in_service) {
  create("t", {{2, 3}, {2}, {1}});
  fence(3);
  fence(2);
  unfence(3);
  const auto results = elect(1, Ids{0, 1, 2, 0});
  EXPECT_EQ(results[0].first, 0);
  EXPECT_EQ(results[1].first, code(ErrorCode::eligible_leaders_not_available));
  EXPECT_EQ(results[2].first, code(ErrorCode::election_not_needed));
  EXPECT_EQ(results[3].first, code(ErrorCode::election_not_needed));
  EXPECT_EQ(partition("t", 0).leader, 3);
  EXPECT_EQ(partition("t", 0).isr, Ids{3});
}

TEST_F(Elections, of_an_unknown_type_are_refused) {
  protocol::ElectLeadersRequest request;
  request.election_type = 5;
  EXPECT_EQ(elect_leaders(context(), request, records).message.error_code,
            code(ErrorCode::invalid_request));
}

struct Assignments : Leadership {
  protocol::AssignReplicasToDirsRequest request;

  Assignments() {
    request.broker_id = 2;
    request.broker_epoch = 12;
  }
  void assign(const Uuid& directory, const TopicId& topic, PartitionIndex index) {
    request.directories.emplace_back().id = directory;
    auto& asked = request.directories.back().topics.emplace_back();
    asked.topic_id = topic;
    asked.partitions.emplace_back().partition_index = index;
  }
  std::vector<int> run() {
    const auto answer = assign_replicas_to_dirs(context(), request, records);
    accept();
    std::vector<int> codes{answer.message.error_code};
    for (const auto& directory : answer.message.directories)
      for (const auto& topic : directory.topics)
        for (const auto& partition : topic.partitions) codes.push_back(partition.error_code);
    return codes;
  }
};

TEST_F(Assignments, say_where_a_brokers_replicas_are) {
  const TopicId topic = create("t", {{3, 2}, {3}, {2}});
  auto more = registration(2);
  more.incarnation_id = image.broker(2)->incarnation_id;
  more.log_dirs.push_back({8, 2});
  enroll(more);
  assign({8, 2}, topic, 0);
  assign({8, 2}, topic, 1);
  assign({8, 2}, topic, 9);
  assign({8, 2}, {9, 9}, 0);
  assign({7, 2}, topic, 0);
  EXPECT_EQ(run(), (std::vector<int>{0, 0, code(ErrorCode::not_leader_or_follower),
                                     code(ErrorCode::unknown_topic_or_partition),
                                     code(ErrorCode::unknown_topic_id),
                                     code(ErrorCode::invalid_request)}));
  EXPECT_EQ(partition("t", 0).directories, (std::vector<Uuid>{{7, 3}, {8, 2}}));
  EXPECT_EQ(partition("t", 0).leader_epoch, 0);
}

TEST_F(Assignments, to_a_directory_that_is_gone_take_the_replica_out) {
  const TopicId topic = create("t", {{2, 3}});
  assign({9, 9}, topic, 0);
  EXPECT_EQ(run(), (std::vector<int>{0, 0}));
  EXPECT_EQ(partition("t", 0).directories, (std::vector<Uuid>{{9, 9}, {7, 3}}));
  EXPECT_EQ(partition("t", 0).leader, 3);
  EXPECT_EQ(partition("t", 0).isr, Ids{3});
}

// Broker 2 comes back with an empty disk: its replicas are in a directory that nobody has.
struct LostDirectory : Assignments {
  TopicId lose() {
    const TopicId topic = create("t", {{2}, {2, 3}});
    auto another = registration(2, 2);
    another.log_dirs = {Uuid{8, 2}};
    enroll(another, at_ms(9001));
    beat(heartbeat(2, next_offset));
    EXPECT_TRUE(image.broker(2)->is_active());
    EXPECT_EQ(partition("t", 0).leader, kNoLeader);
    request.broker_epoch = image.broker(2)->epoch;
    return topic;
  }
};

TEST_F(LostDirectory, is_left_for_another_by_the_only_replica_which_leads_at_once) {
  const TopicId topic = lose();
  const std::int32_t epoch = partition("t", 0).leader_epoch;
  assign({8, 2}, topic, 0);
  EXPECT_EQ(run(), (std::vector<int>{0, 0}));
  EXPECT_EQ(partition("t", 0).directories, (std::vector<Uuid>{{8, 2}}));
  EXPECT_EQ(partition("t", 0).leader, 2);
  EXPECT_EQ(partition("t", 0).isr, Ids{2});
  EXPECT_EQ(partition("t", 0).leader_epoch, epoch + 1) << "consumers see that it is another log";
}

TEST_F(LostDirectory, is_left_for_another_by_the_one_that_led_last_which_recovers) {
  enable_elr();
  const TopicId topic = lose();
  EXPECT_EQ(partition("t", 0).last_known_elr, Ids{2});
  assign({8, 2}, topic, 0);
  EXPECT_EQ(run(), (std::vector<int>{0, 0}));
  EXPECT_EQ(partition("t", 0).leader, 2);
  EXPECT_EQ(partition("t", 0).isr, Ids{2});
  EXPECT_EQ(partition("t", 0).leader_recovery_state, 1);
}

TEST_F(LostDirectory, is_left_for_another_and_who_leads_goes_on_leading) {
  const TopicId topic = lose();
  EXPECT_EQ(partition("t", 1).leader, 3);
  const std::int32_t epoch = partition("t", 1).leader_epoch;
  assign({8, 2}, topic, 1);
  EXPECT_EQ(run(), (std::vector<int>{0, 0}));
  EXPECT_EQ(partition("t", 1).directories, (std::vector<Uuid>{{8, 2}, {7, 3}}));
  EXPECT_EQ(partition("t", 1).leader, 3);
  EXPECT_EQ(partition("t", 1).isr, Ids{3});
  EXPECT_EQ(partition("t", 1).leader_epoch, epoch);
}

TEST_F(LostDirectory, is_left_by_a_fenced_broker_which_leads_when_it_comes_back) {
  const TopicId topic = lose();
  fence(2);
  assign({8, 2}, topic, 0);
  EXPECT_EQ(run(), (std::vector<int>{0, 0}));
  EXPECT_EQ(partition("t", 0).leader, kNoLeader);
  unfence(2);
  EXPECT_EQ(partition("t", 0).leader, 2);
}

TEST_F(Assignments, of_stale_brokers_and_in_old_clusters_are_refused) {
  request.broker_epoch = 11;
  EXPECT_EQ(run(), std::vector<int>{code(ErrorCode::stale_broker_epoch)});
  image = cluster(3, 16);
  request.broker_epoch = 12;
  EXPECT_EQ(run(), std::vector<int>{code(ErrorCode::unsupported_version)});
}

// --- In pieces

struct Sweeps : Leadership {
  // Topics of 700 partitions, more than two pieces, whose names come in no order.
  void create_many(int topics) {
    std::vector<std::vector<NodeId>> assignments;
    for (int i = 0; i < 700; ++i)
      assignments.push_back(i % 3 == 0 ? Ids{1, 2} : i % 3 == 1 ? Ids{2} : Ids{3, 2});
    for (int i = 0; i < topics; ++i) create(std::to_string(i * 7 % 10), assignments);
  }
  // Carries the plan out as a controller does; how many pieces had records.
  int carry_out(std::optional<PartitionSweep> planned) {
    EXPECT_TRUE(planned.has_value());
    if (!planned.has_value()) return 0;
    int pieces = 0;
    for (bool more = true; more;) {
      more = planned->next(context(), records);
      EXPECT_LE(records.size(), PartitionSweep::kChangedMax);
      if (!records.empty()) ++pieces;
      accept();
    }
    return pieces;
  }
  // How many pieces had records.
  int revisit(PartitionSweep& sweep, const std::set<std::string>& topics) {
    int pieces = 0;
    for (bool more = true; more;) {
      more = sweep.revisit(context(), topics, records);
      EXPECT_LE(records.size(), PartitionSweep::kChangedMax);
      if (!records.empty()) ++pieces;
      accept();
    }
    return pieces;
  }
  void expect_same_partitions(const Image& other) {
    for (const auto& [name, topic] : image.topics().by_name())
      EXPECT_TRUE(topic->partitions == other.topics().find(name)->partitions) << name;
    for (NodeId id = -1; id < 4; ++id)
      EXPECT_EQ(image.replica_counts(id), other.replica_counts(id)) << id;
  }
};

TEST_F(Sweeps, a_broker_leaves_and_comes_back_in_pieces_as_it_does_at_once) {
  create_many(4);
  const Image before = image;
  fence(2);
  unfence(2);
  const Image at_once = image;
  image = before;
  EXPECT_EQ(carry_out(plan_fencing(context(), 2)), 6);
  fence_broker(context(), 2, records, true);
  EXPECT_EQ(records.size(), 1u) << "the registration alone is left";
  accept();
  EXPECT_EQ(image.replica_counts(kNoLeader).leads, 4 * 233);
  // Again: nothing changes any more.
  EXPECT_EQ(carry_out(plan_fencing(context(), 2)), 0);
  EXPECT_EQ(carry_out(PartitionSweep::plan(image, 2, {SweepStep::lead_again})), 2);
  unfence_broker(context(), 2, records, true);
  EXPECT_EQ(records.size(), 1u);
  accept();
  expect_same_partitions(at_once);
}

TEST_F(Sweeps, a_broker_is_unregistered_in_pieces_as_it_is_at_once) {
  enable_elr();
  create_many(3);
  const Image before = image;
  protocol::UnregisterBrokerRequest request;
  request.broker_id = 2;
  unregister_broker(context(), request, records);
  accept();
  remove_from_elrs(context(), 2, records);
  accept();
  const Image at_once = image;
  image = before;
  carry_out(plan_unregistration(context(), request));
  unregister_broker(context(), request, records, true);
  EXPECT_EQ(records.size(), 1u);
  accept();
  EXPECT_EQ(image.broker(2), nullptr);
  EXPECT_EQ(image.replica_counts(2).in_isr, 0);
  expect_same_partitions(at_once);
}

TEST_F(Sweeps, a_directory_goes_in_pieces_as_it_does_at_once) {
  create_many(4);
  protocol::BrokerRegistrationChangeRecord another;
  another.broker_id = 2;
  another.broker_epoch = 12;
  another.log_dirs = {Uuid{7, 2}, Uuid{8, 2}};
  records.add(another, std::int16_t{2});
  accept();
  const Image before = image;
  remove_directory(context(), 2, {7, 2}, records);
  EXPECT_EQ(records.size(), 4 * 700u);
  accept();
  const Image at_once = image;
  image = before;
  auto request = heartbeat(2, 200);
  request.offline_log_dirs = {Uuid{9, 9}, Uuid{7, 2}};
  HeartbeatPlan plan = plan_heartbeat(context(), request, tracker, at_ms(0));
  EXPECT_EQ(plan.swept_directory, (Uuid{7, 2}));
  EXPECT_EQ(carry_out(plan.sweep), 6);
  broker_heartbeat(context(), request, plan, tracker, next_offset, records);
  EXPECT_EQ(records.size(), 1u) << "the registration alone is left";
  accept();
  EXPECT_EQ(image.broker(2)->directories, (std::vector<Uuid>{{8, 2}}));
  expect_same_partitions(at_once);
  EXPECT_FALSE(plan_heartbeat(context(), request, tracker, at_ms(0)).sweep.has_value());
}

TEST_F(Sweeps, a_partition_walk_stops_within_a_topic) {
  std::vector<std::vector<NodeId>> assignments(2500, Ids{2});
  create("wide", assignments);
  EXPECT_EQ(carry_out(plan_fencing(context(), 2)), 5);
  EXPECT_EQ(image.replica_counts(kNoLeader).leads, 2500);
  fence_broker(context(), 2, records, true);
  accept();
  EXPECT_EQ(carry_out(PartitionSweep::plan(image, 2, {SweepStep::lead_again})), 5);
  EXPECT_EQ(image.replica_counts(2).leads, 2500);
}

TEST_F(Sweeps, a_piece_is_of_few_topics) {
  for (int i = 0; i < 650; ++i) create(std::to_string(i), {{2}, {2}});
  auto planned = plan_fencing(context(), 2);
  ASSERT_TRUE(planned.has_value());
  std::vector<std::size_t> changed;
  for (bool more = true; more;) {
    more = planned->next(context(), records);
    changed.push_back(records.size());
    accept();
  }
  EXPECT_EQ(changed, (std::vector<std::size_t>{400, 400, 400, 100}));
  EXPECT_EQ(image.replica_counts(kNoLeader).leads, 2 * 650);
  EXPECT_EQ(carry_out(PartitionSweep::plan(image, 2, {SweepStep::lead_again})), 4);
  EXPECT_EQ(image.replica_counts(2).leads, 2 * 650);
}

TEST_F(Sweeps, what_was_made_behind_the_walk_is_revisited) {
  create("m", std::vector<std::vector<NodeId>>(2500, Ids{2}));
  auto planned = plan_fencing(context(), 2);
  ASSERT_TRUE(planned.has_value());
  EXPECT_TRUE(planned->next(context(), records));
  accept();
  const Image before = image;
  create("a", {{2}, {1}});
  create("z", {{2}});
  std::set<std::string> changed;
  add_changed_topics(before, image, changed);
  EXPECT_EQ(changed, (std::set<std::string>{"a", "z"}));
  while (planned->next(context(), records)) accept();
  accept();
  EXPECT_EQ(image.replica_counts(2).leads, 1) << "the walk had passed it";
  EXPECT_EQ(revisit(*planned, changed), 1);
  EXPECT_EQ(image.replica_counts(2).leads, 0);
  EXPECT_EQ(image.replica_counts(1).leads, 1);
}

// However much was made meanwhile: nobody waits for all of it in one pass.
TEST_F(Sweeps, what_was_made_behind_the_walk_is_revisited_in_pieces) {
  enable_elr();
  create("zz", std::vector<std::vector<NodeId>>(600, Ids{2}));
  auto planned = PartitionSweep::plan(
      image, 2, {SweepStep::unclean_out_of_isrs, SweepStep::unclean_out_of_elrs});
  ASSERT_TRUE(planned.has_value());
  EXPECT_TRUE(planned->next(context(), records));
  accept();
  const Image before = image;
  create_many(4);
  create("few", {{2}, {1}});
  std::set<std::string> changed;
  add_changed_topics(before, image, changed);
  changed.insert("gone");
  while (planned->next(context(), records)) accept();
  accept();
  ASSERT_EQ(image.replica_counts(2).in_isr, 4 * 700 + 1);
  EXPECT_EQ(revisit(*planned, changed), 6);
  EXPECT_EQ(image.replica_counts(2).in_isr, 0);
  EXPECT_EQ(image.replica_counts(2).in_elr, 0);
  std::set<std::string> wide;
  for (int i = 0; i < 3; ++i) {
    wide.insert("wide-" + std::to_string(i));
    create("wide-" + std::to_string(i),
           std::vector<std::vector<NodeId>>(PartitionSweep::kLookedAtMax * 2 / 3, Ids{1}));
  }
  create("x", {{1, 3}});
  wide.insert("x");
  PartitionSweep looking(3, {SweepStep::out_of_isrs});
  while (looking.next(context(), records)) accept();
  records = RecordList();
  int passes = 1;
  while (looking.revisit(context(), wide, records)) ++passes;
  EXPECT_EQ(passes, 2) << "by what is looked at, too";
  EXPECT_EQ(records.size(), 1u);
  accept();
  PartitionSweep narrow(2, {SweepStep::out_of_isrs});
  while (narrow.next(context(), records)) accept();
  accept();
  std::set<std::string> many;
  for (int i = 0; i < 450; ++i) {
    many.insert("narrow-" + std::to_string(i));
    create("narrow-" + std::to_string(i), {{2}});
  }
  EXPECT_EQ(revisit(narrow, many), 3) << "and by topics";
  EXPECT_EQ(image.replica_counts(2).in_isr, 0);
}

TEST_F(Sweeps, a_walk_that_finds_little_is_taken_in_pieces_too) {
  create("a", std::vector<std::vector<NodeId>>(PartitionSweep::kLookedAtMax, Ids{1}));
  create("b", {{1}, {3}});
  auto planned = plan_fencing(context(), 3);
  ASSERT_TRUE(planned.has_value());
  EXPECT_TRUE(planned->next(context(), records));
  EXPECT_TRUE(records.empty());
  EXPECT_FALSE(planned->next(context(), records));
  EXPECT_EQ(records.size(), 1u);
  accept();
  EXPECT_EQ(image.replica_counts(3).leads, 0);
}

// --- Pieces after which nothing came: the controller was deposed

struct HalfDone : Sweeps {
  void take_one_piece(std::optional<PartitionSweep> planned) {
    ASSERT_TRUE(planned.has_value());
    EXPECT_TRUE(planned->next(context(), records));
    accept();
  }
  // What the next controller begins with.
  void take_over() {
    for (const PartitionSweep& each : left_over(image)) carry_out(each);
    tracker.activate(image, 3, Uuid(), at_ms(0));
    EXPECT_TRUE(left_over(image).empty() || image.replica_counts(kNoLeader).leads > 0);
  }
  // 2,500 partitions of the brokers 1 and 2, both fenced, 1 before 2, and both eligible.
  void create_for_two_that_are_fenced() {
    enable_elr();
    create("t", std::vector<std::vector<NodeId>>(2500, Ids{1, 2}));
    protocol::ConfigRecord config;
    config.resource_type = 2;
    config.resource_name = "t";
    config.name = "min.insync.replicas";
    config.value = "2";
    records.add(config);
    accept();
    fence(1);
    fence(2);
    EXPECT_EQ(image.replica_counts(1).in_elr, 2500);
  }
};

TEST_F(HalfDone, a_broker_that_was_not_fenced_in_the_end_leads_again) {
  create("t", std::vector<std::vector<NodeId>>(2500, Ids{2}));
  take_one_piece(plan_fencing(context(), 2));
  EXPECT_EQ(image.replica_counts(kNoLeader).leads, 500);
  // It was never out of service, and has nothing to ask for.
  EXPECT_FALSE(beat(heartbeat(2, 1000)).is_fenced);
  EXPECT_EQ(image.replica_counts(kNoLeader).leads, 500);
  take_over();
  EXPECT_EQ(image.replica_counts(2).leads, 2500);
}

TEST_F(HalfDone, little_that_was_left_is_finished_too) {
  create("t", {{2}, {3}, {2}});
  remove_from_isrs(context(), 2, records);
  accept();
  take_over();
  EXPECT_EQ(image.replica_counts(2).leads, 2);
}

TEST_F(HalfDone, a_broker_that_was_not_taken_into_service_in_the_end_does_not_lead) {
  create_for_two_that_are_fenced();
  take_one_piece(PartitionSweep::plan(image, 1, {SweepStep::lead_again}));
  EXPECT_EQ(image.replica_counts(1).leads, 500);
  take_over();
  EXPECT_EQ(image.replica_counts(1).leads, 0);
  EXPECT_FALSE(beat(heartbeat(2, 1'000'000)).is_fenced);
  EXPECT_EQ(image.replica_counts(2).leads, 2500);
}

TEST_F(HalfDone, who_is_fenced_and_leads_has_a_session_that_ends) {
  create_for_two_that_are_fenced();
  take_one_piece(PartitionSweep::plan(image, 1, {SweepStep::lead_again}));
  tracker.activate(image, 3, Uuid(), at_ms(0));
  EXPECT_TRUE(tracker.has_session({1, 11}, at_ms(0)));
  EXPECT_FALSE(tracker.has_session({2, 12}, at_ms(0)));
  for (std::int64_t ms = 0; ms <= 9000; ms += 1000) EXPECT_EQ(expire(at_ms(ms)), std::nullopt);
  tracker.heard({3, 13}, at_ms(9000));
  const std::int32_t epoch = partition("t", 0).leader_epoch;
  EXPECT_EQ(expire(at_ms(9001)), 1);
  EXPECT_EQ(image.replica_counts(1).leads, 0);
  EXPECT_EQ(partition("t", 0).leader_epoch, epoch + 1);
  EXPECT_TRUE(image.broker(1)->fenced);
  EXPECT_EQ(expire(at_ms(9001)), std::nullopt);
}

TEST_F(Sweeps, little_is_done_at_once) {
  create("t", {{2}, {1}});
  EXPECT_FALSE(plan_fencing(context(), 2).has_value());
  create("others", std::vector<std::vector<NodeId>>(1500, Ids{1}));
  EXPECT_FALSE(plan_fencing(context(), 3).has_value()) << "it has nothing";
  EXPECT_TRUE(plan_fencing(context(), 2).has_value()) << "it must be looked for";
}

// The counts are what a walk over all partitions finds, whatever happened.
TEST_F(Sweeps, counts_are_those_of_a_walk) {
  enable_elr();
  create("a", {{1, 2}, {2, 3}, {3, 1}, {2}});
  const TopicId gone = create("b", {{2, 1}, {3}});
  auto expect_counted = [this] {
    std::map<NodeId, ReplicaCounts> found;
    for (const auto& [name, topic] : image.topics().by_name()) {
      for (const auto& [index, partition] : topic->partitions) {
        ++found[partition.leader].leads;
        for (const NodeId id : partition.isr) ++found[id].in_isr;
        for (const NodeId id : partition.eligible_leader_replicas) ++found[id].in_elr;
      }
    }
    for (NodeId id = -1; id < 5; ++id) EXPECT_EQ(image.replica_counts(id), found[id]) << id;
  };
  expect_counted();
  fence(2);
  expect_counted();
  fence(3);
  EXPECT_GT(image.replica_counts(3).in_elr, 0);
  expect_counted();
  unfence(2);
  protocol::ClearElrRecord clear;
  records.add(clear);
  accept();
  expect_counted();
  protocol::RemoveTopicRecord removal;
  removal.topic_id = gone;
  records.add(removal);
  accept();
  expect_counted();
}

}  // namespace
}  // namespace drave::metadata::testing
