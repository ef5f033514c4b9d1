#pragma once
// What the controller's decisions look at besides the request. Decisions are pure: they add records
// to a list and say what to answer; whoever asked appends the records, or drops them if the request
// only wanted validation.

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/random.h"
#include "metadata/config/topic_config.h"
#include "metadata/image.h"

namespace drave::metadata {

struct ControllerContext {
  const Image& image;      // with everything decided before
  const ConfigMap& fixed;  // what the node's file gives (BrokerConfig::given)
  NodeId node_id = -1;
  std::int32_t default_partitions = 1;
  std::int32_t default_replication_factor = 1;
  bool delete_topic_enable = true;
  Random& random;  // ids and placement
  std::string_view cluster_id = {};
  std::int32_t replication_factor_max = 1;  // partitions are not replicated
  // A broker whose partitions are being taken from it: like one in controlled shutdown it gets
  // nothing new.
  std::optional<NodeId> leaving = {};

  // The layers of a topic with these configs.
  ConfigLayers layers(const ConfigMap& topic) const {
    return {topic, image.configs({ConfigResourceType::broker, std::to_string(node_id)}),
            image.configs({ConfigResourceType::broker, ""}), fixed};
  }
};

// A topic or incarnation id that was never drawn before, as Kafka draws them.
inline Uuid draw_id(Random& random) {
  while (true) {
    const Uuid id = Uuid::from_random(random.next(), random.next());
    if (!id.is_reserved() && id.to_string().front() != '-') return id;
  }
}

}  // namespace drave::metadata
