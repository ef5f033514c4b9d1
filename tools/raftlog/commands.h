#pragma once
// How a program steers a node: a line of JSON on standard input for each command, a line on
// standard output for each answer.
//
//   {"do":"status"}    what each group is: leader, epoch, high watermark, delivered records
//   {"do":"load","size":16,"in_flight":256,"count":N}   proposers begin, spread over the groups;
//                      without count until the next "idle"
//   {"do":"measure"}   counting begins anew
//   {"do":"report"}    counting ends: commits, errors, latencies, seconds, CPU time
//   {"do":"idle"}      proposers end; answered when nothing is under way
//   {"do":"probe"}     answered when this node has committed a proposal of its own, with the
//                      moment (CLOCK_MONOTONIC): who does not lead waits until it does
//   {"do":"cancel"}    no probe is answered any more
//   {"do":"stop"}      the node stops cleanly, and the program ends
//
// The first line of output says that the node is up.

#include <string>

#include "io/scope.h"
#include "tools/raftlog/node.h"

namespace drave::raft {

class Commands {
 public:
  Commands(io::Loop& loop, Node& node) : loop_(loop), node_(node), scope_(loop) {}

  void say_ready();
  // False: the node is to stop.
  bool run(const std::string& line);
  // Ends what waits.
  io::Task<void> close();

 private:
  void say_status();
  void say_report();
  io::Task<void> wait_until_idle();
  io::Task<void> probe(std::uint64_t number);

  io::Loop& loop_;
  Node& node_;
  io::Scope scope_;
  std::uint64_t probe_number_ = 0;  // of the last one; older ones are canceled
};

}  // namespace drave::raft
