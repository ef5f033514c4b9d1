// Registration, heartbeats and fencing of brokers.

#include "metadata/controller/brokers.h"

#include "tests/metadata/decision_support.h"

namespace drave::metadata::testing {
namespace {

using protocol::ErrorCode;

struct Registration : BrokerDecisions {
  void expect_refused(const protocol::BrokerRegistrationRequest& request, ErrorCode with,
                      const std::string& why = "") {
    const auto answer =
        register_broker_request(context(), request, 4, tracker, at_ms(0), next_offset, records);
    EXPECT_EQ(answer.message.error_code, code(with));
    EXPECT_EQ(answer.message.broker_epoch, -1);
    EXPECT_TRUE(records.empty());
    ASSERT_FALSE(answer.texts.empty());
    if (!why.empty()) EXPECT_EQ(answer.texts.front(), why);
  }
};

TEST_F(Registration, a_new_broker_begins_fenced_and_its_epoch_is_the_offset_of_its_record) {
  auto request = registration(4);
  request.rack = "r1";
  const auto answer = enroll(request);
  EXPECT_EQ(answer.error_code, 0);
  EXPECT_EQ(answer.broker_epoch, 100);
  const RegistrationImage* broker = image.broker(4);
  ASSERT_NE(broker, nullptr);
  EXPECT_EQ(broker->epoch, 100);
  EXPECT_EQ(broker->incarnation_id, request.incarnation_id);
  EXPECT_EQ(broker->endpoints, (std::vector<BrokerEndpoint>{{"PLAINTEXT", "host", 9092, 0}}));
  EXPECT_EQ(broker->features.at("metadata.version"), (FeatureRange{7, 30}));
  EXPECT_EQ(broker->rack, "r1");
  EXPECT_EQ(broker->directories, (std::vector<Uuid>{{7, 4}}));
  EXPECT_FALSE(broker->cordoned_directories.has_value());
  EXPECT_TRUE(broker->fenced);
}

TEST_F(Registration, the_same_incarnation_again_keeps_epoch_and_state) {
  EXPECT_EQ(enroll(registration(4)).broker_epoch, 100);
  EXPECT_FALSE(beat(heartbeat(4, 100)).is_fenced);
  auto again = registration(4);
  again.listeners.front().port = 9999;
  EXPECT_EQ(enroll(again).broker_epoch, 100);
  EXPECT_FALSE(image.broker(4)->fenced);
  EXPECT_EQ(image.broker(4)->endpoints.front().port, 9999);
  EXPECT_TRUE(tracker.has_session({4, 100}, at_ms(1)));
}

TEST_F(Registration, an_id_with_a_session_is_taken) {
  expect_refused(registration(2), ErrorCode::duplicate_broker_registration);
  EXPECT_EQ(enroll(registration(2), at_ms(9001)).error_code, 0);
}

// Its partitions are taken away already, so that a sign of life comes too late.
TEST_F(Registration, a_plan_that_was_carried_out_is_held_to) {
  create("t", std::vector<std::vector<NodeId>>(2500, {2}));
  const auto request = registration(2);
  const Instant now = at_ms(9001);
  auto planned = plan_registration(context(), request, 4, tracker, now);
  ASSERT_TRUE(planned.has_value());
  sweep(planned);
  tracker.heard({2, 12}, at_ms(9002));
  const auto answer =
      register_broker_request(context(), request, 4, tracker, now, next_offset, records, true);
  EXPECT_EQ(answer.message.error_code, 0);
  accept();
  EXPECT_FALSE(beat(heartbeat(2, next_offset)).is_fenced);
  EXPECT_EQ(image.replica_counts(2).leads, 2500);
}

TEST_F(Registration, who_was_started_again_on_its_directories_does_not_wait) {
  auto request = registration(2);
  request.previous_broker_epoch = 12;
  request.log_dirs = {Uuid{8, 8}};
  expect_refused(request, ErrorCode::duplicate_broker_registration);
  request.log_dirs = {Uuid{8, 8}, Uuid{7, 2}};
  request.previous_broker_epoch = 11;
  expect_refused(request, ErrorCode::duplicate_broker_registration);
  request.previous_broker_epoch = 12;
  EXPECT_EQ(enroll(request).error_code, 0);
  EXPECT_TRUE(image.broker(2)->fenced);
}

TEST_F(Registration, a_new_controller_knows_that_its_own_earlier_process_has_ended) {
  tracker.activate(image, 2, Uuid{1, 1}, at_ms(0));
  EXPECT_FALSE(tracker.has_session({2, 12}, at_ms(0)));
  EXPECT_TRUE(tracker.has_session({3, 13}, at_ms(0)));
  // It may come back as a controller only, and register no broker.
  EXPECT_EQ(next_to_fence(context(), tracker, at_ms(1)), 2);
  EXPECT_EQ(next_to_fence(context(), tracker, at_ms(1)), std::nullopt);
  tracker.activate(image, 2, image.broker(2)->incarnation_id, at_ms(0));
  EXPECT_TRUE(tracker.has_session({2, 12}, at_ms(0)));
}

TEST_F(Registration, a_broker_that_could_not_be_fenced_is_told_of_again) {
  tracker.activate(image, 2, Uuid{1, 1}, at_ms(0));
  EXPECT_EQ(next_to_fence(context(), tracker, at_ms(1)), 2);
  tracker.not_fenced(2, at_ms(1));
  EXPECT_FALSE(tracker.has_session({2, 12}, at_ms(1)));
  EXPECT_EQ(next_to_fence(context(), tracker, at_ms(1)), 2);
  // But for one that was heard meanwhile.
  tracker.heard({2, 12}, at_ms(2));
  tracker.not_fenced(2, at_ms(2));
  EXPECT_EQ(next_to_fence(context(), tracker, at_ms(2)), std::nullopt);
}

TEST_F(Registration, what_cannot_be_is_refused_with_kafkas_codes) {
  auto request = registration(4);
  request.cluster_id = "another";
  expect_refused(request, ErrorCode::inconsistent_cluster_id,
                 "Expected cluster ID the-cluster, but got cluster ID another");
  request = registration(4);
  request.is_migrating_zk_broker = true;
  expect_refused(request, ErrorCode::broker_id_not_registered,
                 "Controller does not support registering ZK brokers.");
  request = registration(-4);
  expect_refused(request, ErrorCode::invalid_request);
  request = registration(4);
  const std::string long_text(40'000, 'x');
  request.listeners.front().host = long_text;
  expect_refused(request, ErrorCode::invalid_request);
}

TEST_F(Registration, directories_are_of_one_broker) {
  auto request = registration(4);
  request.log_dirs.clear();
  expect_refused(request, ErrorCode::invalid_registration, "No directories specified in request");
  request.log_dirs = {Uuid{0, 1}};
  expect_refused(request, ErrorCode::invalid_registration, "Reserved directory ID in request");
  request.log_dirs = {Uuid{9, 9}, Uuid{9, 9}};
  expect_refused(request, ErrorCode::invalid_registration, "Duplicate directory ID in request");
  request.log_dirs = {Uuid{9, 9}, Uuid{7, 3}};
  expect_refused(request, ErrorCode::invalid_registration,
                 "Broker 3 is already registered with directory " + Uuid{7, 3}.to_string());
}

TEST_F(Registration, a_broker_must_support_what_is_finalized) {
  auto request = registration(4);
  for (auto& feature : request.features)
    if (feature.name == kMetadataVersion) feature.max_supported_version = 29;
  expect_refused(request, ErrorCode::unsupported_version,
                 "Unable to register because the broker does not support finalized version 30 of "
                 "metadata.version. The broker wants a version between 7 and 29, inclusive.");
  std::erase_if(request.features, [](const auto& each) { return each.name == kMetadataVersion; });
  expect_refused(request, ErrorCode::invalid_registration,
                 "Request features do not contain 'metadata.version'");
  enable_elr();
  request = registration(4);
  std::erase_if(request.features, [](const auto& each) { return each.name == kElrVersion; });
  expect_refused(request, ErrorCode::unsupported_version);
}

TEST_F(Registration, below_the_level_of_directories_none_are_asked_for_or_written) {
  image = cluster(1, 10);
  auto request = registration(4);
  request.log_dirs.clear();
  EXPECT_EQ(enroll(request, at_ms(0), 1).error_code, 0);
  EXPECT_TRUE(image.broker(4)->directories.empty());
}

TEST_F(Registration, a_restart_takes_the_lead_and_unfencing_gives_it_back) {
  create("t", {{2}, {3}});
  auto request = registration(2);
  request.previous_broker_epoch = 12;
  EXPECT_EQ(enroll(request).broker_epoch, next_offset - 1);
  EXPECT_EQ(partition("t", 0).leader, kNoLeader);
  EXPECT_EQ(partition("t", 0).isr, std::vector<NodeId>{2});
  EXPECT_EQ(partition("t", 0).leader_epoch, 1);
  EXPECT_EQ(partition("t", 1).leader, 3);
  EXPECT_FALSE(beat(heartbeat(2, next_offset)).is_fenced);
  EXPECT_EQ(partition("t", 0).leader, 2);
  EXPECT_EQ(partition("t", 0).leader_epoch, 2);
  EXPECT_EQ(partition("t", 0).partition_epoch, 2);
  EXPECT_EQ(partition("t", 1).leader_epoch, 0);
}

TEST_F(Registration, after_an_unclean_end_only_the_one_that_led_last_may_lead_and_recovers) {
  enable_elr();
  create("t", {{2}, {2, 3}});
  EXPECT_EQ(enroll(registration(2), at_ms(9001)).error_code, 0);
  EXPECT_EQ(partition("t", 0).isr, std::vector<NodeId>());
  EXPECT_EQ(partition("t", 0).eligible_leader_replicas, std::vector<NodeId>());
  EXPECT_EQ(partition("t", 0).last_known_elr, std::vector<NodeId>{2});
  EXPECT_EQ(partition("t", 1).leader, 3);
  EXPECT_EQ(partition("t", 1).isr, std::vector<NodeId>{3});
  beat(heartbeat(2, next_offset));
  EXPECT_EQ(partition("t", 0).leader, 2);
  EXPECT_EQ(partition("t", 0).isr, std::vector<NodeId>{2});
  EXPECT_EQ(partition("t", 0).leader_recovery_state, 1);
  EXPECT_EQ(partition("t", 0).last_known_elr, std::vector<NodeId>());
}

struct Heartbeats : BrokerDecisions {
  void expect_stale(const protocol::BrokerHeartbeatRequest& request) {
    const auto answer = beat(request);
    EXPECT_EQ(answer.error_code, code(ErrorCode::stale_broker_epoch));
    EXPECT_TRUE(answer.is_fenced);
  }
};

TEST_F(Heartbeats, of_another_registration_are_stale) {
  auto request = heartbeat(2, 100);
  request.broker_epoch = 11;
  expect_stale(request);
  expect_stale(heartbeat(9, 100));
}

TEST_F(Heartbeats, unfence_a_broker_that_has_seen_its_registration) {
  enroll(registration(4));
  auto answer = beat(heartbeat(4, 99));
  EXPECT_TRUE(answer.is_fenced);
  EXPECT_FALSE(answer.is_caught_up);
  auto request = heartbeat(4, 100);
  request.want_fence = true;
  answer = beat(request);
  EXPECT_TRUE(answer.is_fenced);
  EXPECT_TRUE(answer.is_caught_up);
  EXPECT_TRUE(image.broker(4)->fenced);
  answer = beat(heartbeat(4, 100));
  EXPECT_FALSE(answer.is_fenced);
  EXPECT_FALSE(image.broker(4)->fenced);
  const Offset before = next_offset;
  beat(heartbeat(4, 101));
  EXPECT_EQ(next_offset, before) << "nothing changes any more";
}

TEST_F(Heartbeats, fence_a_broker_that_wants_it) {
  create("t", {{2}});
  auto request = heartbeat(2, 200);
  request.want_fence = true;
  const auto answer = beat(request);
  EXPECT_TRUE(answer.is_fenced);
  EXPECT_FALSE(answer.should_shut_down);
  EXPECT_TRUE(image.broker(2)->fenced);
  EXPECT_EQ(partition("t", 0).leader, kNoLeader);
}

TEST_F(Heartbeats, who_leads_only_what_nobody_else_has_may_stop_at_once) {
  create("t", {{2}, {3}});
  auto request = heartbeat(2, 200);
  request.want_shut_down = true;
  const auto answer = beat(request);
  EXPECT_TRUE(answer.should_shut_down);
  EXPECT_TRUE(answer.is_fenced);
  EXPECT_TRUE(image.broker(2)->fenced);
  EXPECT_EQ(partition("t", 0).leader, kNoLeader);
  const auto again = beat(request);
  EXPECT_TRUE(again.should_shut_down) << "it may not have got the first answer";
}

TEST_F(Heartbeats, who_hands_over_stops_when_the_others_know) {
  create("t", {{2, 3}, {2}});
  beat(heartbeat(1, 200));
  beat(heartbeat(3, 101));
  auto request = heartbeat(2, 200);
  request.want_shut_down = true;
  auto answer = beat(request);
  EXPECT_FALSE(answer.should_shut_down);
  EXPECT_FALSE(answer.is_fenced);
  EXPECT_TRUE(image.broker(2)->in_controlled_shutdown);
  EXPECT_FALSE(image.broker(2)->fenced);
  EXPECT_EQ(partition("t", 0).leader, 3);
  EXPECT_EQ(partition("t", 0).isr, std::vector<NodeId>{3});
  EXPECT_EQ(partition("t", 1).leader, kNoLeader);
  const Offset moved = next_offset - 1;
  EXPECT_FALSE(beat(request).should_shut_down);
  beat(heartbeat(3, moved - 1));
  EXPECT_FALSE(beat(request).should_shut_down);
  beat(heartbeat(3, moved));
  answer = beat(request);
  EXPECT_TRUE(answer.should_shut_down);
  EXPECT_TRUE(image.broker(2)->fenced);
}

// Leadership was about to be handed over, which was given up: no record of it is in the log.
TEST_F(Heartbeats, a_shutdown_that_was_not_appended_begins_with_the_next) {
  create("t", {{2, 3}});
  auto request = heartbeat(2, 200);
  request.want_shut_down = true;
  const HeartbeatPlan plan = plan_heartbeat(context(), request, tracker, at_ms(0));
  broker_heartbeat(context(), request, plan, tracker, next_offset, records);
  EXPECT_FALSE(records.empty());
  records = RecordList();
  create("u", {{1}, {1}, {1}});
  const Offset followed = next_offset - 1;
  beat(heartbeat(1, followed));
  beat(heartbeat(3, followed));
  EXPECT_FALSE(beat(request).should_shut_down);
  EXPECT_EQ(partition("t", 0).leader, 3);
  EXPECT_FALSE(beat(request).should_shut_down) << "nobody knows it yet";
  const Offset moved = next_offset - 1;
  beat(heartbeat(1, moved));
  beat(heartbeat(3, moved));
  EXPECT_TRUE(beat(request).should_shut_down);
}

TEST_F(Heartbeats, a_fenced_broker_holds_up_nobodys_shutdown) {
  create("t", {{2, 3}});
  auto request = heartbeat(2, 200);
  request.want_shut_down = true;
  beat(heartbeat(3, 200));
  EXPECT_FALSE(beat(request).should_shut_down) << "broker 1 has said nothing yet";
  fence_broker(context(), 1, records);
  accept();
  EXPECT_TRUE(beat(request).should_shut_down);
}

TEST_F(Heartbeats, a_directory_goes_offline_with_its_partitions) {
  create("t", {{2, 3}, {3, 2}});
  auto request = heartbeat(2, 200);
  request.offline_log_dirs = {Uuid{7, 2}, Uuid{9, 9}};
  enroll([this] {
    auto more = registration(2);
    more.incarnation_id = image.broker(2)->incarnation_id;
    more.log_dirs.push_back({8, 2});
    return more;
  }());
  beat(request);
  EXPECT_EQ(image.broker(2)->directories, (std::vector<Uuid>{{8, 2}}));
  EXPECT_EQ(partition("t", 0).leader, 3);
  EXPECT_EQ(partition("t", 1).isr, std::vector<NodeId>{3});
  const Offset before = next_offset;
  beat(request);
  EXPECT_EQ(next_offset, before);
}

TEST_F(Heartbeats, cordoned_directories_are_remembered) {
  const std::vector<Uuid> both{{7, 2}, {8, 2}};
  const std::vector<Uuid> other_order{{8, 2}, {7, 2}};
  auto request = heartbeat(2, 200);
  request.cordoned_log_dirs = both;
  beat(request);
  EXPECT_EQ(image.broker(2)->cordoned_directories, both);
  request.cordoned_log_dirs = other_order;
  const Offset before = next_offset;
  beat(request);
  EXPECT_EQ(next_offset, before);
}

struct Fencing : BrokerDecisions {
  std::optional<NodeId> expire(std::int64_t ms) { return BrokerDecisions::expire(at_ms(ms)); }
  void expire_nobody_until(std::int64_t from_ms, std::int64_t to_ms) {
    for (std::int64_t ms = from_ms; ms <= to_ms; ms += tracker.check_interval().ms())
      EXPECT_EQ(expire(ms), std::nullopt) << ms;
  }
  // Brokers 1 and 3 are heard from now on, and 2 is not.
  void expect_only_2_is_fenced() {
    for (int ms = 0; ms <= 9000; ms += 1000) {
      beat(heartbeat(1, 200), at_ms(ms));
      beat(heartbeat(3, 200), at_ms(ms));
      EXPECT_EQ(expire(ms), std::nullopt);
    }
    EXPECT_EQ(expire(9001), 2);
  }
};

TEST_F(Fencing, who_is_not_heard_of_for_a_session_is_fenced_one_at_a_time) {
  create("t", {{1}, {2}, {3}});
  expire_nobody_until(0, 5000);
  tracker.heard({3, 13}, at_ms(5000));
  tracker.heard({2, 999}, at_ms(5000));
  EXPECT_EQ(tracker.next_deadline(), at_ms(9000));
  expire_nobody_until(5000, 9000);
  EXPECT_EQ(expire(9001), 1);
  EXPECT_EQ(expire(9001), 2);
  EXPECT_EQ(expire(9001), std::nullopt);
  EXPECT_TRUE(image.broker(2)->fenced);
  EXPECT_EQ(partition("t", 1).leader, kNoLeader);
  EXPECT_EQ(partition("t", 2).leader, 3);
  EXPECT_EQ(tracker.next_deadline(), at_ms(14'000));
}

TEST_F(Fencing, a_controller_that_slept_fences_nobody_for_it) {
  expire_nobody_until(0, 5000);
  EXPECT_EQ(expire(65'000), std::nullopt);
  EXPECT_TRUE(tracker.has_session({2, 12}, at_ms(65'000)));
  expire_nobody_until(65'000, 68'000);
  for (std::int64_t ms = 69'000; ms < 75'000; ms += 1000) expire(ms);
  EXPECT_TRUE(image.broker(2)->fenced);
}

TEST_F(Fencing, a_broker_whose_end_was_not_appended_is_fenced_all_the_same) {
  protocol::UnregisterBrokerRequest request;
  request.broker_id = 2;
  EXPECT_EQ(unregister_broker(context(), request, records).message.error_code, 0);
  records = RecordList();
  expect_only_2_is_fenced();
}

TEST_F(Fencing, a_broker_whose_successor_could_not_register_is_fenced_all_the_same) {
  auto request = registration(2);
  request.previous_broker_epoch = 12;
  EXPECT_EQ(register_broker_request(context(), request, 4, tracker, at_ms(0), next_offset, records)
                .message.error_code,
            0);
  records = RecordList();
  expect_only_2_is_fenced();
}

TEST_F(Fencing, a_broker_that_was_replaced_is_not_fenced_for_its_forerunner) {
  auto request = registration(2);
  request.previous_broker_epoch = 12;
  enroll(request, at_ms(100));
  beat(heartbeat(2, next_offset), at_ms(100));
  expire_nobody_until(0, 9000);
  EXPECT_EQ(expire(9001), 1);
  EXPECT_EQ(expire(9001), 3);
  EXPECT_EQ(expire(9001), std::nullopt);
  EXPECT_FALSE(image.broker(2)->fenced);
}

TEST_F(Fencing, unregistering_takes_a_broker_out_of_everything) {
  enable_elr();
  create("t", {{2, 3}, {2}});
  protocol::UnregisterBrokerRequest request;
  request.broker_id = 2;
  EXPECT_EQ(unregister_broker(context(), request, records).message.error_code, 0);
  accept();
  EXPECT_EQ(image.broker(2), nullptr);
  EXPECT_EQ(partition("t", 0).leader, 3);
  EXPECT_EQ(partition("t", 1).leader, kNoLeader);
  const auto answer = unregister_broker(context(), request, records);
  EXPECT_EQ(answer.message.error_code, code(ErrorCode::broker_id_not_registered));
  EXPECT_EQ(answer.message.error_message, "Broker ID 2 is not currently registered");
  EXPECT_TRUE(records.empty());
}

TEST_F(BrokerDecisions, controllers_register) {
  protocol::ControllerRegistrationRequest request;
  request.controller_id = 7;
  request.incarnation_id = {5, 5};
  request.listeners.push_back({"CONTROLLER", "host", 9093, 0});
  request.features.push_back({"kraft.version", 0, 1});
  EXPECT_EQ(register_controller_request(context(), request, records).message.error_code, 0);
  accept();
  EXPECT_EQ(image.controllers().at(7).endpoints.front().port, 9093);
  image = cluster(1, 14);
  const auto answer = register_controller_request(context(), request, records);
  EXPECT_EQ(answer.message.error_code, code(ErrorCode::unsupported_version));
  EXPECT_EQ(answer.message.error_message,
            "The current MetadataVersion is too old to support controller registrations.");
}

TEST_F(BrokerDecisions, blocks_of_producer_ids_are_for_registered_brokers) {
  protocol::AllocateProducerIdsRequest request;
  request.broker_id = 2;
  request.broker_epoch = 12;
  for (std::int64_t first = 0; first < 3000; first += 1000) {
    const auto answer = allocate_producer_ids(context(), request, records);
    EXPECT_EQ(answer.message.error_code, 0);
    EXPECT_EQ(answer.message.producer_id_start, first);
    EXPECT_EQ(answer.message.producer_id_len, 1000);
    accept();
  }
  request.broker_epoch = 11;
  EXPECT_EQ(allocate_producer_ids(context(), request, records).message.error_code,
            code(ErrorCode::stale_broker_epoch));
  EXPECT_TRUE(records.empty());
}

TEST_F(BrokerDecisions, producer_ids_do_not_wrap) {
  protocol::ProducerIdsRecord last;
  last.next_producer_id = INT64_MAX - 999;
  records.add(last);
  accept();
  protocol::AllocateProducerIdsRequest request;
  request.broker_id = 2;
  request.broker_epoch = 12;
  EXPECT_EQ(allocate_producer_ids(context(), request, records).message.error_code,
            code(ErrorCode::unknown_server_error));
  EXPECT_TRUE(records.empty());
}

}  // namespace
}  // namespace drave::metadata::testing
