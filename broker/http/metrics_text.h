#pragma once
// The node's counters as Prometheus reads them. Names and meanings: README.md of broker/.

#include <string>

namespace drave::broker {

class Node;

// From any thread: reads atomics only.
std::string metrics_text(Node& node);

}  // namespace drave::broker
