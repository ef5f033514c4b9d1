#pragma once
// An ordered map whose copies share what did not change: a copy costs a pointer for each few dozen
// entries, a change copies one chunk of them. For the maps of an image, which are copied for every
// change of the metadata and then stay as they are.
//
// A copy may be read on another thread while this one is changed. References to keys and values
// hold until the map that they came from is changed or destroyed; so do iterators.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace drave::metadata {

template <class Key, class Value, class Less = std::less<>>
class SharedMap {
 public:
  using value_type = std::pair<Key, Value>;
  static constexpr std::size_t kChunkSizeMax = 64;

 private:
  struct Chunk {
    std::atomic<std::uint32_t> owners{1};
    std::vector<value_type> entries;  // sorted; never empty
  };
  // Shared ownership of a chunk; whoever is alone may change it.
  class Handle {
   public:
    explicit Handle(std::vector<value_type> entries) : chunk_(new Chunk) {
      chunk_->entries = std::move(entries);
    }
    Handle(const Handle& other) : chunk_(other.chunk_) {
      chunk_->owners.fetch_add(1, std::memory_order_relaxed);
    }
    Handle(Handle&& other) noexcept : chunk_(std::exchange(other.chunk_, nullptr)) {}
    Handle& operator=(Handle other) noexcept {
      std::swap(chunk_, other.chunk_);
      return *this;
    }
    ~Handle() {
      if (chunk_ != nullptr && chunk_->owners.fetch_sub(1, std::memory_order_acq_rel) == 1)
        delete chunk_;
    }
    const std::vector<value_type>& entries() const { return chunk_->entries; }
    std::vector<value_type>& own() {
      if (chunk_->owners.load(std::memory_order_acquire) > 1) *this = Handle(chunk_->entries);
      return chunk_->entries;
    }

   private:
    Chunk* chunk_;
  };
  using Chunks = std::vector<Handle>;

 public:
  class const_iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = SharedMap::value_type;
    using difference_type = std::ptrdiff_t;
    using pointer = const value_type*;
    using reference = const value_type&;

    const_iterator() = default;
    reference operator*() const { return (*chunks_)[chunk_].entries()[index_]; }
    pointer operator->() const { return &**this; }
    const_iterator& operator++() {
      if (++index_ < (*chunks_)[chunk_].entries().size()) return *this;
      ++chunk_;
      index_ = 0;
      return *this;
    }
    const_iterator operator++(int) {
      const const_iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const const_iterator&) const = default;

   private:
    friend class SharedMap;
    const_iterator(const Chunks* chunks, std::size_t chunk, std::size_t index)
        : chunks_(chunks), chunk_(chunk), index_(index) {}
    const Chunks* chunks_ = nullptr;
    std::size_t chunk_ = 0;  // the end is {chunks, 0}
    std::size_t index_ = 0;
  };

  const_iterator begin() const { return {&chunks_, 0, 0}; }
  const_iterator end() const { return {&chunks_, chunks_.size(), 0}; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  template <class K>
  const_iterator lower_bound(const K& key) const {
    const std::size_t chunk = chunk_of(key);
    if (chunk == chunks_.size()) return end();
    return {&chunks_, chunk, index_in(chunk, key)};
  }
  template <class K>
  const_iterator find(const K& key) const {
    const const_iterator at = lower_bound(key);
    return at == end() || Less()(key, at->first) ? end() : at;
  }
  template <class K>
  bool contains(const K& key) const {
    return find(key) != end();
  }
  // The key must be there.
  template <class K>
  const Value& at(const K& key) const {
    const const_iterator found = find(key);
    ASSERT(found != end());
    return found->second;
  }

  // The value, made if it is not there, to be changed before anything else is asked of the map.
  Value& operator[](const Key& key) {
    std::size_t chunk = chunk_of(key);
    if (chunks_.empty()) {
      chunks_.emplace_back(std::vector<value_type>{{key, Value()}});
      ++size_;
      return chunks_.front().own().front().second;
    }
    // Behind everything: into the last chunk.
    if (chunk == chunks_.size()) --chunk;
    std::size_t index = index_in(chunk, key);
    const auto& present = chunks_[chunk].entries();
    if (index < present.size() && !Less()(key, present[index].first))
      return chunks_[chunk].own()[index].second;
    if (present.size() == kChunkSizeMax) {
      split(chunk, index);
      if (index > chunks_[chunk].entries().size()) index -= chunks_[chunk++].entries().size();
    }
    auto& entries = chunks_[chunk].own();
    ++size_;
    return entries.emplace(entries.begin() + static_cast<std::ptrdiff_t>(index), key, Value())
        ->second;
  }
  // How many went: 0 or 1.
  template <class K>
  std::size_t erase(const K& key) {
    const const_iterator found = find(key);
    if (found == end()) return 0;
    auto& entries = chunks_[found.chunk_].own();
    entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(found.index_));
    if (entries.empty()) chunks_.erase(chunks_.begin() + static_cast<std::ptrdiff_t>(found.chunk_));
    --size_;
    return 1;
  }
  void clear() {
    chunks_.clear();
    size_ = 0;
  }

  bool operator==(const SharedMap& other) const {
    return size_ == other.size_ && std::equal(begin(), end(), other.begin());
  }

 private:
  // The first chunk whose last key is not less than `key`.
  template <class K>
  std::size_t chunk_of(const K& key) const {
    const auto at = std::partition_point(
        chunks_.begin(), chunks_.end(),
        [&key](const Handle& each) { return Less()(each.entries().back().first, key); });
    return static_cast<std::size_t>(at - chunks_.begin());
  }
  // In a chunk: the first entry whose key is not less than `key`, or its size.
  template <class K>
  std::size_t index_in(std::size_t chunk, const K& key) const {
    const auto& entries = chunks_[chunk].entries();
    const auto at =
        std::partition_point(entries.begin(), entries.end(),
                             [&key](const value_type& each) { return Less()(each.first, key); });
    return static_cast<std::size_t>(at - entries.begin());
  }
  // In two; one that grows at its end keeps all but the last entry, for there more will follow.
  void split(std::size_t chunk, std::size_t index) {
    auto& entries = chunks_[chunk].own();
    const bool grows = chunk + 1 == chunks_.size() && index == entries.size();
    const std::size_t kept = grows ? entries.size() - 1 : entries.size() / 2;
    const auto middle = entries.begin() + static_cast<std::ptrdiff_t>(kept);
    std::vector<value_type> rest(std::make_move_iterator(middle),
                                 std::make_move_iterator(entries.end()));
    entries.erase(middle, entries.end());
    chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(chunk) + 1,
                   Handle(std::move(rest)));
  }

  Chunks chunks_;
  std::size_t size_ = 0;
};

}  // namespace drave::metadata
