#pragma once
// What handlers that ask single partitions have in common.

#include <string_view>
#include <type_traits>

#include "broker/node.h"
#include "broker/shard.h"
#include "io/mailbox.h"
#include "protocol/error_code.h"

namespace drave::broker {

inline std::int16_t code_of(protocol::ErrorCode error) {
  return static_cast<std::int16_t>(error);
}

// Finds the partition in the image of `shard`. Errors: unknown_topic_or_partition,
// not_leader_or_follower, fenced_leader_epoch, unknown_leader_epoch (`expected_epoch` -1: any).
struct PartitionPlace {
  protocol::ErrorCode error = protocol::ErrorCode::none;
  const ServedTopic* topic = nullptr;  // of the shard's present image
  TopicIdPartition id;
};
PartitionPlace find_partition(Shard& shard, std::string_view topic, PartitionIndex partition,
                              LeaderEpoch expected_epoch = -1);

// Why node `self` does not take what is produced to the partition with these `acks` (0, 1, -1), if
// so. What other replicas are to have as well (-1) is refused: they are not waited for.
protocol::ErrorCode produce_refusal(const metadata::PartitionImage& partition,
                                    const metadata::TopicConfig& config, NodeId self,
                                    std::int16_t acks);

// Runs `function(Replica&)`, which returns T or Task<T>, on the shard that owns `id`; a T made by
// default with its `error` set to not_leader_or_follower if the replica is not there (any more).
template <class F>
auto on_replica(Shard& here, TopicIdPartition id, F function) {
  using Returned = std::invoke_result_t<F&, Replica&>;
  using T = typename io::detail::UnwrapTask<Returned>::type;
  Node* node = &here.node();
  const std::uint32_t owner = shard_of(id, here.count());
  auto there = [node, owner, id, function = std::move(function)]() mutable -> io::Task<T> {
    return [](Shard& shard, TopicIdPartition wanted, F run) -> io::Task<T> {
      Replica* replica = shard.replica(wanted);
      if (replica == nullptr) {
        T nothing{};
        nothing.error = protocol::ErrorCode::not_leader_or_follower;
        co_return nothing;
      }
      if constexpr (io::detail::UnwrapTask<Returned>::is_task)
        co_return co_await run(*replica);
      else
        co_return run(*replica);
    }(node->shard(owner), id, std::move(function));
  };
  return io::call_on(here.loop(), owner, std::move(there));
}

}  // namespace drave::broker
