#pragma once
// Marks: ways through the code that only faults lead to, counted in a simulated run where they are
// taken, so that a floor notices when the faults lead there no more. DRAVE_MARK("name") is nothing
// in every program but drave-sim, which is compiled with DRAVE_CANARIES, as for base/canary.h.

#include <cstdint>
#include <map>
#include <string>

#ifdef DRAVE_CANARIES

namespace drave {

// Since whoever reads them cleared them. One thread counts and reads.
inline std::map<std::string, std::uint64_t> marks;

}  // namespace drave

#define DRAVE_MARK(name) (++::drave::marks[name])

#else

#define DRAVE_MARK(name) static_cast<void>(0)

#endif
