#pragma once
// CLI11, the only way to it. Its functions are inline and would be optimized again in each file
// that declares a verb, half of what such a file takes to compile; a command line is parsed once.

#pragma clang optimize off
#include <CLI/CLI.hpp>
#pragma clang optimize on
