#include "tests/io/contract_suite.h"
#include "tests/io/uring_world.h"

namespace drave::io::test {

INSTANTIATE_TEST_SUITE_P(Uring, Contract, testing::Values(NamedWorld{"uring", make_uring_world}),
                         world_name);

}  // namespace drave::io::test
