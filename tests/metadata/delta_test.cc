#include "metadata/delta.h"

#include "metadata/loader.h"
#include "protocol/batch_builder.h"
#include "protocol/control_record.h"
#include "protocol/messages/control_records.h"
#include "tests/metadata/image_support.h"

namespace drave::metadata::testing {
namespace {

const TopicId kTopic{5, 6};

void add_topic(RecordList& records, int partitions) {
  protocol::TopicRecord topic;
  topic.name = "t";
  topic.topic_id = kTopic;
  records.add(topic);
  for (int index = 0; index < partitions; ++index) {
    PartitionImage partition;
    partition.replicas = {1, 2};
    partition.isr = {1, 2};
    partition.leader = 1;
    add_partition_record(records, kTopic, index, partition, 30);
  }
}

TEST(Delta, a_change_of_the_leader_counts_both_epochs) {
  RecordList records;
  add_topic(records, 1);
  protocol::PartitionChangeRecord change;
  change.partition_id = 0;
  change.topic_id = kTopic;
  change.isr = std::vector<NodeId>{2};
  records.add(change, std::int16_t{2});
  change.leader = 2;
  records.add(change, std::int16_t{2});
  const Image image = apply_all(Image(), records);
  const PartitionImage& partition = image.topics().find(kTopic)->partitions.at(0);
  EXPECT_EQ(partition.leader, 2);
  EXPECT_EQ(partition.leader_epoch, 1);
  EXPECT_EQ(partition.partition_epoch, 2);
  EXPECT_EQ(partition.isr, std::vector<NodeId>{2});
}

TEST(Delta, the_image_before_stays_as_it_was) {
  RecordList records;
  add_topic(records, 2);
  const Image before = apply_all(Image(), records);
  RecordList more;
  PartitionImage partition;
  partition.replicas = {1};
  add_partition_record(more, kTopic, 2, partition, 30);
  const Image after = apply_all(before, more);
  EXPECT_EQ(before.topics().find(kTopic)->partitions.size(), 2u);
  EXPECT_EQ(after.topics().find(std::string_view("t"))->partitions.size(), 3u);
}

TEST(Delta, clearing_eligible_leaders_touches_only_topics_that_have_some) {
  RecordList records;
  add_topic(records, 2);
  const Image before = apply_all(Image(), records);
  RecordList clear;
  clear.add(protocol::ClearElrRecord());
  EXPECT_TRUE(apply_all(before, clear).has_same_content(before));
  RecordList more;
  protocol::TopicRecord topic;
  topic.name = "eligible";
  topic.topic_id = {7, 8};
  more.add(topic);
  PartitionImage partition;
  partition.replicas = partition.isr = {1};
  add_partition_record(more, topic.topic_id, 0, partition, 30);
  partition.eligible_leader_replicas = {2};
  add_partition_record(more, topic.topic_id, 1, partition, 30);
  const Image with = apply_all(before, more);
  ASSERT_EQ(with.replica_counts(2).in_elr, 1);
  // In the delta that made the topic, and in one of its own.
  more.add(protocol::ClearElrRecord());
  for (const Image& cleared : {apply_all(before, more), apply_all(with, clear)}) {
    EXPECT_EQ(cleared.replica_counts(2).in_elr, 0);
    EXPECT_TRUE(cleared.topics().find(topic.topic_id)->partitions.at(1).eligible_leader_replicas ==
                std::vector<NodeId>());
    EXPECT_EQ(cleared.topics().find(kTopic), before.topics().find(kTopic));
  }
}

TEST(Delta, a_topic_goes_with_its_configs_and_its_name_is_free) {
  RecordList records;
  add_topic(records, 1);
  protocol::ConfigRecord config;
  config.resource_type = 2;
  config.resource_name = "t";
  config.name = "retention.ms";
  config.value = "1";
  records.add(config);
  protocol::RemoveTopicRecord remove;
  remove.topic_id = kTopic;
  records.add(remove);
  const Image image = apply_all(Image(), records);
  EXPECT_TRUE(image.topics().by_name().empty());
  EXPECT_TRUE(image.all_configs().empty());
}

TEST(Delta, records_about_what_is_not_there_are_errors_that_name_them) {
  Delta delta{Image()};
  protocol::RemoveTopicRecord remove;
  remove.topic_id = kTopic;
  const auto removed = delta.apply(protocol::MetadataRecord(remove));
  ASSERT_FALSE(removed.has_value());
  EXPECT_NE(removed.error().context.find("RemoveTopicRecord"), std::string::npos);
  protocol::PartitionChangeRecord change;
  change.topic_id = kTopic;
  EXPECT_FALSE(delta.apply(protocol::MetadataRecord(change)).has_value());
  protocol::BrokerRegistrationChangeRecord broker;
  EXPECT_FALSE(delta.apply(protocol::MetadataRecord(broker)).has_value());
}

TEST(Delta, an_unknown_record_is_an_error) {
  Delta delta{Image()};
  const std::vector<std::uint8_t> unknown{1, 99, 0, 0};
  EXPECT_EQ(delta.apply(unknown).error().code, Errc::unsupported);
}

TEST(Delta, a_config_without_a_value_is_gone) {
  RecordList records;
  protocol::ConfigRecord config;
  config.resource_type = 4;
  config.name = "a";
  config.value = "1";
  records.add(config);
  config.value = std::nullopt;
  records.add(config);
  EXPECT_TRUE(apply_all(Image(), records).all_configs().empty());
}

std::vector<std::uint8_t> batch_of(const RecordList& records, Offset base) {
  protocol::BatchOptions options;
  options.base_offset = base;
  options.leader_epoch = 1;
  protocol::BatchBuilder builder(options);
  for (std::size_t index = 0; index < records.size(); ++index)
    builder.append(5, std::nullopt, records[index]);
  return std::move(builder).finish();
}

void feed(Loader& loader, const RecordList& records, Offset base) {
  const std::vector<std::uint8_t> bytes = batch_of(records, base);
  const Result<void> applied = loader.apply(*protocol::parse_batch(bytes));
  EXPECT_TRUE(applied.has_value()) << applied.error().message();
}

TEST(Loader, a_transaction_is_seen_at_its_end_and_never_if_it_is_aborted) {
  Loader loader;
  RecordList first;
  first.add(protocol::BeginTransactionRecord());
  add_topic(first, 1);
  feed(loader, first, 0);
  EXPECT_TRUE(loader.in_transaction());
  EXPECT_TRUE(loader.image()->topics().by_name().empty());
  RecordList abort;
  abort.add(protocol::AbortTransactionRecord());
  feed(loader, abort, 10);
  EXPECT_FALSE(loader.in_transaction());
  EXPECT_TRUE(loader.image()->topics().by_name().empty());
  feed(loader, first, 20);
  RecordList end;
  end.add(protocol::EndTransactionRecord());
  feed(loader, end, 30);
  EXPECT_EQ(loader.image()->topics().by_name().size(), 1u);
  EXPECT_EQ(loader.image()->last_contained().offset, 30);
}

std::vector<std::uint8_t> kraft_version_batch(std::int16_t level, Offset base) {
  protocol::KRaftVersionRecord version;
  version.kraft_version = level;
  protocol::Writer value;
  EXPECT_TRUE(protocol::encode(value, version, 0));
  protocol::BatchOptions options;
  options.base_offset = base;
  options.leader_epoch = 1;
  options.control = true;
  protocol::BatchBuilder builder(options);
  protocol::append_control_record(builder, protocol::ControlType::kraft_version, 5, value.own());
  return std::move(builder).finish();
}

TEST(Loader, what_a_control_batch_says_within_a_transaction_holds_however_that_ends) {
  Loader loader;
  RecordList first;
  first.add(protocol::BeginTransactionRecord());
  add_topic(first, 1);
  feed(loader, first, 0);
  const std::vector<std::uint8_t> control = kraft_version_batch(1, 10);
  ASSERT_TRUE(loader.apply(*protocol::parse_batch(control)));
  EXPECT_EQ(loader.image()->feature("kraft.version"), 1);
  EXPECT_EQ(loader.working()->feature("kraft.version"), 1);
  EXPECT_EQ(loader.working()->topics().by_name().size(), 1u);
  EXPECT_TRUE(loader.image()->topics().by_name().empty());
  RecordList abort;
  abort.add(protocol::AbortTransactionRecord());
  feed(loader, abort, 11);
  EXPECT_EQ(loader.image()->feature("kraft.version"), 1);
  EXPECT_TRUE(loader.image()->topics().by_name().empty());
}

// A topic of its own, with one partition.
void add_numbered(RecordList& records, std::uint64_t number) {
  protocol::TopicRecord topic;
  const std::string name = "topic-" + std::to_string(number);
  topic.name = name;
  topic.topic_id = {7, number};
  records.add(topic);
  PartitionImage partition;
  partition.replicas = partition.isr = {1};
  partition.leader = 1;
  add_partition_record(records, topic.topic_id, 0, partition, 30);
}

// A transaction that ends, and another that goes on.
RecordList two_transactions() {
  RecordList records;
  add_numbered(records, 1);
  records.add(protocol::BeginTransactionRecord());
  add_numbered(records, 2);
  records.add(protocol::EndTransactionRecord());
  add_numbered(records, 3);
  records.add(protocol::BeginTransactionRecord());
  add_numbered(records, 4);
  return records;
}

TEST(Loader, a_batch_in_pieces_amounts_to_the_whole) {
  const RecordList records = two_transactions();
  const std::vector<std::uint8_t> bytes = batch_of(records, 0);
  const auto batch = protocol::parse_batch(bytes);
  for (std::size_t size = 1; size <= records.size(); ++size) {
    SCOPED_TRACE(size);
    Loader loader;
    const ImagePtr before = loader.image();
    std::size_t calls = 1;
    for (; true; ++calls) {
      const Result<bool> whole = loader.apply_piece(*batch, size);
      ASSERT_TRUE(whole.has_value());
      if (*whole) break;
      EXPECT_EQ(loader.image(), before) << "nothing is seen before the end";
      EXPECT_FALSE(loader.in_transaction());
    }
    EXPECT_EQ(calls, (records.size() + size - 1) / size);
    EXPECT_EQ(loader.image()->topics().by_name().size(), 3u);
    EXPECT_EQ(loader.working()->topics().by_name().size(), 4u);
    EXPECT_EQ(loader.working()->last_contained().offset, static_cast<Offset>(records.size()) - 1);
  }
}

TEST(Loader, a_batch_of_which_not_all_was_applied_is_begun_again) {
  const std::vector<std::uint8_t> bytes = batch_of(two_transactions(), 0);
  const std::vector<std::uint8_t> again = bytes;  // in another place
  Loader loader;
  EXPECT_FALSE(*loader.apply_piece(*protocol::parse_batch(bytes), 2));
  EXPECT_FALSE(*loader.apply_piece(*protocol::parse_batch(again), 2));
  EXPECT_TRUE(*loader.apply_piece(*protocol::parse_batch(again), 100));
  EXPECT_EQ(loader.image()->topics().by_name().size(), 3u);
  Loader other;
  EXPECT_FALSE(*other.apply_piece(*protocol::parse_batch(bytes), 2));
  other.set_images(loader.image(), nullptr);
  EXPECT_FALSE(other.apply_piece(*protocol::parse_batch(bytes), 100).has_value())
      << "the topics exist already";
}

// Many topics change in one batch, some more than once: no more than some are open at a time.
TEST(Loader, a_batch_changes_many_topics_again_and_again) {
  constexpr std::uint64_t kTopics = 1000;
  Loader loader;
  RecordList creation;
  for (std::uint64_t topic = 1; topic <= kTopics; ++topic) add_numbered(creation, topic);
  feed(loader, creation, 0);
  RecordList changes;
  for (int round = 0; round < 2; ++round) {
    for (std::uint64_t topic = 1; topic <= kTopics; ++topic) {
      protocol::PartitionRecord partition;
      partition.topic_id = TopicId{7, topic};
      partition.partition_id = round;
      partition.replicas = partition.isr = {1};
      partition.leader = 1;
      changes.add(partition, std::int16_t{0});
    }
  }
  feed(loader, changes, 10'000);
  EXPECT_EQ(loader.image()->topics().by_name().size(), kTopics);
  for (const auto& [name, topic] : loader.image()->topics().by_name()) {
    EXPECT_EQ(topic->partitions.size(), 2u) << name;
    EXPECT_EQ(loader.image()->topics().find(topic->id), topic.get());
  }
  EXPECT_EQ(loader.image()->replica_counts(1).leads, 2 * static_cast<std::int64_t>(kTopics));
}

TEST(Loader, a_batch_that_fails_changes_nothing) {
  Loader loader;
  RecordList bad;
  add_topic(bad, 1);
  protocol::RemoveTopicRecord remove;
  remove.topic_id = {9, 9};
  bad.add(remove);
  const std::vector<std::uint8_t> bytes = batch_of(bad, 0);
  EXPECT_FALSE(loader.apply(*protocol::parse_batch(bytes)).has_value());
  EXPECT_TRUE(loader.image()->topics().by_name().empty());
}

}  // namespace
}  // namespace drave::metadata::testing
