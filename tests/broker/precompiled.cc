#include "tests/broker/precompiled.h"
