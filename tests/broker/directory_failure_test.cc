// A disk that fails under a running node: what is fenced, what is still served, and what a node
// that cannot go on says.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "protocol/messages/create_acls.h"
#include "protocol/messages/describe_log_dirs.h"
#include "tests/broker/support/node_test.h"

namespace drave {
namespace {

using protocol::ErrorCode;
using test::batch_of;
using test::code;
using test::fetch_of;
using test::KafkaClient;
using test::produce_of;

io::Task<void> create(KafkaClient& client, std::string name, std::int32_t partitions) {
  EXPECT_EQ(co_await test::create_topic(client, std::move(name), partitions), 0);
}

// -1: no answer.
io::Task<std::int16_t> produce(KafkaClient& client, std::string topic, std::int32_t partition) {
  const auto batch = batch_of(1, "x");
  const auto answer =
      co_await client.call<protocol::ProduceResponse>(produce_of(topic, partition, batch), 9);
  co_return answer ? answer->message.responses.at(0).partition_responses.at(0).error_code
                   : std::int16_t{-1};
}

io::Task<std::int16_t> fetch(KafkaClient& client, std::string topic, std::int32_t partition) {
  const auto answer =
      co_await client.call<protocol::FetchResponse>(fetch_of(topic, partition, 0, 10), 12);
  co_return answer ? answer->message.responses.at(0).partitions.at(0).error_code : std::int16_t{-1};
}

struct DirectoryTold {
  std::int16_t error = 0;
  std::vector<std::int32_t> partitions;
};

io::Task<std::map<std::string, DirectoryTold>> directories(KafkaClient& client) {
  protocol::DescribeLogDirsRequest request;
  request.topics.reset();
  const auto answer = co_await client.call<protocol::DescribeLogDirsResponse>(request, 4);
  std::map<std::string, DirectoryTold> told;
  if (!answer) co_return told;
  for (const auto& result : answer->message.results) {
    DirectoryTold& one = told[std::string(result.log_dir)];
    one.error = result.error_code;
    for (const auto& topic : result.topics)
      for (const auto& partition : topic.partitions)
        one.partitions.push_back(partition.partition_index);
  }
  co_return told;
}

class DirectoryFailure : public test::NodeTest {
 protected:
  void expect_end(const std::string& path) {
    ASSERT_TRUE(world_.run_until([&] { return !server_.is_running(); }, seconds(120)));
    EXPECT_NE(node_->problem().find(path), std::string::npos) << node_->problem();
    EXPECT_NE(node_->problem().find("start the node again"), std::string::npos) << node_->problem();
  }
  io::sim::DiskOptions& disk() { return server_.disk().options(); }
};

TEST_F(DirectoryFailure, a_failed_write_of_the_only_directory_ends_the_node) {
  boot(2);
  run([this](KafkaClient& client) -> io::Task<void> {
    co_await create(client, "events", 2);
    EXPECT_EQ(co_await produce(client, "events", 0), 0);
    disk().write_error_one_in = 1;
    const std::int16_t told = co_await produce(client, "events", 0);
    EXPECT_TRUE(told == code(ErrorCode::kafka_storage_error) || told == -1) << told;
  });
  expect_end("data");
  disk().write_error_one_in = 0;
  boot(1);
  EXPECT_EQ(node_->problem(), "");
  run([](KafkaClient& client) -> io::Task<void> {
    EXPECT_EQ(co_await produce(client, "events", 0), 0);
  });
  stop();
}

TEST_F(DirectoryFailure, a_failed_flush_of_the_metadata_log_ends_the_node) {
  settings_ = {"log.dirs=data", "metadata.log.dir=meta"};
  boot(2);
  run([this](KafkaClient& client) -> io::Task<void> {
    co_await create(client, "events", 2);
    const auto before = co_await directories(client);
    EXPECT_EQ(before.size(), 1u);  // nothing but metadata is in the other
    EXPECT_EQ(before.begin()->second.partitions.size(), 2u);
    disk().write_error_one_in = 1;
    EXPECT_NE(co_await test::create_topic(client, "more"), 0);
    disk().write_error_one_in = 0;
  });
  expect_end("meta");
}

TEST_F(DirectoryFailure, the_other_directories_are_served) {
  settings_ = {"log.dirs=data,spare", "metadata.log.dir=data"};
  boot(2);
  run([this](KafkaClient& client) -> io::Task<void> {
    co_await create(client, "events", 8);
    for (std::int32_t partition = 0; partition < 8; ++partition)
      EXPECT_EQ(co_await produce(client, "events", partition), 0);
    co_await client.wait(seconds(5));  // nothing is under way any more
    auto told = co_await directories(client);
    EXPECT_EQ(told.size(), 2u);
    const std::vector<std::int32_t> lost = told["spare"].partitions;
    const std::vector<std::int32_t> kept = told["data"].partitions;
    EXPECT_EQ(lost.size() + kept.size(), 8u);
    EXPECT_FALSE(lost.empty() || kept.empty());
    if (lost.empty() || kept.empty()) co_return;
    disk().write_error_one_in = 1;
    EXPECT_EQ(co_await produce(client, "events", lost.front()),
              code(ErrorCode::kafka_storage_error));
    disk().write_error_one_in = 0;
    // What was on disk before is still read.
    for (const std::int32_t partition : lost) {
      EXPECT_EQ(co_await produce(client, "events", partition),
                code(ErrorCode::kafka_storage_error));
      EXPECT_EQ(co_await fetch(client, "events", partition), 0);
    }
    for (const std::int32_t partition : kept) {
      EXPECT_EQ(co_await produce(client, "events", partition), 0);
      EXPECT_EQ(co_await fetch(client, "events", partition), 0);
    }
    told = co_await directories(client);
    EXPECT_EQ(told["spare"].error, code(ErrorCode::kafka_storage_error));
    EXPECT_EQ(told["data"].error, 0);
    // New partitions go where they can be written.
    co_await create(client, "later", 6);
    for (std::int32_t partition = 0; partition < 6; ++partition)
      EXPECT_EQ(co_await produce(client, "later", partition), 0);
  });
  stop();
  boot(1);
  run([](KafkaClient& client) -> io::Task<void> {
    for (std::int32_t partition = 0; partition < 8; ++partition)
      EXPECT_EQ(co_await produce(client, "events", partition), 0);
  });
  stop();
}

// --- Directories that go and come back

struct ComingBack : DirectoryFailure {
  void boot_with(const std::string& log_dirs) {
    configure(log_dirs);
    boot(2);
  }
  void configure(const std::string& log_dirs) {
    node_.reset();
    settings_ = {"log.dirs=" + log_dirs, "metadata.log.dir=data"};
    node_ = std::make_unique<test::SimNode>(server_, test::config_for(server_, settings_));
  }
  // All partitions take records; those that are in `directory`.
  std::vector<std::int32_t> use_all(const std::string& directory) {
    std::vector<std::int32_t> there;
    run([&](KafkaClient& client) -> io::Task<void> {
      co_await client.wait(seconds(5));  // what is new has been told
      for (std::int32_t partition = 0; partition < 8; ++partition)
        EXPECT_EQ(co_await produce(client, "events", partition), 0) << partition;
      auto told = co_await directories(client);
      there = told[directory].partitions;
      std::size_t all = 0;
      for (const auto& [name, one] : told) all += one.partitions.size();
      EXPECT_EQ(all, 8u);
    });
    return there;
  }
  void begin(const std::string& log_dirs) {
    boot_with(log_dirs);
    run([](KafkaClient& client) { return create(client, "events", 8); });
  }
  void copy(std::int32_t partition, const std::string& from, const std::string& to) {
    const std::string folder = "/events-" + std::to_string(partition);
    for (const std::string& path : server_.disk().files_below(from + folder))
      server_.disk().put(to + folder + path.substr(path.rfind('/')), server_.disk().content(path));
  }
  std::size_t strays(const std::string& directory) {
    std::set<std::string> found;
    for (const std::string& path : server_.disk().files_below(directory))
      if (path.find("-stray/") != std::string::npos) found.insert(path.substr(0, path.rfind('/')));
    return found.size();
  }
};

TEST_F(ComingBack, what_a_directory_had_that_was_away_is_set_aside) {
  begin("data,spare");
  const std::vector<std::int32_t> away = use_all("spare");
  EXPECT_FALSE(away.empty());
  stop();
  boot_with("data");
  EXPECT_EQ(use_all("data").size(), 8u);
  stop();
  boot_with("data,spare");
  EXPECT_EQ(use_all("data").size(), 8u);
  EXPECT_EQ(strays("spare"), away.size());
  EXPECT_EQ(strays("data"), 0u);
  stop();
}

TEST_F(ComingBack, of_two_logs_the_one_that_the_metadata_names_is_served) {
  begin("data,spare");
  const std::vector<std::int32_t> here = use_all("spare");
  stop();
  copy(here.at(0), "spare", "data");
  boot_with("data,spare");
  EXPECT_EQ(use_all("spare"), here);
  EXPECT_EQ(strays("data"), 1u);
  stop();
}

TEST_F(ComingBack, where_the_metadata_names_neither_of_two_logs_somebody_has_to_choose) {
  begin("data,spare,third");
  const std::vector<std::int32_t> here = use_all("spare");
  stop();
  copy(here.at(0), "spare", "data");
  copy(here.at(0), "spare", "third");
  configure("data,third");
  node_->start(2);
  ASSERT_TRUE(world_.run_until([&] { return !node_->problem().empty(); }, seconds(60)));
  EXPECT_NE(node_->problem().find("events-" + std::to_string(here.at(0)) + " is in "),
            std::string::npos)
      << node_->problem();
}

// A directory of log.dirs that cannot be used when the node starts.
struct Missing : ComingBack {
  using Files = std::map<std::string, std::vector<std::uint8_t>>;
  Files take_away(const std::string& directory) {
    Files files;
    for (const std::string& path : server_.disk().files_below(directory))
      files[path] = server_.disk().content(path);
    server_.disk().remove(directory);
    return files;
  }
  void put_back(const std::string& directory, const Files& files) {
    if (server_.disk().exists(directory)) server_.disk().remove(directory);
    for (const auto& [path, bytes] : files) server_.disk().put(path, bytes);
  }
  bool has_log(const std::string& directory, std::int32_t partition) {
    return server_.disk().exists(directory + "/events-" + std::to_string(partition));
  }
  // The others are served; what is in "spare" is neither served nor begun anew.
  void expect_withheld(const std::vector<std::int32_t>& away) {
    run([&](KafkaClient& client) -> io::Task<void> {
      co_await client.wait(seconds(5));
      for (std::int32_t partition = 0; partition < 8; ++partition) {
        const bool is_away = std::ranges::find(away, partition) != away.end();
        EXPECT_EQ(co_await produce(client, "events", partition),
                  is_away ? code(ErrorCode::not_leader_or_follower) : 0);
        EXPECT_EQ(has_log("data", partition), !is_away);
      }
      auto told = co_await directories(client);
      EXPECT_EQ(told.at("spare").error, code(ErrorCode::kafka_storage_error));
      EXPECT_EQ(told.at("data").error, 0);
      EXPECT_EQ(told.at("data").partitions.size(), 8 - away.size());
    });
  }
};

TEST_F(Missing, directories_keep_no_node_from_starting_and_what_they_have_is_there_again) {
  begin("data,spare");
  const std::vector<std::int32_t> away = use_all("spare");
  EXPECT_FALSE(away.empty());
  stop();
  const Files files = take_away("spare");
  const std::vector<std::uint8_t> garbage(40, 'x');
  for (const Files& instead :
       {Files{}, Files{{"spare", garbage}}, Files{{"spare/meta.properties", garbage}}}) {
    put_back("spare", instead);
    boot_with("data,spare");
    expect_withheld(away);
    stop();
  }
  put_back("spare", files);
  boot_with("data,spare");
  EXPECT_EQ(use_all("spare"), away);
  EXPECT_EQ(strays("data") + strays("spare"), 0u);
  run([&](KafkaClient& client) -> io::Task<void> {
    for (const std::int32_t partition : away)
      EXPECT_EQ(co_await fetch(client, "events", partition), 0);
  });
  stop();
}

TEST_F(Missing, directories_may_have_what_another_one_has_too_and_it_is_left_alone) {
  begin("data,spare");
  const std::vector<std::int32_t> away = use_all("spare");
  stop();
  copy(away.at(0), "spare", "data");
  const Files files = take_away("spare");
  boot_with("data,spare");
  run([&](KafkaClient& client) -> io::Task<void> {
    co_await client.wait(seconds(5));
    EXPECT_EQ(co_await produce(client, "events", away.at(0)),
              code(ErrorCode::not_leader_or_follower));
  });
  EXPECT_TRUE(has_log("data", away.at(0)));
  EXPECT_EQ(strays("data"), 0u);
  stop();
  put_back("spare", files);
  boot_with("data,spare");
  EXPECT_EQ(use_all("spare"), away);
  EXPECT_EQ(strays("data"), 1u);
  stop();
}

TEST_F(Missing, directories_end_the_start_where_none_for_logs_or_not_the_metadatas_is_left) {
  begin("data,spare");
  stop();
  for (const std::string& lost : {"spare", "data"}) {
    const Files files = take_away(lost);
    node_.reset();
    settings_ = {"log.dirs=spare", "metadata.log.dir=data"};
    node_ = std::make_unique<test::SimNode>(server_, test::config_for(server_, settings_));
    node_->start(2);
    ASSERT_TRUE(world_.run_until([&] { return !server_.is_running(); }, seconds(60)));
    EXPECT_NE(node_->problem().find(lost + " has no meta.properties"), std::string::npos)
        << node_->problem();
    put_back(lost, files);
  }
}

TEST_F(DirectoryFailure, without_any_directory_for_logs_the_node_ends) {
  settings_ = {"log.dirs=data", "metadata.log.dir=meta"};
  boot(2);
  run([this](KafkaClient& client) -> io::Task<void> {
    co_await create(client, "events", 1);
    co_await client.wait(seconds(5));
    disk().write_error_one_in = 1;
    const std::int16_t told = co_await produce(client, "events", 0);
    EXPECT_TRUE(told == code(ErrorCode::kafka_storage_error) || told == -1) << told;
    disk().write_error_one_in = 0;
  });
  expect_end("data");
}

io::Task<void> allow(KafkaClient& client, int number) {
  const std::string topic = "t" + std::to_string(number);
  protocol::CreateAclsRequest request;
  auto& acl = request.creations.emplace_back();
  acl.resource_type = 2;
  acl.resource_name = topic;
  acl.resource_pattern_type = 3;
  acl.principal = "User:alice";
  acl.host = "*";
  acl.operation = 3;
  acl.permission_type = 3;
  const auto answer = co_await client.call<protocol::CreateAclsResponse>(request, 3);
  EXPECT_TRUE(answer.has_value());
  if (answer) EXPECT_EQ(answer->message.results.at(0).error_code, 0);
}

// A snapshot is due with each change. One that could not be written, since there was no room, is
// not built again with the next: a while passes first.
struct MetadataSnapshots : test::NodeTest {
  std::string newest_snapshot() {
    std::string newest;
    for (const std::string& path : server_.disk().files_below("data/__cluster_metadata-0"))
      if (path.ends_with(".checkpoint")) newest = std::max(newest, path);
    return newest;
  }
};

TEST_F(MetadataSnapshots, one_that_failed_is_tried_again_after_a_while) {
  settings_ = {"metadata.log.max.record.bytes.between.snapshots=1"};
  boot(1);
  world_.run_for(seconds(1));
  io::sim::Disk& disk = server_.disk();
  const std::int64_t available = disk.free_space().available;
  const std::string last = newest_snapshot();
  disk.options().capacity_bytes -= available;
  run([](KafkaClient& client) -> io::Task<void> { co_await allow(client, 0); });
  world_.run_for(milliseconds(100));
  disk.options().capacity_bytes += available;
  run([](KafkaClient& client) -> io::Task<void> {
    for (int i = 1; i < 20; ++i) co_await allow(client, i);
  });
  EXPECT_EQ(newest_snapshot(), last);
  EXPECT_TRUE(world_.run_until([&] { return newest_snapshot() > last; }, seconds(200)));
  stop();
}

}  // namespace
}  // namespace drave
