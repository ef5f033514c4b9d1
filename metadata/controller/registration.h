#pragma once
// Records that make a node known: as a controller, as a broker, and as one that may lead.

#include <optional>
#include <string>
#include <vector>

#include "metadata/controller/context.h"
#include "metadata/record_list.h"

namespace drave::metadata {

struct NodeDescription {
  NodeId id = -1;
  Uuid incarnation_id;  // new at each start
  std::vector<BrokerEndpoint> listeners;
  std::vector<BrokerEndpoint> controller_listeners;
  std::optional<std::string> rack;
  std::vector<Uuid> directories;
};

// Nothing is added below the metadata.version that knows such records.
void register_controller(const Image& image, const NodeDescription& node, RecordList& records);

// The broker begins fenced; its epoch is the offset that the record will have, `offset`.
void register_broker(const Image& image, const NodeDescription& node, Offset offset,
                     RecordList& records);

// Takes a registered broker into service: the record that says so, and a leader for each partition
// that has none and whose data this broker surely has (it is in the ISR, or may lead by ELR rules).
void unfence_broker(const Image& image, NodeId broker, RecordList& records);

// A block of producer ids for the broker: the record that takes them; returns the first of `count`.
std::int64_t take_producer_ids(const Image& image, NodeId broker, std::int64_t broker_epoch,
                               std::int32_t count, RecordList& records);

}  // namespace drave::metadata
