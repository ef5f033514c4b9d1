#pragma once
// The precompiled headers of the tests of the node; see base/precompiled.h.

#include "broker/precompiled.h"
#include "tests/broker/support/sim_node.h"
#include "tests/precompiled.h"
