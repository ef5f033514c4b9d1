#include "gtest/gtest.h"
#include "protocol/record_batch.h"
#include "raftlog/quorum_state.h"
#include "raftlog/snapshot.h"
#include "tests/vectors/vectors.h"

namespace drave::raft {
namespace {

TEST(QuorumState, is_read_as_it_was_written) {
  const ElectionState state{7, -1, ReplicaKey{3, {1, 2}}};
  const auto read = parse_quorum_state(print_quorum_state(state, 1, {}));
  ASSERT_TRUE(read.has_value()) << read.error().message();
  EXPECT_EQ(*read, state);
  const ElectionState leading{8, 2, std::nullopt};
  EXPECT_EQ(*parse_quorum_state(print_quorum_state(leading, 0, {{1, {}}, {2, {}}})), leading);
}

TEST(QuorumState, nonsense_is_refused) {
  for (const char* text :
       {"", "{}", "[]", "{\"leaderId\":1,\"leaderEpoch\":1,\"votedId\":-1,\"data_version\":2}",
        "{\"leaderId\":1,\"leaderEpoch\":-1,\"votedId\":-1,\"data_version\":0}",
        "{\"leaderId\":x,\"leaderEpoch\":1,\"votedId\":-1,\"data_version\":0}",
        "{\"leaderId\":1,\"leaderEpoch\":1,\"votedId\":1,\"data_version\":1}", "{\"leaderId\":"})
    EXPECT_FALSE(parse_quorum_state(text).has_value()) << text;
}

TEST(QuorumStateVector, kafkas_file_is_read_and_written_alike) {
  const std::string_view text = vectors::read("disk/run/__cluster_metadata-0/quorum-state");
  const auto state = parse_quorum_state(text);
  ASSERT_TRUE(state.has_value());
  EXPECT_EQ(*state, (ElectionState{1, 1, std::nullopt}));
  EXPECT_EQ(print_quorum_state(*state, 1, {}), text);
}

TEST(Snapshot, names_are_kafkas) {
  EXPECT_EQ(snapshot_name({110, 1}), "00000000000000000110-0000000001.checkpoint");
  EXPECT_EQ(parse_snapshot_name("00000000000000000110-0000000001.checkpoint"),
            (OffsetAndEpoch{110, 1}));
  EXPECT_FALSE(parse_snapshot_name("00000000000000000110-0000000001.checkpoint.part").has_value());
  EXPECT_FALSE(parse_snapshot_name("0000000000000000011x-0000000001.checkpoint").has_value());
  EXPECT_FALSE(parse_snapshot_name("bootstrap.checkpoint").has_value());
}

std::vector<std::uint8_t> some_snapshot() {
  Voter voter;
  voter.id = 1;
  voter.directory_id = {1, 2};
  voter.endpoints.push_back({"CONTROLLER", "localhost", 9093});
  SnapshotBuilder builder(3, 99, 1, {voter}, 100);
  for (const std::string text : {"one", "two", "three"}) builder.add(as_bytes(text));
  return std::move(builder).finish();
}

TEST(Snapshot, a_whole_one_passes_and_every_damage_is_found) {
  const std::vector<std::uint8_t> whole = some_snapshot();
  EXPECT_TRUE(check_snapshot(whole).has_value());
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(check_snapshot(ByteView(whole).first(size)).has_value()) << size;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::vector<std::uint8_t> bad = whole;
    bad[at] ^= 0x10;
    // The leader epoch of a batch is outside of its CRC; nothing reads it here.
    const bool in_epoch = [&] {
      std::size_t begin = 0;
      protocol::BatchIterator batches{ByteView(whole)};
      while (const auto batch = batches.next()) {
        if (at >= begin + 12 && at < begin + 16) return true;
        begin = batches.position();
      }
      return false;
    }();
    if (!in_epoch) EXPECT_FALSE(check_snapshot(bad).has_value()) << at;
  }
}

TEST(SnapshotVector, kafkas_checkpoints_are_whole) {
  int count = 0;
  for (const std::string_view folder : {"disk/run", "disk/formatted"}) {
    for (const std::string& path : vectors::list(folder)) {
      if (!path.ends_with(".checkpoint")) continue;
      ++count;
      EXPECT_TRUE(check_snapshot(as_bytes(vectors::read(path))).has_value()) << path;
    }
  }
  EXPECT_GE(count, 13);
}

}  // namespace
}  // namespace drave::raft
