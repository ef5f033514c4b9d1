#pragma once
// What the generated field lists say, and what all visitors share.
//
// Fields<T>::visit(v, m) calls v.field(member, facts, default) for every field of T in wire order
// and then v.tags(list), where list(t) calls t.tag(number, member, facts, default) in the order of
// the tags. Reading, writing, measuring and printing are visitors, so that they cannot disagree.

#include <concepts>
#include <type_traits>

#include "protocol/message.h"

namespace drave::protocol {

inline constexpr std::int16_t kForever = 32767;

struct Facts {
  const char* name = "";  // as in Kafka's JSON
  std::int16_t from = 0;  // versions that have the field: [from, to]
  std::int16_t to = kForever;
  std::int16_t null_from = kForever;  // versions in which it may be null: [null_from, null_to]
  std::int16_t null_to = kForever;
  bool ignorable = false;
  bool classic = false;  // a string with an int16 length in flexible versions, too

  constexpr bool has(std::int16_t version) const { return from <= version && version <= to; }
  constexpr bool nullable(std::int16_t version) const {
    return null_from <= version && version <= null_to;
  }
};

template <class T>
struct Fields;

template <class T>
concept Struct = requires { Fields<T>::kBytesMin; };

template <class T>
inline constexpr bool kIsVector = false;
template <class E>
inline constexpr bool kIsVector<std::vector<E>> = true;

// The default that a field list leaves out: zero, false, empty, a struct of defaults.
struct Zero {};

// The least bytes that an array's element takes.
template <class E>
constexpr std::size_t element_bytes_min() {
  if constexpr (Struct<E>) {
    return Fields<E>::kBytesMin;
  } else if constexpr (std::is_same_v<E, Uuid>) {
    return 16;
  } else if constexpr (std::is_arithmetic_v<E>) {
    return sizeof(E);
  } else {
    return 1;
  }
}

template <class T, class D>
void reset(T& value, const D& otherwise) {
  if constexpr (!std::is_same_v<D, Zero>) {
    if constexpr (std::is_arithmetic_v<T>) {
      value = static_cast<T>(otherwise);
    } else {
      value = otherwise;
    }
  } else if constexpr (kIsVector<T>) {
    value.clear();
  } else {
    value = T{};
  }
}

template <class T, class D>
bool is_default(const T& value, const D& otherwise);

class DefaultCheck {
 public:
  bool all() const { return all_; }
  template <class T, class D = Zero>
  void field(const T& value, const Facts&, D otherwise = {}) {
    all_ = all_ && is_default(value, otherwise);
  }
  template <class T, class D = Zero>
  void tag(std::uint32_t, const T& value, const Facts&, D otherwise = {}) {
    all_ = all_ && is_default(value, otherwise);
  }
  void tags() {}
  template <class L>
  void tags(L&& list) {
    list(*this);
  }

 private:
  bool all_ = true;
};

template <class T, class D>
bool is_default(const T& value, const D& otherwise) {
  if constexpr (std::is_same_v<D, Present>) {
    return value.has_value() && is_default(*value, Zero{});
  } else if constexpr (std::is_same_v<D, std::nullopt_t>) {
    return !value.has_value();
  } else if constexpr (!std::is_same_v<D, Zero>) {
    return value == otherwise;
  } else if constexpr (Struct<T>) {
    DefaultCheck check;
    Fields<T>::visit(check, value);
    return check.all();
  } else if constexpr (std::is_arithmetic_v<T>) {
    return value == T{};
  } else if constexpr (std::is_same_v<T, Uuid>) {
    return value.is_zero();
  } else {
    return value.empty();
  }
}

}  // namespace drave::protocol
