#include "raftlog/voter_history.h"

#include "gtest/gtest.h"

namespace drave::raft {
namespace {

std::vector<Voter> set_of(std::vector<NodeId> ids) {
  std::vector<Voter> voters;
  for (const NodeId id : ids) voters.emplace_back().id = id;
  return voters;
}

TEST(VoterHistory, goes_back_with_a_truncation) {
  VoterHistory history;
  history.reset(set_of({1}), 0);
  history.add_version(5, 1);
  history.add_voters(5, set_of({1, 2}));
  history.add_voters(9, set_of({1, 2, 3}));
  EXPECT_EQ(history.voters().size(), 3u);
  EXPECT_EQ(history.kraft_version(), 1);
  history.truncate(9);
  EXPECT_EQ(history.voters().size(), 2u);
  EXPECT_EQ(history.voters_offset(), 5);
  history.truncate(5);
  EXPECT_EQ(history.voters().size(), 1u);
  EXPECT_EQ(history.kraft_version(), 0);
  EXPECT_EQ(history.voters_offset(), -1);
}

TEST(VoterHistory, tells_what_counted_at_an_offset) {
  VoterHistory history;
  history.reset(set_of({1}), 1);
  history.add_voters(5, set_of({1, 2}));
  history.add_voters(9, set_of({1, 2, 3}));
  EXPECT_EQ(history.voters_at(5).size(), 1u);
  EXPECT_EQ(history.voters_at(6).size(), 2u);
  EXPECT_EQ(history.voters_at(9).size(), 2u);
  EXPECT_EQ(history.voters_at(100).size(), 3u);
  history.forget_before(6);  // the set of 5 still counts there
  EXPECT_EQ(history.voters_at(6).size(), 2u);
  history.forget_before(10);
  EXPECT_EQ(history.voters_at(10).size(), 3u);
  EXPECT_EQ(history.sets().size(), 1u);
}

TEST(VoterHistory, what_is_written_again_counts_once) {
  VoterHistory history;
  history.reset(set_of({1}), 1);
  history.add_voters(5, set_of({1, 2}));
  history.add_voters(5, set_of({1, 3}));
  EXPECT_EQ(history.voters().back().id, 3);
  EXPECT_EQ(history.sets().size(), 2u);
}

}  // namespace
}  // namespace drave::raft
