// What is said about brokers and partitions to those who ask on one listener.

#include "metadata/cluster_view.h"

#include "metadata/controller/no_op.h"
#include "tests/metadata/decision_support.h"

namespace drave::metadata::testing {
namespace {

using protocol::ErrorCode;
using Ids = std::vector<NodeId>;

// Broker 1 has both listeners, 2 only the inner one, 3 both and is fenced, 4 is not registered.
struct Views : ::testing::Test {
  Image image;
  PartitionImage partition;

  Views() {
    RecordList records;
    for (int id = 1; id <= 3; ++id) {
      protocol::RegisterBrokerRecord broker;
      broker.broker_id = id;
      broker.fenced = id == 3;
      broker.rack = std::nullopt;
      broker.end_points.push_back({"INNER", "inner", static_cast<std::uint16_t>(9000 + id), 0});
      if (id != 2)
        broker.end_points.push_back({"OUTER", "outer", static_cast<std::uint16_t>(9100 + id), 0});
      broker.log_dirs = {Uuid{7, static_cast<std::uint64_t>(id)}};
      records.add(broker, std::int16_t{3});
    }
    image = apply_all(Image(), records);
    partition.replicas = {1, 2, 3, 4};
    partition.isr = {1, 2};
    partition.leader = 1;
    partition.directories = {{7, 1}, {7, 2}, {7, 3}, {7, 4}};
  }
};

TEST_F(Views, a_broker_is_where_it_listens) {
  const ListenerView outer(image, "OUTER");
  EXPECT_EQ(outer.nodes().size(), 3u);
  ASSERT_NE(outer.find(1), nullptr);
  EXPECT_EQ(outer.find(1)->endpoint->port, 9101);
  EXPECT_EQ(outer.find(2), nullptr);
  EXPECT_EQ(outer.find(3), nullptr);
  ASSERT_NE(outer.find(3, false), nullptr);
  EXPECT_EQ(outer.find(3, false)->endpoint->host, "outer");
  EXPECT_EQ(outer.find(4, false), nullptr);
  EXPECT_EQ(ListenerView(image, "INNER").find(2)->endpoint->port, 9002);
}

TEST_F(Views, the_controller_is_any_broker_in_service) {
  const ListenerView view(image, "OUTER");
  Random random{3};
  std::map<NodeId, int> seen;
  for (int i = 0; i < 100; ++i) ++seen[view.any_alive(random)];
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_GT(seen[1], 20);
  EXPECT_GT(seen[2], 20);
  EXPECT_EQ(ListenerView(Image(), "OUTER").any_alive(random), -1);
}

TEST_F(Views, replicas_are_named_with_those_that_are_away) {
  const PartitionView view = ListenerView(image, "OUTER").describe(partition, 12);
  EXPECT_EQ(view.error, ErrorCode::none);
  EXPECT_EQ(view.leader, 1);
  EXPECT_EQ(view.replicas, (Ids{1, 2, 3, 4}));
  EXPECT_EQ(view.isr, (Ids{1, 2}));
  EXPECT_EQ(view.offline, (Ids{2, 3, 4}));
  partition.directories[0] = {9, 9};
  EXPECT_EQ(ListenerView(image, "INNER").describe(partition, 12).offline, (Ids{1, 3, 4}));
}

TEST_F(Views, the_first_version_hides_who_cannot_be_reached) {
  const PartitionView view = ListenerView(image, "OUTER").describe(partition, 0);
  EXPECT_EQ(view.error, ErrorCode::replica_not_available);
  EXPECT_EQ(view.leader, 1);
  EXPECT_EQ(view.replicas, Ids{1});
  EXPECT_EQ(view.isr, Ids{1});
}

TEST_F(Views, a_leader_that_cannot_be_reached_is_an_error) {
  const ListenerView outer(image, "OUTER");
  partition.leader = kNoLeader;
  EXPECT_EQ(outer.describe(partition, 12).error, ErrorCode::leader_not_available);
  partition.leader = 2;
  EXPECT_EQ(outer.describe(partition, 5).error, ErrorCode::leader_not_available);
  EXPECT_EQ(outer.describe(partition, 6).error, ErrorCode::listener_not_found);
  EXPECT_EQ(outer.describe(partition, 6).leader, kNoLeader);
  EXPECT_EQ(ListenerView(image, "INNER").describe(partition, 6).leader, 2);
}

TEST(NoOpClock, is_due_when_nothing_was_appended_for_its_time) {
  NoOpClock clock(milliseconds(500));
  clock.appended(at_ms(1000));
  EXPECT_FALSE(clock.is_due(at_ms(1499)));
  EXPECT_TRUE(clock.is_due(at_ms(1500)));
  clock.appended(at_ms(1400));
  EXPECT_EQ(clock.next(), at_ms(1900));
  EXPECT_FALSE(clock.is_due(at_ms(1500)));
  NoOpClock never(Duration{});
  EXPECT_FALSE(never.is_due(at_ms(1'000'000)));
  EXPECT_EQ(never.next(), Instant::never());
  EXPECT_EQ(NoOpClock::records().size(), 1u);
}

}  // namespace
}  // namespace drave::metadata::testing
