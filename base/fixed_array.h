#pragma once
// An array whose length is chosen once, after it was made. Up to `kInline` elements stand in the
// array itself, more on the heap: for lists of which almost all have one element. Elements never
// move, so they may be linked and named by address; the array does not move either.

#include <cstddef>
#include <memory>
#include <new>

#include "base/assert.h"

namespace drave {

template <class T, std::size_t kInline = 1>
class FixedArray {
 public:
  FixedArray() = default;
  FixedArray(const FixedArray&) = delete;
  FixedArray& operator=(const FixedArray&) = delete;
  ~FixedArray() {
    std::destroy_n(data_, size_);
    if (is_on_heap()) std::allocator<T>().deallocate(data_, size_);
  }

  // Makes the elements, `size` of them. Once.
  void make(std::size_t size) {
    ASSERT(data_ == nullptr);
    data_ = size > kInline ? std::allocator<T>().allocate(size) : reinterpret_cast<T*>(inline_);
    std::uninitialized_value_construct_n(data_, size);
    size_ = size;
  }

  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](std::size_t index) { return data_[index]; }
  const T& operator[](std::size_t index) const { return data_[index]; }

 private:
  bool is_on_heap() const { return size_ > kInline; }

  T* data_ = nullptr;
  std::size_t size_ = 0;
  alignas(T) std::byte inline_[kInline * sizeof(T)];
};

}  // namespace drave
