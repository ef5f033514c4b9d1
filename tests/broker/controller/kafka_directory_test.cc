// Directories that genuine Kafka 4.3.1 formatted or left after a clean stop.

#include "io/file.h"
#include "metadata/features.h"
#include "metadata/image_records.h"
#include "metadata/loader.h"
#include "raftlog/snapshot.h"
#include "tests/broker/controller/controller_run.h"
#include "tests/vectors/vectors.h"

namespace drave::broker::testing {
namespace {

void put_directory(io::sim::Node& node, std::string_view folder) {
  for (const std::string& path : vectors::list(folder)) {
    const std::string below = path.substr(folder.size());
    node.disk().put(std::string(kDataDirectory) + below, as_bytes(vectors::read(path)));
  }
}

TEST(KafkaDirectoryVector, a_directory_that_kafka_left_opens_and_goes_on) {
  ControllerRun run;
  put_directory(run.node(), "disk/run");
  run.live([](Life life) -> io::Task<void> {
    const metadata::Image& image = *life.controller.image();
    EXPECT_EQ(image.topics().by_name().size(), 16u);
    EXPECT_EQ(life.controller.raft().epoch(), 2);
    const metadata::TopicImage* plain = image.topics().find(std::string_view("plain"));
    if (plain == nullptr) {
      ADD_FAILURE() << "plain is gone";
      co_return;
    }
    EXPECT_EQ(plain->partitions.size(), 4u);
    // Kafka's controlled shutdown left it without a leader.
    EXPECT_EQ(plain->partitions.at(0).leader, 1);
    EXPECT_EQ(plain->partitions.at(0).leader_epoch, 2);
    EXPECT_EQ(plain->partitions.at(0).isr, std::vector<NodeId>{1});
    EXPECT_TRUE(plain->partitions.at(0).eligible_leader_replicas.empty());
    EXPECT_FALSE(image.broker(1)->fenced);
    EXPECT_EQ(image.next_producer_id(), 1000);
    EXPECT_EQ(image.kept().size(), 6u);  // 3 quotas, 3 SCRAM credentials
    EXPECT_EQ(image.acls()->size(), 4u);
    EXPECT_EQ(image.configs({metadata::ConfigResourceType::broker, "1"}).at("num.io.threads"), "9");
    const protocol::AllocateProducerIdsRequest request{1, life.broker_epoch};
    const auto block = co_await life.controller.allocate_producer_ids(request, 0);
    EXPECT_EQ(block.message.producer_id_start, 1000);
  });
  run.live([](Life life) -> io::Task<void> {
    EXPECT_EQ(life.controller.image()->topics().by_name().size(), 16u);
    EXPECT_EQ(life.controller.image()->next_producer_id(), 2000);
    EXPECT_EQ(life.controller.image()->acls()->size(), 4u);
    co_return;
  });
}

class FormattedVector : public ::testing::TestWithParam<const char*> {};

TEST_P(FormattedVector, a_directory_that_kafka_formatted_starts) {
  ControllerRun run;
  const std::string variant = GetParam();
  put_directory(run.node(), "disk/formatted/" + variant);
  if (variant.starts_with("static")) run.config.quorum_voters = {{1, "localhost", 19193}};
  run.live([variant](Life life) -> io::Task<void> {
    const metadata::Image& image = *life.controller.image();
    const std::int16_t expected = variant == "standalone-3.9"      ? 21
                                  : variant == "static-voters-3.3" ? 7
                                                                   : 30;
    EXPECT_EQ(image.feature("metadata.version"), expected);
    EXPECT_EQ(image.feature("kraft.version"), variant.starts_with("static") ? 0 : 1);
    EXPECT_FALSE(image.broker(1)->fenced);
    co_return;
  });
  run.live([](Life life) -> io::Task<void> {
    EXPECT_EQ(life.controller.raft().epoch(), 2);
    co_return;
  });
}

INSTANTIATE_TEST_SUITE_P(Vector, FormattedVector,
                         ::testing::Values("standalone", "standalone-3.9", "static-voters",
                                           "static-voters-3.3"));

// Everything of two snapshots but ids and times.
io::Task<void> format_only(io::sim::Process& process, raft::FormatOptions options,
                           std::string* said) {
  const auto formatted = co_await raft::format(process.loop(), options);
  *said = formatted ? "" : formatted.error().message();
}

metadata::ImagePtr image_of(std::string_view bytes) {
  metadata::Loader loader;
  EXPECT_TRUE(raft::check_snapshot(as_bytes(bytes)).has_value());
  EXPECT_TRUE(loader.load_snapshot(as_bytes(bytes), {0, 0}).has_value());
  return loader.image();
}

struct FormatCase {
  const char* variant;
  raft::FormatMode mode;
  const char* release;
};

class FormatVector : public ::testing::TestWithParam<FormatCase> {};

io::Task<void> read_into(io::sim::Process& process, std::string path, std::string* content) {
  const auto bytes = co_await io::read_file(process.loop(), path);
  *content = bytes ? std::string(as_text(*bytes)) : "";
}

TEST_P(FormatVector, formatting_writes_what_kafka_writes) {
  ControllerRun run;
  raft::FormatOptions options = run.format_options();
  options.mode = GetParam().mode;
  if (GetParam().release != nullptr) options.release_version = GetParam().release;
  std::string said = "never ran";
  auto settle = [&run] {
    run.world().run_until([&run] { return !run.node().is_running(); }, seconds(60));
  };
  run.node().start([&](io::sim::Process& process) { return format_only(process, options, &said); },
                   1);
  settle();
  ASSERT_EQ(said, "");
  auto read = [&](const std::string& path) {
    std::string content;
    run.node().start([&](io::sim::Process& process) { return read_into(process, path, &content); },
                     1);
    settle();
    return content;
  };
  const std::string theirs = "disk/formatted/" + std::string(GetParam().variant);
  const std::string bootstrap = read("/data/bootstrap.checkpoint");
  EXPECT_EQ(bootstrap.size(), vectors::read(theirs + "/bootstrap.checkpoint").size());
  EXPECT_EQ(image_of(bootstrap)->features(),
            image_of(vectors::read(theirs + "/bootstrap.checkpoint"))->features());
  const std::string name = "/__cluster_metadata-0/00000000000000000000-0000000000.checkpoint";
  const std::string voters = read("/data" + name);
  if (GetParam().mode == raft::FormatMode::standalone) {
    const std::string_view kafka = vectors::read(theirs + name);
    EXPECT_EQ(voters.size(), kafka.size());
    EXPECT_EQ(image_of(voters)->feature("kraft.version"), 1);
    EXPECT_EQ(image_of(voters)->voters().at(0).endpoints,
              image_of(kafka)->voters().at(0).endpoints);
  } else {
    EXPECT_EQ(voters, "");
  }
}

INSTANTIATE_TEST_SUITE_P(
    Vector, FormatVector,
    ::testing::Values(FormatCase{"standalone", raft::FormatMode::standalone, nullptr},
                      FormatCase{"standalone-3.9", raft::FormatMode::standalone, "3.9"},
                      FormatCase{"no-initial-controllers", raft::FormatMode::no_initial_controllers,
                                 nullptr},
                      FormatCase{"static-voters", raft::FormatMode::static_voters, nullptr},
                      FormatCase{"static-voters-3.3", raft::FormatMode::static_voters, "3.3"}),
    [](const auto& info) {
      std::string name = info.param.variant;
      for (char& c : name)
        if (c == '-' || c == '.') c = '_';
      return name;
    });

// All of the quorum is in each node's snapshot, and the node's own directory has the id that it is
// given there.
TEST(FormatThreeVector, the_quorum_is_the_one_that_kafka_writes) {
  const std::string theirs = "disk/formatted/three-controllers";
  const std::string name = "/__cluster_metadata-0/00000000000000000000-0000000000.checkpoint";
  const metadata::ImagePtr kafka = image_of(vectors::read(theirs + name));
  ASSERT_EQ(kafka->voters().size(), 3u);
  ControllerRun run;
  raft::FormatOptions options = run.format_options();
  options.mode = raft::FormatMode::initial_controllers;
  for (const metadata::VoterImage& voter : kafka->voters()) {
    const auto& endpoint = voter.endpoints.at(0);
    options.initial_controllers.push_back(
        {voter.id, endpoint.host, endpoint.port, voter.directory_id});
  }
  std::string said = "never ran";
  const auto settle = [&run] {
    run.world().run_until([&run] { return !run.node().is_running(); }, seconds(60));
  };
  const auto read = [&](const std::string& path) {
    std::string content;
    run.node().start([&](io::sim::Process& process) { return read_into(process, path, &content); },
                     1);
    settle();
    return content;
  };
  for (const NodeId id : {1, 2, 3}) {
    const std::string directory = "/node" + std::to_string(id);
    options.node_id = id;
    options.directories = {directory};
    options.metadata_directory = directory;
    run.node().start(
        [&](io::sim::Process& process) { return format_only(process, options, &said); }, 1);
    settle();
    ASSERT_EQ(said, "");
    const std::string snapshot = read(directory + name);
    EXPECT_EQ(snapshot.size(), vectors::read(theirs + name).size());
    const metadata::ImagePtr ours = image_of(snapshot);
    EXPECT_EQ(ours->voters(), kafka->voters());
    EXPECT_EQ(ours->feature("kraft.version"), 1);
    EXPECT_EQ(image_of(read(directory + "/bootstrap.checkpoint"))->features(),
              image_of(vectors::read(theirs + "/bootstrap.checkpoint"))->features());
    const std::string own =
        options.initial_controllers.at(static_cast<std::size_t>(id - 1)).directory_id.to_string();
    EXPECT_NE(read(directory + "/meta.properties").find("directory.id=" + own), std::string::npos);
  }
  // Somebody who is not of the quorum cannot be formatted as if.
  options.node_id = 4;
  options.directories = {"/node4"};
  options.metadata_directory = "/node4";
  run.node().start([&](io::sim::Process& process) { return format_only(process, options, &said); },
                   1);
  settle();
  EXPECT_NE(said.find("do not name node 4"), std::string::npos) << said;
  EXPECT_FALSE(run.node().disk().exists("/node4"));
}

}  // namespace
}  // namespace drave::broker::testing
