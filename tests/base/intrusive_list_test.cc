#include "base/intrusive_list.h"

#include <gtest/gtest.h>

#include <vector>

namespace drave {
namespace {

struct Item : ListLink<> {
  explicit Item(int n) : number(n) {}
  int number;
};

std::vector<int> numbers(IntrusiveList<Item>& list) {
  std::vector<int> found;
  list.for_each([&](Item& item) { found.push_back(item.number); });
  return found;
}

TEST(IntrusiveList, keeps_order_and_lets_elements_leave) {
  Item a(1), b(2), c(3);
  IntrusiveList<Item> list;
  list.push_back(b);
  list.push_back(c);
  list.push_front(a);
  EXPECT_EQ(numbers(list), (std::vector<int>{1, 2, 3}));
  b.unlink();
  b.unlink();
  EXPECT_EQ(numbers(list), (std::vector<int>{1, 3}));
  EXPECT_EQ(list.pop_front().number, 1);
  list.clear();
  EXPECT_TRUE(list.empty());
}

TEST(IntrusiveList, splices) {
  Item a(1), b(2), c(3);
  IntrusiveList<Item> list, other;
  list.push_back(a);
  other.push_back(b);
  other.push_back(c);
  list.splice_back(other);
  EXPECT_TRUE(other.empty());
  EXPECT_EQ(numbers(list), (std::vector<int>{1, 2, 3}));
  list.splice_back(other);
  EXPECT_EQ(numbers(list), (std::vector<int>{1, 2, 3}));
}

}  // namespace
}  // namespace drave
