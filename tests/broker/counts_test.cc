// What a request costs a real node, counted: calls into the kernel, journal writes (each one is
// flushed), allocations and bytes that are copied into the journal. Alone, and with 64 connections
// at once. Counts do not depend on how fast the machine is: requests that come at once are sent
// while the node stands still. A path that grows fails here first.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <memory>
#include <new>
#include <semaphore>
#include <vector>

#include "broker/http/metrics_text.h"
#include "broker/node.h"
#include "io/threads.h"
#include "io/uring/uring_backend.h"
#include "protocol/batch_builder.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/produce.h"
#include "tests/broker/support/kafka_client.h"

namespace {
thread_local std::uint64_t allocations_here = 0;
thread_local std::uint64_t allocated_bytes_here = 0;

void* allocate(std::size_t size, std::size_t alignment) {
  ++allocations_here;
  allocated_bytes_here += size;
  const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
  void* memory = alignment <= alignof(std::max_align_t) ? std::malloc(size)
                                                        : std::aligned_alloc(alignment, rounded);
  if (memory == nullptr) std::abort();
  return memory;
}
}  // namespace

void* operator new(std::size_t size) {
  return allocate(size, 1);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace drave::test {
namespace {

constexpr int kConnections = 64;
constexpr std::int16_t kProduceVersion = 9;
constexpr std::int16_t kFetchVersion = 12;
constexpr std::size_t kValueBytes = 1000;

struct Counts {
  double enters = 0;
  double operations = 0;
  double groups = 0;
  double payload_bytes = 0;
  double allocations = 0;
  double allocated_bytes = 0;

  Counts per_request(const Counts& before, int requests) const {
    return {(enters - before.enters) / requests,
            (operations - before.operations) / requests,
            (groups - before.groups) / requests,
            (payload_bytes - before.payload_bytes) / requests,
            (allocations - before.allocations) / requests,
            (allocated_bytes - before.allocated_bytes) / requests};
  }
};

// A node with one shard on a thread of its own.
class RealNode {
 public:
  explicit RealNode(const std::vector<std::string>& more = {}) {
    std::string path = "/var/tmp/drave-counts-XXXXXX";
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    path_ = path;
    std::vector<broker::Property> properties;
    std::vector<std::string> texts{"listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=" + path_,
                                   "drave.journal.bytes=64MiB", "drave.journal.file.bytes=8MiB"};
    texts.insert(texts.end(), more.begin(), more.end());
    for (const std::string& text : texts) properties.push_back(*broker::parse_override(text));
    broker::LoadedConfig loaded = broker::load_broker_config(properties, {});
    EXPECT_TRUE(loaded.errors.empty());
    auto threads = io::ShardThreads::start({.count = 1, .pin = false},
                                           [](std::uint32_t) { return io::make_uring_backend(); });
    EXPECT_TRUE(threads.has_value());
    threads_ = std::move(*threads);
    node_ =
        std::make_unique<broker::Node>(std::vector<io::Loop*>{&threads_->loop(0)}, *loaded.config);
    std::promise<bool> started;
    threads_->post(0, [&] { threads_->loop(0).start(start(started)); });
    EXPECT_TRUE(started.get_future().get());
  }
  ~RealNode() {
    threads_->post(0, [this] { threads_->loop(0).start(stop()); });
    threads_->join();
    std::filesystem::remove_all(path_);
  }
  broker::Node& node() { return *node_; }
  std::uint16_t port() const { return node_->advertised_listeners().at(0).port; }

  // The node's thread stands still between the two.
  void hold() {
    threads_->post(0, [this] {
      held_.release();
      go_.acquire();
    });
    held_.acquire();
  }
  void let_go() { go_.release(); }

  Counts counts() {
    std::promise<Counts> told;
    threads_->post(0, [&] {
      const io::BackendCounters& ring = threads_->loop(0).backend().counters();
      const segments::JournalCounters& journal =
          node_->shard(0).directories().at(0)->journal().counters();
      told.set_value(
          {static_cast<double>(ring.waits), static_cast<double>(ring.submitted),
           static_cast<double>(journal.groups), static_cast<double>(journal.payload_bytes),
           static_cast<double>(allocations_here), static_cast<double>(allocated_bytes_here)});
    });
    return told.get_future().get();
  }

 private:
  io::Task<void> start(std::promise<bool>& started) {
    const Result<void> outcome = co_await node_->start();
    started.set_value(outcome.has_value());
  }
  io::Task<void> stop() {
    co_await node_->stop();
    threads_->stop_all();
  }

  std::string path_;
  std::binary_semaphore held_{0};
  std::binary_semaphore go_{0};
  std::unique_ptr<io::ShardThreads> threads_;
  std::unique_ptr<broker::Node> node_;
};

protocol::ProduceRequest produce_request(ByteView batch, std::int32_t partition) {
  protocol::ProduceRequest request;
  request.acks = -1;
  request.timeout_ms = 600'000;  // a machine may stand still for a while
  auto& data = request.topic_data.emplace_back();
  data.name = "counted";
  data.partition_data.push_back({partition, batch});
  return request;
}

constexpr std::int32_t kFirstBatch = 2000;

protocol::FetchRequest fetch_request(std::int32_t partition, Offset offset = 0,
                                     std::int32_t bytes_max = kFirstBatch) {
  protocol::FetchRequest request;
  request.max_wait_ms = 500;
  request.min_bytes = 1;
  request.max_bytes = 1 << 20;
  auto& wanted = request.topics.emplace_back();
  wanted.topic = "counted";
  auto& at = wanted.partitions.emplace_back();
  at.partition = partition;
  at.fetch_offset = offset;
  at.partition_max_bytes = bytes_max;
  return request;
}

class RequestCounts : public testing::Test {
 protected:
  RequestCounts()
      : backend_(std::move(*io::make_uring_backend({.receive_buffers = 64}))), loop_(*backend_, 0) {
    protocol::BatchBuilder builder{protocol::BatchOptions{}};
    const std::string value(kValueBytes, 'x');
    builder.append(1'760'000'000'000, std::nullopt, as_bytes(value));
    batch_ = std::move(builder).finish();
    run(create(node_));
  }

  void run(io::Task<void> task) {
    bool ended = false;
    loop_.start(finish(std::move(task), ended));
    while (!ended) loop_.pass(loop_.now() + milliseconds(1));
  }
  static io::Task<void> finish(io::Task<void> task, bool& ended) {
    co_await std::move(task);
    ended = true;
  }

  io::Task<void> create(RealNode& node) {
    KafkaClient client(loop_);
    EXPECT_TRUE((co_await client.connect({"127.0.0.1", node.port()})).has_value());
    protocol::CreateTopicsRequest request;
    request.timeout_ms = 10'000;
    auto& topic = request.topics.emplace_back();
    topic.name = "counted";
    topic.num_partitions = 8;
    topic.replication_factor = 1;
    const auto made = co_await client.call<protocol::CreateTopicsResponse>(request, 7);
    EXPECT_TRUE(made && made->message.topics.at(0).error_code == 0);
    co_await client.close();
  }

  // Connections that ask at once, `count` times: each sends its request while the node stands
  // still, so that it finds all of a round at once, however slow the machine is.
  io::Task<void> ask_all(int connections, int count, bool fetch) {
    std::vector<std::unique_ptr<KafkaClient>> clients;
    for (int i = 0; i < connections; ++i) {
      clients.push_back(std::make_unique<KafkaClient>(loop_));
      EXPECT_TRUE((co_await clients.back()->connect({"127.0.0.1", node_.port()})).has_value());
    }
    for (int round = 0; round < count; ++round) {
      if (connections > 1) node_.hold();
      for (int i = 0; i < connections; ++i) {
        KafkaClient& client = *clients[static_cast<std::size_t>(i)];
        std::vector<std::uint8_t> frame =
            fetch ? client.frame_of(fetch_request(i % 8), kFetchVersion)
                  : client.frame_of(produce_request(batch_, i % 8), kProduceVersion);
        EXPECT_TRUE((co_await client.send_bytes(std::move(frame))).has_value());
      }
      if (connections > 1) node_.let_go();
      for (auto& client : clients) {
        if (fetch)
          co_await expect_records(*client);
        else
          co_await expect_appended(*client);
      }
    }
    for (auto& client : clients) co_await client->close();
  }
  io::Task<void> expect_records(KafkaClient& client) {
    const auto told =
        co_await client.answer_to<protocol::FetchResponse, protocol::FetchRequest>(kFetchVersion);
    EXPECT_TRUE(told.has_value()) << told.error().message();
    if (told)
      EXPECT_GE(told->message.responses.at(0).partitions.at(0).records->size(), kValueBytes);
  }
  io::Task<void> expect_appended(KafkaClient& client) {
    const auto told =
        co_await client.answer_to<protocol::ProduceResponse, protocol::ProduceRequest>(
            kProduceVersion);
    EXPECT_TRUE(told.has_value()) << told.error().message();
    if (told) EXPECT_EQ(told->message.responses.at(0).partition_responses.at(0).error_code, 0);
  }

  // All records of a partition, `bytes_max` in an answer.
  io::Task<void> read_all(RealNode& node, std::int32_t partition, Offset end,
                          std::int32_t bytes_max) {
    KafkaClient client(loop_);
    EXPECT_TRUE((co_await client.connect({"127.0.0.1", node.port()})).has_value());
    Offset next = 0;
    while (next < end) {
      const auto told = co_await client.call<protocol::FetchResponse>(
          fetch_request(partition, next, bytes_max), 12);
      if (!told) {
        ADD_FAILURE() << "no answer at " << next;
        break;
      }
      const Offset before = next;
      protocol::BatchIterator batches(*told->message.responses.at(0).partitions.at(0).records);
      while (const auto batch = batches.next()) {
        EXPECT_EQ(batch->base_offset(), next);
        EXPECT_TRUE(batch->crc_matches());
        next = batch->last_offset() + 1;
      }
      if (next == before) {
        ADD_FAILURE() << "nothing at " << next;
        break;
      }
    }
    co_await client.close();
  }
  io::Task<void> produce(RealNode& node, std::int32_t partition, int count) {
    KafkaClient client(loop_);
    EXPECT_TRUE((co_await client.connect({"127.0.0.1", node.port()})).has_value());
    for (int i = 0; i < count; ++i) {
      const auto told =
          co_await client.call<protocol::ProduceResponse>(produce_request(batch_, partition), 9);
      EXPECT_TRUE(told && told->message.responses.at(0).partition_responses.at(0).error_code == 0);
    }
    co_await client.close();
  }

  // What a request costs when everything is warm.
  Counts measure(int connections, int count, bool fetch) {
    run(ask_all(connections, 50, fetch));
    const Counts before = node_.counts();
    run(ask_all(connections, count, fetch));
    const Counts cost = node_.counts().per_request(before, connections * count);
    const std::string text = fmt::format(
        "connections={} {}: enters={:.2f} operations={:.2f} groups={:.3f} journal_bytes={:.0f} "
        "allocations={:.2f} per request",
        connections, fetch ? "fetch" : "produce", cost.enters, cost.operations, cost.groups,
        cost.payload_bytes, cost.allocations);
    std::printf("%s\n", text.c_str());
    return cost;
  }

  RealNode node_;
  std::unique_ptr<io::Backend> backend_;
  io::Loop loop_;
  std::vector<std::uint8_t> batch_;
};

TEST_F(RequestCounts, of_a_produce_alone) {
  const Counts cost = measure(1, 1000, false);
  EXPECT_GE(cost.groups, 1.0);  // each acknowledgement had a flushed write of its own
  EXPECT_LE(cost.groups, 1.01);
  EXPECT_LE(cost.enters, 4.5);
  EXPECT_LE(cost.allocations, 8.0);
  // Its bytes go into the journal once.
  EXPECT_LE(cost.payload_bytes, static_cast<double>(batch_.size()) + 64);
}

TEST_F(RequestCounts, of_a_produce_among_64_connections) {
  const Counts cost = measure(kConnections, 100, false);
  EXPECT_LE(cost.groups, 0.1);  // many acknowledgements share a flushed write
  EXPECT_LE(cost.enters, 0.5);
  EXPECT_LE(cost.allocations, 8.0);
  EXPECT_LE(cost.payload_bytes, static_cast<double>(batch_.size()) + 64);
}

TEST_F(RequestCounts, of_a_fetch_alone) {
  run(ask_all(8, 2, false));
  const Counts cost = measure(1, 1000, true);
  EXPECT_LE(cost.groups, 0.01);
  EXPECT_LE(cost.enters, 3.0);
  EXPECT_LE(cost.allocations, 20.0);
}

TEST_F(RequestCounts, of_a_fetch_among_64_connections) {
  run(ask_all(8, 2, false));
  const Counts cost = measure(kConnections, 100, true);
  EXPECT_LE(cost.groups, 0.01);
  EXPECT_LE(cost.enters, 0.5);
  EXPECT_LE(cost.allocations, 20.0);
}

// Its records lie in several pieces of memory. They go from there to the socket: nothing of that
// size is allocated to put them together.
TEST_F(RequestCounts, of_a_large_fetch_has_no_copy_of_its_records) {
  constexpr int kBatches = 500;
  run(produce(node_, 0, kBatches));
  run(read_all(node_, 0, kBatches, 1 << 20));
  const Counts before = node_.counts();
  for (int i = 0; i < 10; ++i) run(read_all(node_, 0, kBatches, 1 << 20));
  const Counts cost = node_.counts().per_request(before, 10);
  std::printf("allocated_bytes=%.0f of %zu per request\n", cost.allocated_bytes,
              kBatches * batch_.size());
  EXPECT_LE(cost.allocated_bytes, 64.0 * 1024);
}

double metric(broker::Node& node, const std::string& name) {
  const std::string text = broker::metrics_text(node);
  const std::size_t at = text.find("\n" + name + "{");
  if (at == std::string::npos) return -1;
  return std::strtod(text.c_str() + text.find('}', at) + 1, nullptr);
}

TEST_F(RequestCounts, of_readers_behind_the_tail_are_metrics) {
  RealNode node({"drave.memory.tail.bytes=1MiB"});
  run(create(node));
  batch_ = [] {
    protocol::BatchBuilder builder{protocol::BatchOptions{}};
    const std::string value(100 * kValueBytes, 'x');
    builder.append(1'760'000'000'000, std::nullopt, as_bytes(value));
    return std::move(builder).finish();
  }();
  constexpr int kBatches = 60;
  run(produce(node, 0, kBatches));
  for (int i = 0; i < 2; ++i) run(read_all(node, 0, kBatches, 1000));
  const Instant end = loop_.now() + seconds(20);
  const auto all_there = [&] {
    return metric(node.node(), "drave_disk_reads_total") > 0 &&
           metric(node.node(), "drave_read_cache_hits_total") > kBatches &&
           metric(node.node(), "drave_read_cache_bytes") >= 1 << 20;
  };
  while (!all_there() && loop_.now() < end) loop_.pass(loop_.now() + milliseconds(50));
  EXPECT_GE(metric(node.node(), "drave_disk_reads_total"), 4);
  EXPECT_LE(metric(node.node(), "drave_disk_reads_total"), kBatches);
  EXPECT_GT(metric(node.node(), "drave_read_cache_hits_total"), kBatches);
  EXPECT_GE(metric(node.node(), "drave_read_cache_bytes"), 1 << 20);
  EXPECT_GE(metric(node.node(), "drave_read_ahead_bytes"), 0);
}

}  // namespace
}  // namespace drave::test
