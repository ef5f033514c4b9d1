// SharedMap beside std::map, and copies that do not notice each other.

#include "metadata/shared_map.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <tuple>
#include <vector>

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

// Two maps that grew out of one differ by what std::map says.
TEST(SharedMap, changes_between_copies_are_told_in_order) {
  Random random{9};
  Map map;
  Model model;
  for (int round = 0; round < 300; ++round) {
    const Map map_before = map;
    const Model model_before = model;
    const std::uint64_t steps = random.below(12);
    for (std::uint64_t step = 0; step < steps; ++step) {
      const std::string key = key_of(random.below(900));
      if (random.one_in(3)) {
        map.erase(key);
        model.erase(key);
      } else {
        const int value = static_cast<int>(random.below(3));
        map[key] = value;
        model[key] = value;
      }
    }
    using Change = std::tuple<std::string, int, int>;
    std::vector<Change> expected;
    std::map<std::string, std::pair<int, int>> both;
    for (const auto& [key, value] : model_before) both[key] = {value, -1};
    for (const auto& [key, value] : model)
      both.try_emplace(key, -1, -1).first->second.second = value;
    for (const auto& [key, values] : both)
      if (values.first != values.second) expected.emplace_back(key, values.first, values.second);
    std::vector<Change> told;
    Map::for_each_change(
        map_before, map, [&told](const std::string& key, const int* before, const int* after) {
          told.emplace_back(key, before == nullptr ? -1 : *before, after == nullptr ? -1 : *after);
        });
    ASSERT_EQ(told, expected);
  }
}

TEST(SharedMap, what_is_shared_is_not_looked_at) {
  struct Counted {
    int value = 0;
    int* looks = nullptr;
    bool operator==(const Counted& other) const {
      ++*looks;
      return value == other.value;
    }
  };
  int looks = 0;
  SharedMap<std::string, Counted> map;
  for (std::uint64_t number = 0; number < 5000; ++number) map[key_of(number)] = {1, &looks};
  SharedMap<std::string, Counted> copy = map;
  copy[key_of(500)].value = 2;
  copy["key-500-more"] = {1, &looks};
  copy.erase(key_of(4000));
  std::vector<std::string> keys;
  SharedMap<std::string, Counted>::for_each_change(
      map, copy, [&keys](const std::string& key, auto, auto) { keys.push_back(key); });
  EXPECT_EQ(keys, (std::vector<std::string>{"key-4000", "key-500", "key-500-more"}));
  EXPECT_LE(looks, 3 * static_cast<int>(Map::kChunkSizeMax));
}

}  // namespace
}  // namespace drave::metadata
