// Where the replicas of new partitions go.

#include "metadata/controller/placement.h"

#include <set>

#include "tests/metadata/decision_support.h"

namespace drave::metadata::testing {
namespace {

using Ids = std::vector<NodeId>;

struct Placements : ::testing::Test {
  Image image;
  ConfigMap fixed;
  std::optional<NodeId> leaving;
  Random random{11};
  RecordList records;

  void add(NodeId id, std::optional<std::string_view> rack, bool fenced = false) {
    protocol::RegisterBrokerRecord broker;
    broker.broker_id = id;
    broker.broker_epoch = id;
    broker.fenced = fenced;
    broker.rack = rack;
    broker.log_dirs = {Uuid{7, static_cast<std::uint64_t>(id)}};
    records.add(broker, std::int16_t{3});
    image = apply_all(image, records);
    records = RecordList();
  }
  void change(NodeId id, std::int8_t shutdown, std::optional<std::vector<Uuid>> cordoned) {
    protocol::BrokerRegistrationChangeRecord record;
    record.broker_id = id;
    record.broker_epoch = id;
    record.in_controlled_shutdown = shutdown;
    record.cordoned_log_dirs = std::move(cordoned);
    records.add(record, std::int16_t{3});
    image = apply_all(image, records);
    records = RecordList();
  }
  ControllerContext context() {
    ControllerContext context{image, fixed, 1, 2, 1, true, random};
    context.replication_factor_max = 10;
    context.leaving = leaving;
    return context;
  }
  std::vector<Ids> place(std::int32_t count, std::int32_t factor) {
    Placement placed = place_replicas(context(), count, factor);
    EXPECT_EQ(placed.problem, "");
    EXPECT_EQ(placed.partitions.size(), static_cast<std::size_t>(count));
    for (const Ids& replicas : placed.partitions) {
      EXPECT_EQ(replicas.size(), static_cast<std::size_t>(factor));
      EXPECT_EQ(std::set<NodeId>(replicas.begin(), replicas.end()).size(), replicas.size());
    }
    return placed.partitions;
  }
  // How often each broker is at position `position`.
  static std::map<NodeId, int> counts(const std::vector<Ids>& partitions, std::size_t position) {
    std::map<NodeId, int> counts;
    for (const Ids& replicas : partitions) ++counts[replicas.at(position)];
    return counts;
  }
};

TEST_F(Placements, leaders_and_followers_are_spread_evenly) {
  for (NodeId id = 1; id <= 5; ++id) add(id, std::nullopt);
  const auto placed = place(100, 3);
  for (std::size_t position = 0; position < 3; ++position)
    EXPECT_EQ(counts(placed, position),
              (std::map<NodeId, int>{{1, 20}, {2, 20}, {3, 20}, {4, 20}, {5, 20}}))
        << position;
}

TEST_F(Placements, topics_of_one_partition_do_not_all_begin_at_the_same_broker) {
  for (NodeId id = 1; id <= 3; ++id) add(id, std::nullopt);
  std::map<NodeId, int> leaders;
  for (int topic = 0; topic < 300; ++topic) ++leaders[place(1, 1)[0][0]];
  for (const auto& [id, count] : leaders) EXPECT_GT(count, 60) << id;
  EXPECT_EQ(leaders.size(), 3u);
}

TEST_F(Placements, replicas_are_in_as_many_racks_as_there_are) {
  for (NodeId id = 1; id <= 6; ++id) add(id, id <= 2 ? "a" : id <= 4 ? "b" : "c");
  for (const Ids& replicas : place(60, 3)) {
    std::set<NodeId> racks;
    for (const NodeId id : replicas) racks.insert((id - 1) / 2);
    EXPECT_EQ(racks.size(), 3u);
  }
  for (const auto& [id, count] : counts(place(60, 1), 0)) EXPECT_EQ(count, 10) << id;
}

TEST_F(Placements, the_rack_of_the_leader_gives_again_only_after_all_others) {
  add(1, "a");
  add(2, "a");
  add(3, "b");
  for (const Ids& replicas : place(20, 2)) {
    const bool both = (replicas[0] == 3) != (replicas[1] == 3);
    EXPECT_TRUE(both) << replicas[0] << ' ' << replicas[1];
  }
  place(20, 3);
}

TEST_F(Placements, fenced_brokers_come_last_and_never_lead) {
  add(1, std::nullopt);
  add(2, std::nullopt, true);
  add(3, std::nullopt);
  const auto two = place(20, 2);
  EXPECT_FALSE(counts(two, 0).contains(2));
  EXPECT_FALSE(counts(two, 1).contains(2));
  const auto three = place(20, 3);
  EXPECT_EQ(counts(three, 2), (std::map<NodeId, int>{{2, 20}}));
}

TEST_F(Placements, a_rack_of_fenced_brokers_gives_followers) {
  add(1, "a", true);
  add(2, "b");
  for (const Ids& replicas : place(10, 2)) EXPECT_EQ(replicas, (Ids{2, 1}));
}

TEST_F(Placements, who_is_about_to_go_or_has_no_room_gets_nothing) {
  add(1, std::nullopt);
  add(2, std::nullopt);
  add(3, std::nullopt);
  change(1, 1, std::nullopt);
  change(2, 0, std::vector<Uuid>{{7, 2}});
  EXPECT_EQ(counts(place(10, 1), 0), (std::map<NodeId, int>{{3, 10}}));
  EXPECT_EQ(place_replicas(context(), 1, 2).problem,
            "The target replication factor of 2 cannot be reached because only 1 broker(s) are "
            "registered or some brokers have all their log directories cordoned.");
  change(3, 0, std::vector<Uuid>{{7, 3}, {9, 9}});
  EXPECT_EQ(place_replicas(context(), 1, 1).problem,
            "All brokers are currently fenced, or have all their log directories cordoned.");
  change(2, 0, std::vector<Uuid>{{9, 9}});
  EXPECT_EQ(counts(place(10, 1), 0), (std::map<NodeId, int>{{2, 10}}))
      << "a directory that it does not have is cordoned";
  EXPECT_EQ(place_replicas(context(), 1, 0).problem,
            "Invalid replication factor 0: the replication factor must be positive.");
}

TEST_F(Placements, a_new_replica_is_where_its_broker_has_no_choice) {
  add(1, std::nullopt);
  add(2, std::nullopt, true);
  protocol::RegisterBrokerRecord broker;
  broker.broker_id = 3;
  broker.fenced = false;
  broker.rack = std::nullopt;
  broker.log_dirs = {Uuid{7, 3}, Uuid{8, 3}};
  records.add(broker, std::int16_t{3});
  broker.broker_id = 4;
  broker.log_dirs.clear();
  records.add(broker, std::int16_t{3});
  image = apply_all(image, records);
  const PartitionImage made = new_partition(context(), {2, 3, 4, 1});
  EXPECT_EQ(made.directories,
            (std::vector<Uuid>{{7, 2}, kDirectoryUnassigned, kDirectoryMigrating, {7, 1}}));
  EXPECT_EQ(made.isr, (Ids{3, 4, 1}));
  EXPECT_EQ(made.leader, 3);
  leaving = 3;
  EXPECT_EQ(new_partition(context(), {2, 3, 4, 1}).isr, (Ids{4, 1}));
}

TEST_F(Placements, who_is_losing_its_partitions_gets_none) {
  add(1, std::nullopt);
  add(2, std::nullopt);
  leaving = 2;
  EXPECT_EQ(counts(place(10, 1), 0), (std::map<NodeId, int>{{1, 10}}));
  leaving = 1;
  EXPECT_EQ(counts(place(10, 1), 0), (std::map<NodeId, int>{{2, 10}}));
}

}  // namespace
}  // namespace drave::metadata::testing
