#pragma once
// The precompiled headers of the tests; see base/precompiled.h.

#include <gtest/gtest.h>

#include "base/random.h"
#include "segments/precompiled.h"
