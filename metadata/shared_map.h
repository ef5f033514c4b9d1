#pragma once
// An ordered map whose copies share what did not change: a copy costs a pointer for each few dozen
// entries, a change copies one chunk of them. For the maps of an image, which are copied for every
// change of the metadata and then stay as they are.
//
// A copy may be read on another thread while this one is changed. References to keys and values
// hold until the map that they came from is changed or destroyed; so do iterators.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "metadata/shared_value.h"

namespace drave::metadata {

template <class Key, class Value, class Less = std::less<>>
class SharedMap {
 public:
  using value_type = std::pair<Key, Value>;
  static constexpr std::size_t kChunkSizeMax = 64;

 private:
  using Chunk = std::vector<value_type>;  // sorted; never empty
  using Chunks = std::vector<Shared<Chunk>>;

 public:
  class const_iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = SharedMap::value_type;
    using difference_type = std::ptrdiff_t;
    using pointer = const value_type*;
    using reference = const value_type&;

    const_iterator() = default;
    reference operator*() const { return (*(*chunks_)[chunk_])[index_]; }
    pointer operator->() const { return &**this; }
    const_iterator& operator++() {
      if (++index_ < (*chunks_)[chunk_]->size()) return *this;
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
      chunks_.emplace_back(Chunk{{key, Value()}});
      ++size_;
      return chunks_.front().own().front().second;
    }
    // Behind everything: into the last chunk.
    if (chunk == chunks_.size()) --chunk;
    std::size_t index = index_in(chunk, key);
    const Chunk& present = *chunks_[chunk];
    if (index < present.size() && !Less()(key, present[index].first))
      return chunks_[chunk].own()[index].second;
    if (present.size() == kChunkSizeMax) {
      split(chunk, index);
      if (index > chunks_[chunk]->size()) index -= chunks_[chunk++]->size();
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

  // Calls visit(key, before, after) for each key whose values differ, in their order; null where
  // the key is not there. Chunks that both maps share are passed over, so that two copies of a map
  // are compared in the time that their changes take, and a pointer for each few dozen entries.
  template <class Visit>
  static void for_each_change(const SharedMap& before, const SharedMap& after, Visit visit) {
    const_iterator old = before.begin();
    const_iterator now = after.begin();
    while (true) {
      while (old != before.end() && now != after.end() && old.index_ == 0 && now.index_ == 0 &&
             before.chunks_[old.chunk_].is(after.chunks_[now.chunk_])) {
        ++old.chunk_;
        ++now.chunk_;
      }
      const bool has_old = old != before.end();
      const bool has_now = now != after.end();
      if (!has_old && !has_now) return;
      if (!has_now || (has_old && Less()(old->first, now->first))) {
        visit(old->first, &old->second, static_cast<const Value*>(nullptr));
        ++old;
      } else if (!has_old || Less()(now->first, old->first)) {
        visit(now->first, static_cast<const Value*>(nullptr), &now->second);
        ++now;
      } else {
        if (!(old->second == now->second)) visit(old->first, &old->second, &now->second);
        ++old;
        ++now;
      }
    }
  }

 private:
  // The first chunk whose last key is not less than `key`.
  template <class K>
  std::size_t chunk_of(const K& key) const {
    const auto at = std::partition_point(
        chunks_.begin(), chunks_.end(),
        [&key](const Shared<Chunk>& each) { return Less()(each->back().first, key); });
    return static_cast<std::size_t>(at - chunks_.begin());
  }
  // In a chunk: the first entry whose key is not less than `key`, or its size.
  template <class K>
  std::size_t index_in(std::size_t chunk, const K& key) const {
    const Chunk& entries = *chunks_[chunk];
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
    Chunk rest(std::make_move_iterator(middle), std::make_move_iterator(entries.end()));
    entries.erase(middle, entries.end());
    chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(chunk) + 1,
                   Shared<Chunk>(std::move(rest)));
  }

  Chunks chunks_;
  std::size_t size_ = 0;
};

}  // namespace drave::metadata
