// When the active controller answers.

#include "broker/controller/quorum_controller.h"
#include "tests/broker/controller/controller_run.h"

namespace drave::broker::testing {
namespace {

io::Task<std::int16_t> create(Life life, std::string name) {
  protocol::CreateTopicsRequest request;
  auto& topic = request.topics.emplace_back();
  topic.name = name;
  topic.num_partitions = 1;
  topic.replication_factor = 1;
  const auto answer = co_await life.controller.create_topics(request, 7);
  co_return answer.message.topics.at(0).error_code;
}

// The node's own disks take a minute to follow.
TEST(ControllerAnswers, do_not_wait_for_the_files_of_this_node) {
  ControllerRun run;
  run.live([](Life life) -> io::Task<void> {
    io::Loop& loop = life.process.loop();
    life.published.takes = seconds(60);
    const Instant begun = loop.now();
    EXPECT_EQ(co_await create(life, "first"), 0);
    EXPECT_LT(loop.now() - begun, milliseconds(1100));
    EXPECT_EQ(life.controller.image()->topics().find(std::string_view("first")), nullptr);
    EXPECT_EQ(co_await create(life, "first"), 36) << "it is there all the same";
    const Instant asked = loop.now();
    const auto block = co_await life.controller.allocate_producer_ids(
        protocol::AllocateProducerIdsRequest{1, life.broker_epoch}, 0);
    EXPECT_EQ(block.message.error_code, 0);
    protocol::BrokerHeartbeatRequest heartbeat;
    heartbeat.broker_id = 1;
    heartbeat.broker_epoch = life.broker_epoch;
    heartbeat.current_metadata_offset = life.controller.published_end() - 1;
    heartbeat.want_fence = true;
    const auto beaten = co_await life.controller.broker_heartbeat(heartbeat, 1);
    EXPECT_EQ(beaten.message.error_code, 0);
    EXPECT_TRUE(beaten.message.is_fenced);
    EXPECT_LT(loop.now() - asked, milliseconds(100));
    life.published.takes = {};
  });
}

TEST(ControllerAnswers, are_true_of_this_node_where_that_takes_a_moment) {
  ControllerRun run;
  run.live([](Life life) -> io::Task<void> {
    life.published.takes = milliseconds(300);
    EXPECT_EQ(co_await create(life, "first"), 0);
    EXPECT_NE(life.controller.image()->topics().find(std::string_view("first")), nullptr);
    life.published.takes = {};
  });
}

}  // namespace
}  // namespace drave::broker::testing
