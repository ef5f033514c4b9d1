// The bounds on the memory that clients make a node hold. Each test fails where its bound is taken
// away.

#include "broker/limits.h"
#include "broker/net/connection.h"
#include "io/frame_pool.h"
#include "tests/broker/net/bounded_node.h"

namespace drave {
namespace {

using test::BoundedNodeTest;
using test::KafkaClient;

class MemoryBounds : public BoundedNodeTest {
 protected:
  using BoundedNodeTest::BoundedNodeTest;

  std::int64_t requests_max() const { return node_->assembly_budget().bytes_max(); }

  std::int64_t requests_held() const {
    return node_->assembly_budget().held() + node_->assembly_budget().arrived();
  }

  // What is held for requests and answers, looked at after each event while `going` says so.
  struct Peaks {
    std::int64_t requests = 0;
    std::int64_t responses = 0;
    std::size_t buffers = 0;
  };
  Peaks watch(const std::function<bool()>& ended, Duration span) {
    Peaks peaks;
    const bool came = wait_for(
        [&] {
          peaks.requests = std::max(peaks.requests, requests_held());
          peaks.responses = std::max(peaks.responses, node_->response_budget().held());
          peaks.buffers = std::max(peaks.buffers, node_->shard(0).buffers().used_bytes());
          return ended();
        },
        span);
    EXPECT_TRUE(came);
    return peaks;
  }

  // Announces `announced` bytes, sends `sent` of them, waits for the end.
  io::Task<void> stall(io::Loop& loop, std::size_t announced, std::size_t sent) {
    KafkaClient peer(loop);
    if (!(co_await peer.connect({server_.host(), 9092})).has_value()) co_return;
    std::vector<std::uint8_t> bytes(sent);
    store_big(bytes.data(), static_cast<std::int32_t>(announced));
    co_await peer.send_bytes(std::move(bytes));
    ++stalled_;
    co_await peer.receive_frame();
    co_await peer.close();
    ++ended_;
  }
  io::Task<void> stall_many(io::Loop& loop, std::size_t count, std::size_t announced,
                            std::size_t sent) {
    for (std::size_t i = 0; i < count; ++i) loop.start(stall(loop, announced, sent));
    while (ended_ < count) co_await io::sleep_for(loop, milliseconds(10));
  }
  std::size_t stalled_ = 0;
  std::size_t ended_ = 0;

  // A request that is large and comes whole.
  struct Large {
    bool ended = false;
    bool answered = false;
    Duration took;
  };
  io::Task<void> produce_large(io::Loop& loop, std::size_t bytes, Large& large) {
    KafkaClient peer(loop);
    EXPECT_TRUE((co_await peer.connect({server_.host(), 9092})).has_value());
    const auto batch = test::batch_of_size(bytes);
    const Instant begun = loop.now();
    const auto answer =
        co_await peer.call<protocol::ProduceResponse>(test::produce_to("topic", batch), 9);
    large.answered = answer.has_value();
    if (answer) EXPECT_EQ(answer->message.responses[0].partition_responses[0].error_code, 0);
    large.took = loop.now() - begun;
    co_await peer.close();
    large.ended = true;
  }
  void make_topic() {
    run([this](io::Loop& loop) { return fill(loop, "topic", 1, 10); });
  }

  // `count` requests, as fast as they are taken; their answers are read once `may_read` says so.
  using MakeFrame = std::function<std::vector<std::uint8_t>(KafkaClient&)>;
  io::Task<void> pipeline(io::Loop& loop, MakeFrame frame, int count, const bool& may_read,
                          int& answers) {
    KafkaClient peer(loop);
    EXPECT_TRUE((co_await peer.connect({server_.host(), 9092})).has_value());
    loop.start(send_all(peer, std::move(frame), count));
    while (!may_read) co_await io::sleep_for(loop, milliseconds(10));
    while (answers < count && (co_await peer.receive_frame()).has_value()) ++answers;
    while (sent_ < count) co_await io::sleep_for(loop, milliseconds(10));
    co_await peer.close();
  }
  io::Task<void> send_all(KafkaClient& peer, MakeFrame frame, int count) {
    while (sent_ < count && (co_await peer.send_bytes(frame(peer))).has_value()) ++sent_;
    sent_ = count;
  }
  int sent_ = 0;

