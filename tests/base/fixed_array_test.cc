#include "base/fixed_array.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

namespace drave {
namespace {

// Counts those that live, and is found where it was made.
struct Element {
  Element() : self(this) { living().insert(this); }
  ~Element() {
    EXPECT_EQ(self, this);
    EXPECT_EQ(living().erase(this), 1u);
  }
  Element(const Element&) = delete;
  static std::set<const Element*>& living() {
    static std::set<const Element*> set;
    return set;
  }
  Element* self;
  std::string text;
};

TEST(FixedArray, makes_and_destroys_each_element_once) {
  for (std::size_t size : {0u, 1u, 2u, 3u, 100u}) {
    {
      FixedArray<Element, 2> array;
      EXPECT_TRUE(array.empty());
      array.make(size);
      EXPECT_EQ(array.size(), size);
      EXPECT_EQ(Element::living().size(), size);
      for (Element& element : array) element.text = std::string(100, 'x');
      if (size > 0) EXPECT_EQ(array[size - 1].text.size(), 100u);
      EXPECT_EQ(array.end() - array.begin(), static_cast<std::ptrdiff_t>(size));
    }
    EXPECT_TRUE(Element::living().empty()) << size;
  }
}

TEST(FixedArray, a_few_elements_stand_in_the_array_itself) {
  FixedArray<int, 4> array;
  array.make(4);
  const auto* first = reinterpret_cast<const std::byte*>(&array);
  const auto* element = reinterpret_cast<const std::byte*>(array.begin());
  EXPECT_GE(element, first);
  EXPECT_LT(element, first + sizeof(array));
  for (const int value : array) EXPECT_EQ(value, 0);
}

}  // namespace
}  // namespace drave
