#pragma once
// What nearly every file of the tree includes, parsed once and for all (CMake's precompiled
// headers; CMakeLists.txt of the root tells which floor has which). Nobody includes this by hand:
// each file still names what it uses.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <expected>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "base/intrusive_list.h"
#include "base/log.h"
#include "base/result.h"
#include "base/units.h"
#include "base/uuid.h"
