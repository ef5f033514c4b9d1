#pragma once
// What a process says when it ends in the midst of a seed: a failed assertion, a signal, a report
// of a sanitizer, a seed that does not end. One line of the same form as a violated invariant, and
// the command that shows it again.

#include <cstdint>
#include <string>

#include "base/units.h"

namespace drave::simulation {

// From now on. Where a sanitizer is linked in, its own reports come first.
void install_last_words();

// Of the seed that begins: `replay` is the command that runs it alone. It may take `processor_time`
// (0: as long as it likes); waiting and being stopped count for nothing.
void begin_seed(std::uint64_t seed, const std::string& replay, Duration processor_time);

}  // namespace drave::simulation
