#pragma once
// A doubly linked list whose links live in its elements: no allocation, O(1) insertion and removal,
// an element can leave without knowing its list. The list owns nothing. An element must leave its
// list before it is destroyed (its destructor asserts that) and is never copied or moved.

#include <cstddef>

#include "base/assert.h"

namespace drave {

template <class T, class Tag>
class IntrusiveList;

// Derive from ListLink<Tag> once for each kind of list that an element can be on.
template <class Tag = void>
class ListLink {
 public:
  ListLink() = default;
  ListLink(const ListLink&) = delete;
  ListLink& operator=(const ListLink&) = delete;
  ~ListLink() { ASSERT(!is_linked()); }

  bool is_linked() const { return next_ != nullptr; }

  // Leaves whatever list this is on; nothing happens if it is on none.
  void unlink() {
    if (next_ == nullptr) return;
    previous_->next_ = next_;
    next_->previous_ = previous_;
    next_ = previous_ = nullptr;
  }

 private:
  template <class, class>
  friend class IntrusiveList;
  ListLink* next_ = nullptr;
  ListLink* previous_ = nullptr;
};

template <class T, class Tag = void>
class IntrusiveList {
 public:
  using Link = ListLink<Tag>;

  IntrusiveList() { head_.next_ = head_.previous_ = &head_; }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() {
    clear();
    head_.next_ = head_.previous_ = nullptr;
  }

  bool empty() const { return head_.next_ == &head_; }

  void push_back(T& element) { insert_before(head_, element); }
  void push_front(T& element) { insert_before(*head_.next_, element); }

  T& front() {
    ASSERT(!empty());
    return *static_cast<T*>(head_.next_);
  }
  T& back() {
    ASSERT(!empty());
    return *static_cast<T*>(head_.previous_);
  }
  T& pop_front() {
    T& first = front();
    static_cast<Link&>(first).unlink();
    return first;
  }
  void clear() {
    while (!empty()) pop_front();
  }
  // Moves all elements of `other` to the end of this list.
  void splice_back(IntrusiveList& other) {
    if (other.empty()) return;
    other.head_.next_->previous_ = head_.previous_;
    head_.previous_->next_ = other.head_.next_;
    other.head_.previous_->next_ = &head_;
    head_.previous_ = other.head_.previous_;
    other.head_.next_ = other.head_.previous_ = &other.head_;
  }

  // Calls visit(element) for each; visit may unlink the element that it is given, and no other.
  template <class Visit>
  void for_each(Visit visit) {
    for (Link* at = head_.next_; at != &head_;) {
      Link* next = at->next_;
      visit(*static_cast<T*>(at));
      at = next;
    }
  }

 private:
  void insert_before(Link& place, T& element) {
    Link& link = element;
    ASSERT(!link.is_linked());
    link.previous_ = place.previous_;
    link.next_ = &place;
    place.previous_->next_ = &link;
    place.previous_ = &link;
  }

  Link head_;
};

}  // namespace drave
