#pragma once
// The precompiled headers of what does I/O and keeps logs; see base/precompiled.h.

#include "io/file.h"
#include "io/loop.h"
#include "io/scope.h"
#include "io/sync.h"
#include "io/task.h"
#include "protocol/precompiled.h"
#include "protocol/record_batch.h"
#include "segments/journal.h"
#include "segments/log_config.h"
#include "segments/partition_log.h"
#include "segments/producer_state.h"