  // As pipeline(), all requests in one piece.
  io::Task<void> send_and_count(io::Loop& loop, MakeFrame frames, int count) {
    KafkaClient peer(loop);
    EXPECT_TRUE((co_await peer.connect({server_.host(), 9092})).has_value());
    co_await peer.send_bytes(frames(peer));
    while (!may_read_) co_await io::sleep_for(loop, milliseconds(10));
    while (answers_ < count && (co_await peer.receive_frame()).has_value()) ++answers_;
    co_await peer.close();
  }
  bool may_read_ = true;
  int answers_ = 0;

  // Asks for one byte, and gets a batch.
  io::Task<void> fetch_little(io::Loop& loop) {
    KafkaClient peer(loop);
    EXPECT_TRUE((co_await peer.connect({server_.host(), 9092})).has_value());
    co_await peer.send_bytes(peer.frame_of(test::fetch_from("topic", 0, 1, 0), 4));
    while (!may_read_) co_await io::sleep_for(loop, milliseconds(10));
    if (const auto frame = co_await peer.receive_frame(); frame && frame->size() > 500'000)
      ++answers_;
    co_await peer.close();
  }
};

TEST_F(MemoryBounds, frames_that_never_come_wait_for_memory_and_go) {
  boot();
  make_topic();
  begin([this](io::Loop& loop) { return stall_many(loop, 40, 4 << 20, 1 << 20); });
  const Peaks before = watch([this] { return node_->assembly_budget().is_short(); }, seconds(10));
  Large large;
  begin([&](io::Loop& loop) { return produce_large(loop, 900'000, large); });
  const Peaks peaks = watch([&] { return large.ended && ended_ == 40; }, seconds(200));
  const std::int64_t most = std::max(before.requests, peaks.requests);
  EXPECT_GE(most, 10 * kMiB);  // it was tried
  EXPECT_LE(most, requests_max() + 4 * kMiB);
  EXPECT_LE(static_cast<std::int64_t>(peaks.buffers), most + 2 * kMiB);
  EXPECT_TRUE(large.answered);
  EXPECT_LE(large.took, broker::kAssemblyWaitMax + seconds(2) + broker::kWatchPeriod);
  EXPECT_EQ(requests_held(), 0);
}

// Others hold all of the memory for requests, and more.
class MemoryIsTaken : public MemoryBounds {
 protected:
  void take_all() {
    ASSERT_TRUE(node_->assembly_budget().try_take(requests_max(), nullptr));
    ASSERT_TRUE(node_->assembly_budget().try_take(3 * requests_max(), this));
  }
  void give_back() { node_->assembly_budget().give_back(4 * requests_max(), this, true); }
};

TEST_F(MemoryIsTaken, waiting_for_it_is_no_stall_of_the_client) {
  boot();
  make_topic();
  take_all();
  Large large;
  begin([&](io::Loop& loop) { return produce_large(loop, 900'000, large); });
  wait_for([&] { return large.ended; }, seconds(4));
  give_back();
  EXPECT_TRUE(wait_for([&] { return large.ended; }, seconds(2)));
  EXPECT_TRUE(large.answered);
}

TEST_F(MemoryIsTaken, by_frames_that_do_not_come_so_waiting_ends) {
  boot();
  make_topic();
  take_all();
  Large large;
  begin([&](io::Loop& loop) { return produce_large(loop, 900'000, large); });
  EXPECT_TRUE(wait_for([&] { return large.ended; }, broker::kAssemblyWaitMax + seconds(1)));
  EXPECT_FALSE(large.answered);
  give_back();
}

TEST_F(MemoryIsTaken, by_requests_that_the_node_is_slow_with_so_waiting_goes_on) {
  boot();
  make_topic();
  take_all();
  node_->assembly_budget().note_needed(4 * requests_max());
  Large large;
  begin([&](io::Loop& loop) { return produce_large(loop, 900'000, large); });
  wait_for([&] { return large.ended; }, seconds(20));
  node_->assembly_budget().note_needed(-4 * requests_max());
  give_back();
  EXPECT_TRUE(wait_for([&] { return large.ended; }, seconds(2)));
  EXPECT_TRUE(large.answered);
}

class LargeReceiveBuffers : public MemoryBounds {
 protected:
  static io::sim::NodeOptions large() {
    io::sim::NodeOptions options;
    options.receive_buffer_bytes = 64 * 1024;
    return options;
  }
  LargeReceiveBuffers() : MemoryBounds(large()) {}
};

TEST_F(LargeReceiveBuffers, what_came_of_very_many_frames_is_bounded_too) {
  boot();
  begin([this](io::Loop& loop) { return stall_many(loop, 1000, 64 << 20, 60'000); });
  const Peaks peaks = watch([this] { return ended_ == 1000; }, seconds(200));
  EXPECT_GE(peaks.requests, requests_max() / 2);  // it was tried
  EXPECT_LE(peaks.requests, 2 * requests_max());
  EXPECT_LE(node_->assembly_budget().arrived(), requests_max());
  EXPECT_LE(static_cast<std::int64_t>(peaks.buffers), peaks.requests + 5 * kMiB);
  EXPECT_EQ(requests_held(), 0);
}

TEST_F(MemoryBounds, requests_that_the_disk_keeps_waiting_are_bounded) {
  constexpr int kRequests = 100;
  boot();
  make_topic();
  server_.disk().options().stall_one_in = 1;
  server_.disk().options().stall_delay = {seconds(20), seconds(20)};
  const auto batch = test::batch_of_size(900'000);
  const auto frame = [&](KafkaClient& peer) {
    return peer.frame_of(test::produce_to("topic", batch), 9);
  };
  const bool may_read = true;
  int answers = 0;
  begin([&](io::Loop& loop) { return pipeline(loop, frame, kRequests, may_read, answers); });
  Instant until = now() + seconds(15);
  const Peaks peaks = watch([&] { return now() > until; }, seconds(20));
  EXPECT_GE(peaks.requests, requests_max() / 2);  // it was tried
  EXPECT_LE(peaks.requests, requests_max());
  EXPECT_LE(static_cast<std::int64_t>(peaks.buffers), requests_max() + 4 * kMiB);
  EXPECT_LT(sent_, kRequests);
  server_.disk().options().stall_one_in = 0;
  EXPECT_TRUE(wait_for([&] { return answers == kRequests; }, seconds(200)));
  EXPECT_EQ(requests_held(), 0);
}

TEST_F(MemoryBounds, a_batch_larger_than_all_tails_is_taken_when_it_is_alone) {
  boot({"drave.memory.tail.bytes=1MiB", "message.max.bytes=8MiB"});
  const Instant begun = now();
  run([&](io::Loop& loop) { return fill(loop, "large", 3, 3 * kMiB); });
  EXPECT_LT(now() - begun, seconds(10));
}

// Requests wait for room in the tails while the disk takes its time; then something happens to it.
class WaitingForRoom : public MemoryBounds {
 protected:
  void expect_answers_when(const std::function<void(io::sim::DiskOptions&)>& happens) {
    constexpr int kRequests = 20;
    boot({"drave.memory.tail.bytes=1MiB"});
    make_topic();
    io::sim::DiskOptions& disk = server_.disk().options();
    disk.stall_one_in = 1;
    disk.stall_delay = {seconds(5), seconds(5)};
    const auto batch = test::batch_of_size(300'000);
    const auto frame = [&](KafkaClient& peer) {
      return peer.frame_of(test::produce_to("topic", batch), 9);
    };
    const bool may_read = true;
    int answers = 0;
    begin([&](io::Loop& loop) { return pipeline(loop, frame, kRequests, may_read, answers); });
    ASSERT_TRUE(wait_for([&] { return node_->shard(0).has_blocked(); }, seconds(4)));
    disk.stall_one_in = 0;
    happens(disk);
    // Long before the requests' own time is up.
    EXPECT_TRUE(wait_for([&] { return answers == kRequests; }, seconds(12)));
    EXPECT_FALSE(node_->shard(0).has_blocked());
    disk = io::sim::DiskOptions();
  }
};

TEST_F(WaitingForRoom, ends_when_the_disk_fails) {
  expect_answers_when([](io::sim::DiskOptions& disk) { disk.write_error_one_in = 1; });
}

TEST_F(WaitingForRoom, ends_when_the_disk_is_full) {
  expect_answers_when([](io::sim::DiskOptions& disk) { disk.capacity_bytes = 4096; });
}

TEST_F(MemoryBounds, a_client_has_so_many_requests_at_a_time) {
  constexpr int kRequests = 400;
  constexpr int kRequestBytes = 2000;
  boot();
  make_topic();
  server_.disk().options().stall_one_in = 1;
  server_.disk().options().stall_delay = {seconds(20), seconds(20)};
  const auto batch = test::batch_of_size(kRequestBytes);
  const auto frame = [&](KafkaClient& peer) {
    return peer.frame_of(test::produce_to("topic", batch), 9);
  };
  const bool may_read = true;
  int answers = 0;
  begin([&](io::Loop& loop) { return pipeline(loop, frame, kRequests, may_read, answers); });
  world_.run_for(seconds(10));
  // The network takes what the node does not read.
  const int on_their_way = static_cast<int>(world_.options().network.window_bytes) / kRequestBytes;
  EXPECT_GE(sent_, static_cast<int>(broker::kRequestsInFlightMax));
  EXPECT_LE(sent_, static_cast<int>(broker::kRequestsInFlightMax) + on_their_way + 20);
  server_.disk().options().stall_one_in = 0;
  EXPECT_TRUE(wait_for([&] { return answers == kRequests; }, seconds(200)));
}

TEST_F(LargeReceiveBuffers, requests_that_came_together_count_one_by_one) {
  constexpr int kRequests = 400;
  boot();
  make_topic();
  server_.disk().options().stall_one_in = 1;
  server_.disk().options().stall_delay = {seconds(20), seconds(20)};
  const auto batch = test::batch_of_size(1);
  const auto frames = [&](KafkaClient& peer) {
    std::vector<std::uint8_t> all;
    for (int i = 0; i < kRequests; ++i) {
      const auto one = peer.frame_of(test::produce_to("topic", batch), 9);
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  };
  begin([&](io::Loop& loop) { return send_and_count(loop, frames, kRequests); });
  world_.run_for(seconds(10));
  ASSERT_EQ(node_->shard(0).replicas().size(), 1U);
  const auto& log = node_->shard(0).replicas().begin()->second->log();
  EXPECT_EQ(log.end(), 1 + static_cast<Offset>(broker::kRequestsInFlightMax));
  server_.disk().options().stall_one_in = 0;
  EXPECT_TRUE(wait_for([&] { return answers_ == kRequests; }, seconds(200)));
  EXPECT_EQ(log.end(), 1 + kRequests);
}

TEST_F(LargeReceiveBuffers, fetches_in_line_are_few) {
  constexpr int kRequests = 400;
  boot();
  run([this](io::Loop& loop) { return fill(loop, "topic", 1, 1'000'000); });
  const auto frames = [&](KafkaClient& peer) {
    std::vector<std::uint8_t> all;
    for (int i = 0; i < kRequests; ++i) {
      const auto one = peer.frame_of(test::fetch_from("topic", 0, 1 << 20, 0), 4);
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  };
  const std::int64_t before = io::FramePool::live_count();
  may_read_ = false;
  begin([&](io::Loop& loop) { return send_and_count(loop, frames, kRequests); });
  world_.run_for(milliseconds(500));
  EXPECT_GE(io::FramePool::live_count() - before,
            static_cast<std::int64_t>(broker::kFetchesInLineMax));  // it was tried
  EXPECT_LE(io::FramePool::live_count() - before,
            static_cast<std::int64_t>(4 * broker::kFetchesInLineMax + 20));
  may_read_ = true;
  EXPECT_TRUE(wait_for([&] { return answers_ == kRequests; }, seconds(200)));
}

TEST_F(MemoryBounds, batches_that_are_told_whole_count_whole) {
  constexpr int kBatchBytes = 1'000'000;
  const int peers = static_cast<int>(broker::kResponseBytesMax / kBatchBytes) + 20;
  boot();
  run([this](io::Loop& loop) { return fill(loop, "topic", 1, kBatchBytes); });
  may_read_ = false;
  for (int i = 0; i < peers; ++i) begin([this](io::Loop& loop) { return fetch_little(loop); });
  // Not so long that the node gives up those who take nothing while others wait.
  const Instant until = now() + milliseconds(500);
  const Peaks peaks = watch([&] { return now() > until; }, seconds(10));
  EXPECT_GE(peaks.responses, broker::kResponseBytesMax - kBatchBytes);  // it was tried
  EXPECT_LE(peaks.responses, broker::kResponseBytesMax + 2 * kBatchBytes);
  may_read_ = true;
  EXPECT_TRUE(wait_for([&] { return answers_ == peers; }, seconds(200)));
  EXPECT_TRUE(wait_for([&] { return node_->response_budget().held() == 0; }, seconds(10)));
}

TEST_F(MemoryBounds, answers_that_nobody_reads_stop_the_reading) {
  boot();
  protocol::MetadataRequest request;
  request.allow_auto_topic_creation = false;
  std::vector<std::string> names;
  for (int i = 0; i < 3000; ++i) names.push_back("no-such-topic-" + std::to_string(i));
  for (const std::string& name : names) request.topics->push_back({{}, name});
  std::size_t size = 0;
  const auto frame = [&](KafkaClient& peer) {
    auto bytes = peer.frame_of(request, 9);
    size = bytes.size();
    return bytes;
  };
  bool may_read = false;
  int answers = 0;
  begin([&](io::Loop& loop) { return pipeline(loop, frame, 120, may_read, answers); });
  world_.run_for(seconds(10));
  // An answer is larger than its request; what the network takes comes on top.
  EXPECT_GE(sent_, 10);
  EXPECT_LE(static_cast<std::size_t>(sent_) * size, broker::kUnsentBytesMax + (1 << 20));
  may_read = true;
  EXPECT_TRUE(wait_for([&] { return answers == 120; }, seconds(60)));
}

class UnreadRecords : public MemoryBounds {
 protected:
  // Asks for a MiB and does not read it; true once it was closed.
  io::Task<void> fetch_unread(io::Loop& loop) {
    KafkaClient peer(loop);
    EXPECT_TRUE((co_await peer.connect({server_.host(), 9092})).has_value());
    co_await peer.send_bytes(peer.frame_of(test::fetch_from("topic", 0, asked_bytes_, 0), 4));
    ++stalled_;
    while (!end_) co_await io::sleep_for(loop, milliseconds(10));
    co_await peer.close();
    ++ended_;
  }
  io::Task<void> fetch_unread_many(io::Loop& loop, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) loop.start(fetch_unread(loop));
    while (ended_ < count) co_await io::sleep_for(loop, milliseconds(10));
  }
  io::Task<void> fetch_and_read(io::Loop& loop, Duration& took) {
    KafkaClient peer(loop);
    EXPECT_TRUE((co_await peer.connect({server_.host(), 9092})).has_value());
    const Instant begun = loop.now();
    const auto answer =
        co_await peer.call<protocol::FetchResponse>(test::fetch_from("topic", 0, 1 << 20, 0), 4);
    EXPECT_TRUE(answer.has_value());
    if (answer) EXPECT_GT(answer->message.responses[0].partitions[0].records->size(), 1'000'000U);
    took = loop.now() - begun;
    co_await peer.close();
  }
  io::Task<void> fetch_small(io::Loop& loop, Duration& took) {
    KafkaClient peer(loop);
    EXPECT_TRUE((co_await peer.connect({server_.host(), 9092})).has_value());
    const Instant begun = loop.now();
    const auto answer =
        co_await peer.call<protocol::FetchResponse>(test::fetch_from("small", 0, 4096, 0), 4);
    EXPECT_TRUE(answer.has_value());
    if (answer) EXPECT_GT(answer->message.responses[0].partitions[0].records->size(), 1000U);
    took = loop.now() - begun;
    co_await peer.close();
  }
  std::int32_t asked_bytes_ = 1 << 20;
  bool end_ = false;
};

TEST_F(UnreadRecords, are_bounded_and_give_way_to_who_waits) {
  boot();
  run([this](io::Loop& loop) { return fill(loop, "topic", 1, 1'020'000); });
  begin([this](io::Loop& loop) { return fetch_unread_many(loop, 60); });
  const Peaks peaks = watch([this] { return node_->response_budget().is_short(); }, seconds(10));
  Duration took;
  run([&](io::Loop& loop) { return fetch_and_read(loop, took); });
  EXPECT_LE(took, seconds(4));
  const Peaks later = watch([this] { return connection_count() == 0; }, seconds(60));
  EXPECT_GE(peaks.responses, broker::kResponseBytesMax / 2);  // it was tried
  EXPECT_LE(std::max(peaks.responses, later.responses), broker::kResponseBytesMax + 2 * kMiB);
  end_ = true;
  EXPECT_TRUE(wait_for([this] { return ended_ == 60; }, seconds(10)));
}

TEST_F(UnreadRecords, of_large_answers_do_not_hold_up_small_ones) {
  boot();
  run([this](io::Loop& loop) { return fill(loop, "topic", 9, 1'000'000); });
  run([this](io::Loop& loop) { return fill(loop, "small", 1, 1000); });
  asked_bytes_ = 8 << 20;
  begin([this](io::Loop& loop) { return fetch_unread_many(loop, 8); });
  ASSERT_TRUE(wait_for([this] { return node_->response_budget().is_short(); }, seconds(10)));
  world_.run_for(milliseconds(100));
  Duration took;
  run([&](io::Loop& loop) { return fetch_small(loop, took); });
  EXPECT_LE(took, milliseconds(50));
  end_ = true;
  EXPECT_TRUE(wait_for([this] { return ended_ == 8; }, seconds(10)));
}

TEST_F(UnreadRecords, end_a_connection_though_nobody_waits) {
  boot();
  run([this](io::Loop& loop) { return fill(loop, "topic", 1, 1'020'000); });
  EXPECT_TRUE(wait_for([this] { return connection_count() == 0; }, seconds(1)));
  begin([this](io::Loop& loop) { return fetch_unread_many(loop, 1); });
  EXPECT_TRUE(wait_for([this] { return connection_count() == 1; }, seconds(1)));
  const Instant begun = now();
  EXPECT_TRUE(wait_for([this] { return connection_count() == 0; }, seconds(90)));
  EXPECT_GE(now() - begun, broker::kSendStallMax - seconds(1));
  EXPECT_LE(now() - begun, broker::kSendStallMax + seconds(2));
  end_ = true;
  EXPECT_TRUE(wait_for([this] { return ended_ == 1; }, seconds(10)));
}

}  // namespace
}  // namespace drave
