// A metadata log put together from its files, as a tree.

#include "tools/dump/metadata_tree.h"

#include <gtest/gtest.h>

#include "metadata/image_records.h"
#include "protocol/batch_builder.h"
#include "raftlog/snapshot.h"
#include "segments/journal_format.h"

namespace drave::dump {
namespace {

const TopicId kOrders{5, 6};

metadata::RecordList topic_records(std::string_view name, const TopicId& id) {
  metadata::RecordList records;
  protocol::TopicRecord topic;
  topic.name = name;
  topic.topic_id = id;
  records.add(topic);
  metadata::PartitionImage partition;
  partition.replicas = partition.isr = {1};
  partition.leader = 1;
  metadata::add_partition_record(records, id, 0, partition, 30);
  return records;
}

metadata::RecordList config_records(std::string_view topic, std::string_view value) {
  metadata::RecordList records;
  protocol::ConfigRecord config;
  config.resource_type = 2;
  config.resource_name = topic;
  config.name = "retention.ms";
  config.value = value;
  records.add(config);
  return records;
}

std::vector<std::uint8_t> batch_of(const metadata::RecordList& records, Offset base) {
  protocol::BatchOptions options;
  options.base_offset = base;
  options.leader_epoch = 1;
  protocol::BatchBuilder builder(options);
  for (std::size_t index = 0; index < records.size(); ++index)
    builder.append(5, std::nullopt, records[index]);
  return std::move(builder).finish();
}

std::vector<std::uint8_t> snapshot_of(const metadata::RecordList& records) {
  raft::Voter voter;
  voter.id = 3;
  voter.directory_id = {8, 8};
  voter.endpoints.push_back({"CONTROLLER", "host", 9093});
  raft::SnapshotBuilder snapshot(1, 5, 1, {voter}, 6);
  for (std::size_t index = 0; index < records.size(); ++index) snapshot.add(records[index]);
  return std::move(snapshot).finish();
}

std::vector<std::uint8_t> joined(const std::vector<std::vector<std::uint8_t>>& parts) {
  std::vector<std::uint8_t> whole;
  for (const auto& part : parts) whole.insert(whole.end(), part.begin(), part.end());
  return whole;
}

// A journal file with one group of these entries.
std::vector<std::uint8_t> journal_of(const segments::JournalFileName& name,
                                     const std::vector<segments::JournalEntry>& entries) {
  std::vector<std::uint8_t> body;
  for (const segments::JournalEntry& entry : entries) {
    std::uint8_t header[segments::kEntryHeaderSize];
    segments::encode_entry_header(entry, header);
    body.insert(body.end(), header, header + sizeof header);
    body.insert(body.end(), entry.payload.begin(), entry.payload.end());
  }
  segments::GroupHeader group;
  group.journal_id = name.id;
  group.generation = name.generation;
  group.number = 1;
  group.first_sequence = 1;
  group.entry_count = static_cast<std::uint32_t>(entries.size());
  group.body_length = static_cast<std::uint32_t>(body.size());
  std::vector<std::uint8_t> file(group.length());
  segments::encode_group_header(group, file.data());
  std::copy(body.begin(), body.end(), file.begin() + segments::kGroupHeaderSize);
  return file;
}

segments::JournalEntry entry(segments::JournalEntryType type, Offset first, Offset end,
                             ByteView payload = {}) {
  segments::JournalEntry made;
  made.type = type;
  made.partition = {kMetadataTopicId, 0};
  made.first_offset = first;
  made.end_offset = end;
  made.payload = payload;
  return made;
}

TEST(MetadataTree, is_what_snapshot_and_log_amount_to) {
  MetadataFiles files;
  files.add_snapshot({2, 1}, snapshot_of(topic_records("orders", kOrders)));
  files.add_segment(joined({batch_of(config_records("orders", "1"), 1),
                            batch_of(config_records("orders", "7"), 2),
                            batch_of(topic_records("a/b", {5, 7}), 3)}));
  const auto image = files.load();
  ASSERT_TRUE(image.has_value()) << image.error().message();
  const Item tree = metadata_tree(**image);
  EXPECT_EQ(tree["topics"]["byName"]["orders"]["0"]["leader"], 1);
  EXPECT_EQ(tree["topics"]["byId"][kOrders.to_string()]["name"], "orders");
  EXPECT_EQ(tree["configs"]["TOPIC:orders"]["retention.ms"], "7");
  EXPECT_EQ(tree["log"]["endOffset"], 5);
  EXPECT_EQ(tree["features"]["kraft.version"], 1);
  EXPECT_EQ(tree["voters"]["3"]["endpoints"][0], "CONTROLLER://host:9093");
  EXPECT_EQ(*find_node(tree, "/topics/byName/orders/0/leader"), 1);
  EXPECT_EQ(*find_node(tree, "topics//byName/a%2Fb/name/"), "a/b");
  EXPECT_EQ(find_node(tree, "/"), &tree);
  EXPECT_EQ(find_node(tree, "/topics/byName/none"), nullptr);
  EXPECT_EQ(find_node(tree, "/topics/byName/orders/0/leader/deeper"), nullptr);
}

TEST(MetadataTree, has_what_only_the_journal_has) {
  using enum segments::JournalEntryType;
  const segments::JournalFileName name{"metadata", 77, 3};
  const auto first = batch_of(config_records("t", "1"), 2);
  const auto lost = batch_of(config_records("t", "2"), 3);
  const auto instead = batch_of(config_records("t", "3"), 3);
  segments::JournalEntry other = entry(append, 4, 5, lost);
  other.partition = {kOrders, 0};
  MetadataFiles files;
  files.add_segment(
      joined({batch_of(topic_records("t", kOrders), 0), batch_of(config_records("t", "0"), 2)}));
  files.add_journal(segments::journal_file_name(name),
                    journal_of(name, {entry(append, 2, 3, first), entry(append, 3, 4, lost),
                                      entry(truncate, 0, 3), other, entry(append, 3, 4, instead)}));
  const auto image = files.load();
  ASSERT_TRUE(image.has_value()) << image.error().message();
  const Item tree = metadata_tree(**image);
  EXPECT_EQ(tree["configs"]["TOPIC:t"]["retention.ms"], "3");
  EXPECT_EQ(tree["log"]["endOffset"], 4);
}

TEST(MetadataTree, nothing_and_holes_are_told) {
  EXPECT_EQ(MetadataFiles().load().error().code, Errc::not_found);
  MetadataFiles files;
  files.add_segment(batch_of(topic_records("t", kOrders), 0));
  files.add_segment(batch_of(config_records("t", "0"), 3));
  EXPECT_EQ(files.load().error().code, Errc::corrupt);
}

TEST(MetadataTree, secrets_are_not_shown) {
  const std::vector<std::uint8_t> secret{'s', 'e', 'c', 'r', 'e', 't'};
  protocol::UserScramCredentialRecord user;
  user.name = "alice";
  user.mechanism = 1;
  user.salt = user.stored_key = user.server_key = secret;
  user.iterations = 4096;
  metadata::RecordList records;
  records.add(user);
  MetadataFiles files;
  files.add_segment(batch_of(records, 0));
  const Item tree = metadata_tree(**files.load());
  EXPECT_EQ(tree["scram"]["SCRAM-SHA-256"]["alice"]["storedKey"], "(hidden)");
  EXPECT_EQ(tree["scram"]["SCRAM-SHA-256"]["alice"]["iterations"], 4096);
}

}  // namespace
}  // namespace drave::dump
