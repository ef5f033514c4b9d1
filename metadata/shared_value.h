#pragma once
// A value that its copies share until one of them changes it. For the pieces of what an image is
// made of, and of what is derived from images.
//
// A copy may be read on another thread while this one is changed.

#include <atomic>
#include <cstdint>
#include <utility>

namespace drave::metadata {

template <class T>
class Shared {
 public:
  Shared() = default;  // an empty T, without memory of its own
  explicit Shared(T value) : held_(new Held(std::move(value))) {}
  Shared(const Shared& other) : held_(other.held_) {
    if (held_ != nullptr) held_->owners.fetch_add(1, std::memory_order_relaxed);
  }
  Shared(Shared&& other) noexcept : held_(std::exchange(other.held_, nullptr)) {}
  Shared& operator=(Shared other) noexcept {
    std::swap(held_, other.held_);
    return *this;
  }
  ~Shared() {
    if (held_ != nullptr && held_->owners.fetch_sub(1, std::memory_order_acq_rel) == 1)
      delete held_;
  }

  const T& operator*() const {
    static const T kEmpty;
    return held_ == nullptr ? kEmpty : held_->value;
  }
  const T* operator->() const { return &**this; }
  // The value to be changed: a copy of it, unless nobody else has it.
  T& own() {
    if (held_ == nullptr || held_->owners.load(std::memory_order_acquire) > 1)
      *this = Shared(**this);
    return held_->value;
  }
  // They share one value.
  bool is(const Shared& other) const { return held_ == other.held_; }

 private:
  struct Held {
    explicit Held(T from) : value(std::move(from)) {}
    std::atomic<std::uint32_t> owners{1};
    T value;
  };
  Held* held_ = nullptr;
};

}  // namespace drave::metadata
