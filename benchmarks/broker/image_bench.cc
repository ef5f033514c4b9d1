// What a change of the metadata costs until the shards have it, by the number of topics that there
// are: the record is applied, the next serving image is made from the one before, and what differs
// between the two is found, as reconcile() does on each shard. Beside it the same from nothing, as
// at a start.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>

#include "broker/serving_image.h"
#include "metadata/controller/leadership.h"
#include "metadata/delta.h"
#include "metadata/record_list.h"

namespace drave::broker {
namespace {

constexpr int kPartitions = 10;

TopicId id_of(std::int64_t number) {
  return Uuid::from_random(static_cast<std::uint64_t>(number) * 0x9E3779B97F4A7C15ULL, 7);
}

void add_topic(metadata::RecordList& records, std::int64_t number) {
  const std::string name = "topic-" + std::to_string(number);
  protocol::TopicRecord topic;
  topic.name = name;
  topic.topic_id = id_of(number);
  records.add(topic);
  for (int index = 0; index < kPartitions; ++index) {
    protocol::PartitionRecord partition;
    partition.topic_id = topic.topic_id;
    partition.partition_id = index;
    partition.replicas = {1};
    partition.isr = {1};
    partition.leader = 1;
    records.add(partition, std::int16_t{0});
  }
}

metadata::RecordList records_of(int kind, std::int64_t topics) {
  metadata::RecordList records;
  if (kind == 0) {
    records.add(protocol::NoOpRecord());
  } else if (kind == 1) {
    add_topic(records, topics);
  } else {
    protocol::PartitionChangeRecord change;
    change.topic_id = id_of(topics / 2);
    change.partition_id = 3;
    change.leader = 2;
    records.add(change, std::int16_t{0});
  }
  return records;
}

struct Images {
  explicit Images(std::int64_t topics) {
    metadata::RecordList records;
    for (std::int64_t number = 0; number < topics; ++number) add_topic(records, number);
    image = next(records);
    serving = ServingImage::build(image, config, *ServingImage::empty());
  }
  metadata::ImagePtr next(const metadata::RecordList& records) const {
    metadata::Delta delta(*image);
    for (std::size_t index = 0; index < records.size(); ++index)
      if (!delta.apply(records[index])) std::abort();
    return std::make_shared<const metadata::Image>(std::move(delta).finish({1, 1}, 1));
  }

  BrokerConfig config;
  metadata::ImagePtr image = std::make_shared<const metadata::Image>();
  ServingImagePtr serving;
};

void publish(benchmark::State& state, int kind) {
  const Images images(state.range(0));
  const metadata::RecordList records = records_of(kind, state.range(0));
  std::size_t changes = 0;
  for (auto _ : state) {
    const metadata::ImagePtr image = images.next(records);
    if (image->has_same_content(*images.image)) continue;  // nothing is published
    const ServingImagePtr serving = ServingImage::build(image, images.config, *images.serving);
    ServedTopics::for_each_change(images.serving->topics(), serving->topics(),
                                  [&changes](auto, auto) { ++changes; });
  }
  state.counters["topics_changed"] =
      static_cast<double>(changes) / static_cast<double>(state.iterations());
}

void publish_no_op(benchmark::State& state) {
  publish(state, 0);
}
void publish_created_topic(benchmark::State& state) {
  publish(state, 1);
}
void publish_changed_leader(benchmark::State& state) {
  publish(state, 2);
}
BENCHMARK(publish_no_op)->ArgName("topics")->Arg(10)->Arg(1000)->Arg(10'000);
BENCHMARK(publish_created_topic)->ArgName("topics")->Arg(10)->Arg(1000)->Arg(10'000);
BENCHMARK(publish_changed_leader)->ArgName("topics")->Arg(10)->Arg(1000)->Arg(10'000);

void publish_from_nothing(benchmark::State& state) {
  const Images images(state.range(0));
  for (auto _ : state)
    benchmark::DoNotOptimize(
        ServingImage::build(images.image, images.config, *ServingImage::empty()));
}
BENCHMARK(publish_from_nothing)->ArgName("topics")->Arg(10)->Arg(1000)->Arg(10'000);

// --- A broker with a third of 100,000 partitions is fenced, as the controller does it: what is
// decided is applied. At once, and the longest of the pieces.

metadata::ImagePtr large_cluster() {
  metadata::RecordList records;
  for (NodeId id = 1; id <= 3; ++id) {
    protocol::RegisterBrokerRecord broker;
    broker.broker_id = id;
    broker.broker_epoch = id;
    broker.fenced = false;
    broker.rack = std::nullopt;
    records.add(broker, std::int16_t{0});
  }
  for (std::int64_t number = 0; number < 1000; ++number) {
    const std::string name = "topic-" + std::to_string(number);
    protocol::TopicRecord topic;
    topic.name = name;
    topic.topic_id = id_of(number);
    records.add(topic);
    for (int index = 0; index < 100; ++index) {
      protocol::PartitionRecord partition;
      partition.topic_id = topic.topic_id;
      partition.partition_id = index;
      partition.leader = 1 + index % 3;
      partition.replicas = partition.isr = {partition.leader};
      records.add(partition, std::int16_t{0});
    }
  }
  Images images(0);
  return images.next(records);
}

metadata::ImagePtr applied(const metadata::Image& image, const metadata::RecordList& records) {
  metadata::Delta delta(image);
  for (std::size_t index = 0; index < records.size(); ++index)
    if (!delta.apply(records[index])) std::abort();
  return std::make_shared<const metadata::Image>(std::move(delta).finish({1, 1}, 1));
}

void fencing(benchmark::State& state, bool in_pieces) {
  const metadata::ImagePtr before = large_cluster();
  const metadata::ConfigMap fixed;
  Random random{1};
  for (auto _ : state) {
    metadata::ImagePtr image = before;
    std::chrono::steady_clock::duration longest{};
    auto sweep = metadata::PartitionSweep::plan(*image, 2, {metadata::SweepStep::out_of_isrs});
    for (bool more = true; more;) {
      const auto began = std::chrono::steady_clock::now();
      metadata::RecordList records;
      const metadata::ControllerContext context{*image, fixed, 1, 1, 1, true, random};
      more = in_pieces && sweep->next(context, records);
      if (!in_pieces) metadata::remove_from_isrs(context, 2, records);
      image = applied(*image, records);
      longest = std::max(longest, std::chrono::steady_clock::now() - began);
    }
    state.SetIterationTime(std::chrono::duration<double>(longest).count());
  }
}
void fencing_at_once(benchmark::State& state) {
  fencing(state, false);
}
void fencing_longest_piece(benchmark::State& state) {
  fencing(state, true);
}
BENCHMARK(fencing_at_once)->UseManualTime();
BENCHMARK(fencing_longest_piece)->UseManualTime();

}  // namespace
}  // namespace drave::broker
