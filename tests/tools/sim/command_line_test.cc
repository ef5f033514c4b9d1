#include "tools/sim/command_line.h"

#include <gtest/gtest.h>

namespace drave::simulation {
namespace {

TEST(SimCommandLine, a_seed_and_a_range_of_seeds) {
  const auto one = parse_command_line({"run", "--scenario", "node", "--seed", "17"});
  ASSERT_TRUE(one.has_value());
  EXPECT_EQ(one->scenario, "node");
  EXPECT_EQ(one->first_seed, 17u);
  EXPECT_EQ(one->last_seed, 17u);
  const auto range = parse_command_line(
      {"run", "--seeds", "3..9", "--canary", "ack-before-flush", "--scenario", "node", "--quiet"});
  ASSERT_TRUE(range.has_value());
  EXPECT_EQ(range->first_seed, 3u);
  EXPECT_EQ(range->last_seed, 9u);
  EXPECT_EQ(range->canary, "ack-before-flush");
  EXPECT_TRUE(range->quiet);
  EXPECT_TRUE(parse_command_line({"list"})->is_list);
}

TEST(SimCommandLine, a_canary_alone_takes_its_own_scenario_and_seeds) {
  const auto alone = parse_command_line({"run", "--canary", "ack-before-flush"});
  ASSERT_TRUE(alone.has_value());
  EXPECT_EQ(alone->scenario, "");
  EXPECT_EQ(alone->first_seed, 1u);
  EXPECT_EQ(alone->last_seed, kCanarySeeds);
}

TEST(SimCommandLine, who_asks_for_help_gets_it) {
  EXPECT_TRUE(parse_command_line({"--help"})->is_help);
  EXPECT_TRUE(parse_command_line({"run", "--help"})->is_help);
  EXPECT_FALSE(parse_command_line({"list"})->is_help);
}

TEST(SimCommandLine, what_makes_no_sense_is_refused_with_a_sentence) {
  const std::vector<std::vector<std::string_view>> wrong = {
      {},
      {"walk"},
      {"run"},
      {"run", "--scenario", "node"},
      {"run", "--seed", "1"},
      {"run", "--scenario", "node", "--seed", "x"},
      {"run", "--scenario", "node", "--seeds", "9..3"},
      {"run", "--scenario", "node", "--seeds", "9"},
      {"run", "--scenario", "node", "--seed"},
      {"run", "--scenario", "node", "--seed", "1", "--colour", "red"},
      {"run", "--scenario", "node", "--seed", "1", "--seeds", "1..9"},
      {"run", "--scenario", "node", "--seed", "1", "--seed", "2"},
  };
  for (const auto& arguments : wrong) {
    const auto parsed = parse_command_line(arguments);
    ASSERT_FALSE(parsed.has_value());
    EXPECT_EQ(parsed.error().code, Errc::invalid);
    EXPECT_FALSE(parsed.error().context.empty());
  }
}

}  // namespace
}  // namespace drave::simulation
