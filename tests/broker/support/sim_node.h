#pragma once
// A broker::Node on a simulated machine (tools/sim/sim_node.h), and clients on another.

#include <gtest/gtest.h>

#include "tests/broker/support/kafka_client.h"
#include "tools/sim/sim_node.h"

namespace drave::test {

using simulation::config_for;
using simulation::SimNode;

}  // namespace drave::test
