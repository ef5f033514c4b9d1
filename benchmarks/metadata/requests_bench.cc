// What a request that names thousands of topics costs the controller: the decision, and its records
// applied. Both should grow as the number of topics does.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>

#include "metadata/controller/configs.h"
#include "metadata/controller/leadership.h"
#include "metadata/controller/topics.h"
#include "metadata/delta.h"
#include "metadata/features.h"
#include "metadata/image_records.h"
#include "metadata/record_list.h"

namespace drave::metadata {
namespace {

constexpr NodeId kBrokers = 3;

ImagePtr applied(const Image& image, const RecordList& records) {
  Delta delta(image);
  for (std::size_t index = 0; index < records.size(); ++index)
    if (!delta.apply(records[index])) std::abort();
  return std::make_shared<const Image>(std::move(delta).finish({1, 1}, 1));
}

// Brokers in service, and the newest level.
ImagePtr empty_cluster() {
  RecordList records;
  protocol::FeatureLevelRecord level;
  level.name = kMetadataVersion;
  level.feature_level = metadata_level::kNewest;
  records.add(level);
  for (NodeId id = 1; id <= kBrokers; ++id) {
    protocol::RegisterBrokerRecord broker;
    broker.broker_id = id;
    broker.broker_epoch = id;
    broker.fenced = false;
    broker.rack = std::nullopt;
    records.add(broker, std::int16_t{0});
  }
  return applied(Image(), records);
}

struct Cluster {
  explicit Cluster(std::int64_t topics) {
    for (std::int64_t number = 0; number < topics; ++number)
      names.push_back("a.topic_" + std::to_string(number));
  }
  ControllerContext context() { return {*image, fixed, 1, 1, 1, true, random}; }

  protocol::CreateTopicsRequest creation() const {
    protocol::CreateTopicsRequest request;
    for (const std::string& name : names) {
      auto& topic = request.topics.emplace_back();
      topic.name = name;
      topic.num_partitions = 1;
      topic.replication_factor = 1;
      topic.configs.push_back({"retention.ms", "1000"});
    }
    return request;
  }
  void create() {
    RecordList records;
    const auto answer = create_topics(context(), creation(), 7, records);
    if (answer.message.topics.back().error_code != 0) std::abort();
    image = applied(*image, records);
  }

  std::deque<std::string> names;
  ImagePtr image = empty_cluster();
  ConfigMap fixed;
  Random random{1};
};

template <class Decide>
void decide_and_apply(benchmark::State& state, Cluster& cluster, Decide decide) {
  std::size_t made = 0;
  for (auto _ : state) {
    RecordList records;
    decide(records);
    made = records.size();
    benchmark::DoNotOptimize(applied(*cluster.image, records));
  }
  state.counters["records"] = static_cast<double>(made);
  state.counters["us_per_topic"] =
      benchmark::Counter(static_cast<double>(state.iterations() * state.range(0)) * 1e-6,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void creating(benchmark::State& state) {
  Cluster cluster(state.range(0));
  const auto request = cluster.creation();
  decide_and_apply(state, cluster, [&](RecordList& records) {
    benchmark::DoNotOptimize(create_topics(cluster.context(), request, 7, records));
  });
}

// The longest piece of a decision, which is a pass of the controller's loop.
template <class Begin>
void longest_piece(benchmark::State& state, Begin begin) {
  for (auto _ : state) {
    RecordList records;
    const auto decision = begin();
    std::chrono::steady_clock::duration longest{};
    for (bool more = true; more;) {
      const auto began = std::chrono::steady_clock::now();
      more = decision->next(records);
      longest = std::max(longest, std::chrono::steady_clock::now() - began);
    }
    state.SetIterationTime(std::chrono::duration<double>(longest).count());
  }
}

void creating_longest_piece(benchmark::State& state) {
  Cluster cluster(state.range(0));
  const auto request = cluster.creation();
  longest_piece(state, [&] { return begin_create_topics(cluster.context(), request, 7); });
}

void creating_one_wide(benchmark::State& state) {
  Cluster cluster(1);
  auto request = cluster.creation();
  request.topics.front().num_partitions = static_cast<std::int32_t>(state.range(0));
  longest_piece(state, [&] { return begin_create_topics(cluster.context(), request, 7); });
}
BENCHMARK(creating_one_wide)->ArgName("partitions")->Arg(10'000)->UseManualTime();

void deleting(benchmark::State& state) {
  Cluster cluster(state.range(0));
  cluster.create();
  protocol::DeleteTopicsRequest request;
  for (const std::string& name : cluster.names) request.topic_names.push_back(name);
  decide_and_apply(state, cluster, [&](RecordList& records) {
    benchmark::DoNotOptimize(delete_topics(cluster.context(), request, 5, records));
  });
}

void growing(benchmark::State& state) {
  Cluster cluster(state.range(0));
  cluster.create();
  protocol::CreatePartitionsRequest request;
  for (const std::string& name : cluster.names) {
    auto& topic = request.topics.emplace_back();
    topic.name = name;
    topic.count = 2;
    topic.assignments.reset();
  }
  decide_and_apply(state, cluster, [&](RecordList& records) {
    benchmark::DoNotOptimize(create_partitions(cluster.context(), request, records));
  });
}

void configuring(benchmark::State& state) {
  Cluster cluster(state.range(0));
  cluster.create();
  protocol::IncrementalAlterConfigsRequest request;
  for (const std::string& name : cluster.names) {
    auto& resource = request.resources.emplace_back();
    resource.resource_type = static_cast<std::int8_t>(ConfigResourceType::topic);
    resource.resource_name = name;
    resource.configs.push_back({"retention.ms", 0, "2000"});
  }
  decide_and_apply(state, cluster, [&](RecordList& records) {
    benchmark::DoNotOptimize(incremental_alter_configs(cluster.context(), request, records));
  });
}

// Of topics of 100 partitions each.
void electing(benchmark::State& state) {
  Cluster cluster(state.range(0) / 100);
  RecordList records;
  for (const std::string& name : cluster.names) {
    protocol::TopicRecord topic;
    topic.name = name;
    topic.topic_id = draw_id(cluster.random);
    records.add(topic);
    PartitionImage partition;
    partition.replicas = {1, 2};
    partition.isr = {1, 2};
    partition.leader = 2;
    for (PartitionIndex index = 0; index < 100; ++index)
      add_partition_record(records, topic.topic_id, index, partition, metadata_level::kNewest);
  }
  cluster.image = applied(*cluster.image, records);
  protocol::ElectLeadersRequest request;
  request.topic_partitions.reset();
  decide_and_apply(state, cluster, [&](RecordList& list) {
    benchmark::DoNotOptimize(elect_leaders(cluster.context(), request, list));
  });
}

#define DRAVE_BY_TOPICS(name) BENCHMARK(name)->ArgName("topics")->Arg(100)->Arg(1000)->Arg(7000)
DRAVE_BY_TOPICS(creating);
DRAVE_BY_TOPICS(creating_longest_piece)->UseManualTime();
DRAVE_BY_TOPICS(deleting);
DRAVE_BY_TOPICS(growing);
DRAVE_BY_TOPICS(configuring);
DRAVE_BY_TOPICS(electing);

}  // namespace
}  // namespace drave::metadata
