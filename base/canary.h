#pragma once
// Canaries: deliberate bugs that prove that the simulator would notice. DRAVE_CANARY("name") stands
// where the bug would be; it is the constant false in every program but drave-sim, which is
// compiled with DRAVE_CANARIES and switches on one by name.

#include <string_view>

#ifdef DRAVE_CANARIES

namespace drave {

// The canary that is switched on in this process; empty: none. One thread sets and reads it.
inline std::string_view active_canary;

inline bool canary_enabled(std::string_view name) {
  return !active_canary.empty() && active_canary == name;
}

}  // namespace drave

#define DRAVE_CANARY(name) ::drave::canary_enabled(name)

#else

#define DRAVE_CANARY(name) false

#endif
