#pragma once
// Runs the transcripts of tests/raftlog/transcripts (README.md there has the commands): text that
// drives a quorum message by message, with what came of it.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tools/sim/quorum/checker.h"
#include "tools/sim/quorum/replica.h"

namespace drave::raft::testing {

class Transcript {
 public:
  Transcript() : checker_(tally_) {}

  // Runs all commands of a transcript; returns it with the outcomes that they have now.
  std::string run(std::string_view text);
  // What the invariants of the simulator say; empty: they hold.
  std::string violation() const;

 private:
  using Replica = simulation::quorum::Replica;
  using Message = simulation::quorum::Message;
  using Words = std::vector<std::string>;

  std::string execute(const Words& words);
  void make(const Words& words);
  void boot(NodeId id);
  void give_log(const Words& words);
  std::string show(const Words& words);
  std::string settle(bool print);
  std::string deliver(const Words& words);
  void wait(const Words& words);
  bool change(const std::string& verb, const Words& words);
  bool run_disks();
  std::string pass(const Message& message);
  void collect();
  ChangeVoterRequest upgrade_of(const Replica& leader) const;
  Replica& at(const std::string& word);
  static std::string text_of(const Message& message);

  simulation::Tally tally_;
  simulation::quorum::Checker checker_;
  VoterSet voters_;  // the first ones
  bool is_static_ = false;
  std::map<NodeId, std::unique_ptr<Replica>> nodes_;
  std::deque<Message> wire_;
  std::set<std::pair<NodeId, NodeId>> cut_;
  std::set<NodeId> frozen_;  // disks that finish nothing
  Instant now_{1'000'000'000};
  std::uint64_t next_value_ = 1;
  std::string notes_;  // outcomes of the present command
};

}  // namespace drave::raft::testing
