// SharedMap beside std::map, and copies that do not notice each other.

#include "metadata/shared_map.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/random.h"

namespace drave::metadata {
namespace {

using Map = SharedMap<std::string, int>;
using Model = std::map<std::string, int, std::less<>>;

void expect_same(const Map& map, const Model& model) {
  ASSERT_EQ(map.size(), model.size());
  auto at = map.begin();
  for (const auto& [key, value] : model) {
    ASSERT_NE(at, map.end());
    EXPECT_EQ(at->first, key);
    EXPECT_EQ(at->second, value);
    ++at;
  }
  EXPECT_EQ(at, map.end());
}

std::string key_of(std::uint64_t number) {
  return "key-" + std::to_string(number);
}

TEST(SharedMap, does_what_a_map_does_and_copies_stay_as_they_were) {
  Random random{5};
  Map map;
  Model model;
  std::vector<std::pair<Map, Model>> copies;
  for (int step = 0; step < 20'000; ++step) {
    const std::string key = key_of(random.below(1500));
    if (random.one_in(3)) {
      EXPECT_EQ(map.erase(key), model.erase(key));
    } else {
      map[key] = step;
      model[key] = step;
    }
    const std::string other = key_of(random.below(1500));
    const auto found = map.find(std::string_view(other));
    const auto expected = model.find(other);
    ASSERT_EQ(found == map.end(), expected == model.end());
    if (found != map.end()) EXPECT_EQ(found->second, expected->second);
    const auto bound = map.lower_bound(other);
    const auto expected_bound = model.lower_bound(other);
    ASSERT_EQ(bound == map.end(), expected_bound == model.end());
    if (bound != map.end()) EXPECT_EQ(bound->first, expected_bound->first);
    if (random.one_in(400)) copies.emplace_back(map, model);
  }
  expect_same(map, model);
  EXPECT_GT(copies.size(), 20u);
  for (const auto& [copy, copied] : copies) expect_same(copy, copied);
  EXPECT_TRUE(map == Map(map));
  EXPECT_FALSE(map == copies.front().first);
}

TEST(SharedMap, fills_in_any_order) {
  for (const int direction : {1, -1}) {
    SharedMap<int, int> map;
    for (int number = 0; number < 1000; ++number) map[direction * number] = number;
    EXPECT_EQ(map.size(), 1000u);
    int before = -10'000;
    for (const auto& [key, value] : map) {
      EXPECT_LT(before, key);
      EXPECT_EQ(value, direction * key);
      before = key;
    }
    for (int number = 0; number < 1000; ++number) EXPECT_EQ(map.erase(direction * number), 1u);
    EXPECT_TRUE(map.empty());
    EXPECT_EQ(map.begin(), map.end());
  }
}

TEST(SharedMap, a_copy_shares_what_does_not_change) {
  Map map;
  for (std::uint64_t number = 0; number < 1000; ++number) map[key_of(number)] = 1;
  Map copy = map;
  copy[key_of(500)] = 2;
  std::size_t moved = 0;
  for (auto a = map.begin(), b = copy.begin(); a != map.end(); ++a, ++b)
    if (&a->second != &b->second) ++moved;
  EXPECT_GT(moved, 0u);
  EXPECT_LE(moved, Map::kChunkSizeMax);
  EXPECT_EQ(map.at(key_of(500)), 1);
  EXPECT_EQ(copy.at(key_of(500)), 2);
}

}  // namespace
}  // namespace drave::metadata
