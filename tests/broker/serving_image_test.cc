// What an image costs, in topics looked at; and that an image made from the one before is the one
// that would have been made from nothing.

#include "broker/serving_image.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "metadata/delta.h"
#include "metadata/record_list.h"

namespace drave::broker {
namespace {

using metadata::ImagePtr;
using metadata::RecordList;

TopicId id_of(std::uint64_t number) {
  return {number + 1, 7};
}

void add_topic(RecordList& records, const std::string& name, const TopicId& id,
               int partitions = 1) {
  protocol::TopicRecord topic;
  topic.name = name;
  topic.topic_id = id;
  records.add(topic);
  for (int index = 0; index < partitions; ++index) {
    protocol::PartitionRecord partition;
    partition.topic_id = id;
    partition.partition_id = index;
    partition.replicas = {1};
    partition.isr = {1};
    partition.leader = 1;
    records.add(partition, std::int16_t{0});
  }
}

void remove_topic(RecordList& records, const TopicId& id) {
  protocol::RemoveTopicRecord record;
  record.topic_id = id;
  records.add(record);
}

void set_config(RecordList& records, metadata::ConfigResourceType type, const std::string& name,
                const std::string& key, const std::optional<std::string>& value) {
  protocol::ConfigRecord record;
  record.resource_type = static_cast<std::int8_t>(type);
  record.resource_name = name;
  record.name = key;
  record.value = value.has_value() ? std::optional<std::string_view>(*value) : std::nullopt;
  records.add(record);
}

class ServingImages : public testing::Test {
 protected:
  ServingImages() { config_.node_id = 1; }

  // Applies the records and makes the next serving image from the last.
  void apply(const RecordList& records) {
    metadata::Delta delta(*image_);
    for (std::size_t index = 0; index < records.size(); ++index)
      ASSERT_TRUE(delta.apply(records[index]).has_value());
    offset_ += static_cast<Offset>(records.size());
    image_ = std::make_shared<const metadata::Image>(std::move(delta).finish({offset_, 1}, 5));
    before_ = serving_;
    serving_ = ServingImage::build(image_, config_, *before_);
  }
  void begin_with(std::uint64_t topics) {
    RecordList records;
    for (std::uint64_t number = 0; number < topics; ++number)
      add_topic(records, "topic-" + std::to_string(number), id_of(number));
    apply(records);
    EXPECT_EQ(serving_->topics_visited(), topics);
  }
  // How many topics the last change made another.
  std::size_t changed() const {
    std::size_t count = 0;
    ServedTopics::for_each_change(before_->topics(), serving_->topics(),
                                  [&count](auto, auto) { ++count; });
    return count;
  }

