#pragma once
// drave topic describe.

#include <string>
#include <vector>

#include "tools/cli/context.h"

namespace drave::cli {

struct DescribeOptions {
  std::vector<std::string> topics;
};

Outcome<> run_describe(Context& context, const DescribeOptions& options);

}  // namespace drave::cli
