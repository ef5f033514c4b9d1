#pragma once
// The contract of io::Backend and of what stands on it, for every backend. A program that has a
// World instantiates it:
//
//   INSTANTIATE_TEST_SUITE_P(Uring, Contract,
//                            testing::Values(NamedWorld{"uring", make_uring_world}), world_name);
//
// The tests themselves are in contract_test.cc, which is linked into each such program.

#include <gtest/gtest.h>

#include "tests/io/world.h"

namespace drave::io::test {

class Contract : public testing::TestWithParam<NamedWorld> {
 protected:
  World& make_world(std::uint32_t loop_count = 1) {
    world_ = GetParam().make(loop_count);
    return *world_;
  }
  std::unique_ptr<World> world_;
};

inline std::string world_name(const testing::TestParamInfo<NamedWorld>& info) {
  return info.param.name;
}

}  // namespace drave::io::test