  BrokerConfig config_;
  ImagePtr image_ = std::make_shared<const metadata::Image>();
  ServingImagePtr before_;
  ServingImagePtr serving_ = ServingImage::empty();
  Offset offset_ = -1;
};

TEST_F(ServingImages, a_topic_that_comes_changes_or_goes_is_the_only_one_looked_at) {
  begin_with(2000);
  RecordList created;
  add_topic(created, "another", id_of(5000), 3);
  apply(created);
  EXPECT_EQ(serving_->topics_visited(), 1u);
  EXPECT_EQ(changed(), 1u);
  EXPECT_NE(serving_->find("another"), nullptr);

  RecordList changed_records;
  protocol::PartitionChangeRecord change;
  change.topic_id = id_of(77);
  change.partition_id = 0;
  change.leader = -1;
  changed_records.add(change, std::int16_t{0});
  apply(changed_records);
  EXPECT_EQ(serving_->topics_visited(), 1u);
  EXPECT_EQ(serving_->find(id_of(77))->topic->partitions.at(0).leader, -1);
  EXPECT_EQ(serving_->find("topic-78"), before_->find("topic-78"));

  RecordList removed;
  remove_topic(removed, id_of(78));
  apply(removed);
  EXPECT_EQ(serving_->topics_visited(), 1u);
  EXPECT_EQ(changed(), 1u);
  EXPECT_EQ(serving_->find("topic-78"), nullptr);
  EXPECT_EQ(serving_->find(id_of(78)), nullptr);
}

TEST_F(ServingImages, a_topic_whose_configs_change_is_the_only_one_looked_at) {
  begin_with(2000);
  RecordList records;
  set_config(records, metadata::ConfigResourceType::topic, "topic-5", "retention.ms", "77");
  set_config(records, metadata::ConfigResourceType::topic, "topic-9999", "retention.ms", "77");
  apply(records);
  EXPECT_EQ(serving_->topics_visited(), 1u);
  EXPECT_EQ(serving_->find("topic-5")->config.retention_ms, 77);
  EXPECT_EQ(serving_->find("topic-5")->log_config.retention_ms, 77);
  // Leaders move: the configs stay.
  RecordList moved;
  protocol::PartitionChangeRecord change;
  change.topic_id = id_of(5);
  change.partition_id = 0;
  change.leader = -1;
  moved.add(change, std::int16_t{0});
  apply(moved);
  EXPECT_EQ(serving_->find("topic-5")->config.retention_ms, 77);
  // Under the same name, with configs that were there before it.
  RecordList created;
  add_topic(created, "topic-9999", id_of(9999));
  apply(created);
  EXPECT_EQ(serving_->find("topic-9999")->config.retention_ms, 77);
}

TEST_F(ServingImages, topics_are_looked_at_when_what_they_inherit_changes) {
  begin_with(1000);
  RecordList other;
  set_config(other, metadata::ConfigResourceType::broker, "", "max.connections", "5000");
  apply(other);
  EXPECT_EQ(serving_->topics_visited(), 0u);
  EXPECT_EQ(serving_->config().connections_max, 5000);
  RecordList inherited;
  set_config(inherited, metadata::ConfigResourceType::broker, "1", "log.retention.ms", "123456");
  apply(inherited);
  EXPECT_EQ(serving_->topics_visited(), 1000u);
  EXPECT_EQ(serving_->find("topic-3")->config.retention_ms, 123456);
}

TEST_F(ServingImages, records_that_change_nothing_make_the_same_content) {
  begin_with(1000);
  const ImagePtr before = image_;
  RecordList records;
  records.add(protocol::NoOpRecord());
  apply(records);
  EXPECT_TRUE(image_->has_same_content(*before));
  EXPECT_GT(image_->last_contained().offset, before->last_contained().offset);
  EXPECT_EQ(serving_->topics_visited(), 0u);
  RecordList ids;
  ids.add(protocol::ProducerIdsRecord());
  apply(ids);
  EXPECT_FALSE(image_->has_same_content(*before));
  EXPECT_EQ(serving_->topics_visited(), 0u);
  EXPECT_EQ(changed(), 0u);
  EXPECT_FALSE(metadata::Image().has_same_content(metadata::Image()));
}

// Some change or other of few topics, so that they meet.
class Changes {
 public:
  explicit Changes(Random& random) : random_(random) {}
  void add(RecordList& records) {
    const std::string name = "topic-" + std::to_string(random_.below(40));
    const auto known = ids_.find(name);
    const std::uint64_t what = random_.below(4);
    if (what == 0) {
      set_config(
          records, metadata::ConfigResourceType::topic, name, "retention.ms",
          random_.one_in(3) ? std::nullopt : std::optional(std::to_string(random_.below(3) + 1)));
    } else if (what == 1 && random_.one_in(10)) {
      set_config(records, metadata::ConfigResourceType::broker, "", "log.retention.ms",
                 std::to_string(random_.below(3) + 10));
    } else if (known == ids_.end()) {
      ids_[name] = id_of(drawn_);
      add_topic(records, name, id_of(drawn_++), static_cast<int>(random_.below(3)) + 1);
    } else if (what == 2) {
      remove_topic(records, known->second);
      ids_.erase(known);
    } else {
      protocol::PartitionChangeRecord change;
      change.topic_id = known->second;
      change.partition_id = 0;
      change.leader = static_cast<NodeId>(random_.below(3));
      records.add(change, std::int16_t{0});
    }
  }
  const std::map<std::string, TopicId>& ids() const { return ids_; }

 private:
  Random& random_;
  std::map<std::string, TopicId> ids_;
  std::uint64_t drawn_ = 0;
};

TEST_F(ServingImages, from_the_one_before_and_from_nothing_are_the_same) {
  Random random{11};
  Changes changes(random);
  std::set<TopicId> all;
  for (int round = 0; round < 400; ++round) {
    RecordList records;
    for (std::uint64_t step = random.below(6); step > 0; --step) changes.add(records);
    apply(records);
    const ServingImagePtr anew = ServingImage::build(image_, config_, *ServingImage::empty());
    for (const auto& [name, id] : changes.ids()) {
      all.insert(id);
      const ServedTopic* topic = serving_->find(name);
      ASSERT_NE(topic, nullptr);
      EXPECT_EQ(topic, serving_->find(id));
      EXPECT_EQ(topic->topic.get(), image_->topics().find(id));
      EXPECT_EQ(topic->config, anew->find(name)->config);
      EXPECT_EQ(topic->log_config, anew->find(name)->log_config);
    }
    for (const TopicId& id : all)
      EXPECT_EQ(serving_->find(id) == nullptr, image_->topics().find(id) == nullptr);
    // Nothing that is another is passed over.
    std::set<TopicId> told;
    ServedTopics::for_each_change(before_->topics(), serving_->topics(),
                                  [&told](const ServedTopic* old, const ServedTopic* now) {
                                    told.insert((old != nullptr ? old : now)->topic->id);
                                  });
    for (const TopicId& id : all)
      EXPECT_EQ(told.contains(id), before_->find(id) != serving_->find(id));
  }
}

}  // namespace
}  // namespace drave::broker
