#pragma once
// The precompiled headers of the command line; see base/precompiled.h.

#include <nlohmann/json.hpp>

#include "protocol/precompiled.h"
#include "tools/cli/cli11.h"
#include "tools/cli/context.h"
#include "tools/cli/output.h"
#include "tools/client/client.h"
