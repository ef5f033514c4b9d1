#pragma once
// The precompiled headers of what knows messages but no I/O; see base/precompiled.h.

#include "base/precompiled.h"
#include "protocol/error_code.h"
#include "protocol/limits.h"
#include "protocol/message.h"
#include "protocol/varint.h"
#include "protocol/wire.h"
