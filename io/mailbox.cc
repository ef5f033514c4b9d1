#include "io/mailbox.h"

#include <algorithm>

namespace drave::io {
namespace {
constexpr std::uint32_t kSlots = 4096;
constexpr std::size_t kCacheLine = 64;
// A receiver that is awake sees a long burst before the sender's pass ends.
constexpr std::uint32_t kPublishEvery = 64;
}  // namespace

// One direction between two shards. Positions count messages since the start and never wrap.
struct MailboxHub::Lane {
  // The sender's.
  alignas(kCacheLine) std::uint64_t written = 0;  // slots before this are filled
  std::uint64_t published = 0;                    // what `tail` says
  std::uint64_t head_seen = 0;
  Message* waiting_first = nullptr;  // what the full ring could not take, in order
  Message* waiting_last = nullptr;
  bool is_dirty = false;  // stands in State::dirty of the sender

  alignas(kCacheLine) std::atomic<std::uint64_t> tail = 0;  // slots before this may be read
  alignas(kCacheLine) std::atomic<std::uint64_t> head = 0;  // slots before this were read
  // The sender holds messages back and wants its doorbell rung when there is room.
  std::atomic<bool> is_blocked = false;

  alignas(kCacheLine) std::array<Message*, kSlots> slots;
};

struct MailboxHub::State {
  alignas(kCacheLine) std::atomic<bool> is_sleeping = false;
  alignas(kCacheLine) std::vector<std::uint32_t> dirty;  // shards sent to since the last flush
  std::vector<std::uint32_t> held_back;                  // shards whose lane from here is full
};

MailboxHub::MailboxHub(std::vector<Loop*> loops) : loops_(std::move(loops)) {
  const std::size_t count = loops_.size();
  for (std::size_t i = 0; i < count; ++i) {
    ASSERT_EQUAL(loops_[i]->shard(), i);
    states_.push_back(std::make_unique<State>());
    states_.back()->dirty.reserve(count);
    states_.back()->held_back.reserve(count);
  }
  for (std::size_t i = 0; i < count * count; ++i) {
    const bool to_itself = i / count == i % count;
    lanes_.push_back(to_itself ? nullptr : std::unique_ptr<Lane>(new Lane));
  }
  for (Loop* loop : loops_) loop->attach(this);
}

MailboxHub::~MailboxHub() {
  for (Loop* loop : loops_) loop->attach(nullptr);
}

void MailboxHub::send(std::uint32_t from, std::uint32_t to, Message& message) {
  ASSERT(from != to);
  ASSERT(message.run != nullptr);
  Lane& lane = *lanes_[from * shard_count() + to];
  message.next = nullptr;
  if (!lane.is_dirty) {
    lane.is_dirty = true;
    states_[from]->dirty.push_back(to);
  }
  if (lane.waiting_first == nullptr && lane.written - lane.head_seen == kSlots)
    lane.head_seen = lane.head.load(std::memory_order_acquire);
  if (lane.waiting_first != nullptr || lane.written - lane.head_seen == kSlots) {
    if (lane.waiting_first == nullptr) {
      lane.waiting_first = &message;
    } else {
      lane.waiting_last->next = &message;
    }
    lane.waiting_last = &message;
    return;
  }
  lane.slots[lane.written++ % kSlots] = &message;
  if (lane.written - lane.published >= kPublishEvery) {
    lane.published = lane.written;
    lane.tail.store(lane.written, std::memory_order_release);
  }
}

void MailboxHub::flush(std::uint32_t shard) {
  State& state = *states_[shard];
  for (const std::uint32_t to : std::exchange(state.held_back, {})) {
    Lane& lane = *lanes_[shard * shard_count() + to];
    if (!lane.is_dirty) {
      lane.is_dirty = true;
      state.dirty.push_back(to);
    }
  }
  for (std::size_t i = 0; i < state.dirty.size(); ++i) {
    const std::uint32_t to = state.dirty[i];
    Lane& lane = *lanes_[shard * shard_count() + to];
    lane.is_dirty = false;
    // Twice: the receiver may make room between the first look and the declaration.
    for (int look = 0; look < 2 && lane.waiting_first != nullptr; ++look) {
      if (look == 1) lane.is_blocked.store(true, std::memory_order_seq_cst);
      lane.head_seen = lane.head.load(std::memory_order_seq_cst);
      while (lane.waiting_first != nullptr && lane.written - lane.head_seen < kSlots) {
        Message* first = lane.waiting_first;
        lane.waiting_first = first->next;
        lane.slots[lane.written++ % kSlots] = first;
      }
    }
    if (lane.waiting_first != nullptr) state.held_back.push_back(to);
    lane.published = lane.written;
    // Sequentially consistent with declare_sleeping and has_mail: either the receiver sees the
    // tail before it sleeps or this sees that it sleeps.
    lane.tail.store(lane.written, std::memory_order_seq_cst);
    auto& sleeping = states_[to]->is_sleeping;
    if (sleeping.load(std::memory_order_seq_cst) && sleeping.exchange(false))
      loops_[shard]->backend().wake(loops_[to]->backend());
  }
  state.dirty.clear();
}

bool MailboxHub::deliver(std::uint32_t shard) {
  bool any = false;
  for (std::uint32_t from = 0; from < shard_count(); ++from) {
    if (from == shard) continue;
    Lane& lane = *lanes_[from * shard_count() + shard];
    const std::uint64_t tail = lane.tail.load(std::memory_order_acquire);
    std::uint64_t head = lane.head.load(std::memory_order_relaxed);
    if (head == tail) continue;
    any = true;
    while (head < tail) {
      Message& message = *lane.slots[head % kSlots];
      ++head;
      message.run(message);
    }
    lane.head.store(head, std::memory_order_seq_cst);
    if (lane.is_blocked.load(std::memory_order_seq_cst) && lane.is_blocked.exchange(false)) {
      auto& sleeping = states_[from]->is_sleeping;
      if (sleeping.load(std::memory_order_seq_cst) && sleeping.exchange(false))
        loops_[shard]->backend().wake(loops_[from]->backend());
    }
  }
  return any;
}

void MailboxHub::declare_sleeping(std::uint32_t shard) {
  states_[shard]->is_sleeping.store(true, std::memory_order_seq_cst);
}

void MailboxHub::declare_awake(std::uint32_t shard) {
  states_[shard]->is_sleeping.store(false, std::memory_order_relaxed);
}

bool MailboxHub::has_mail(std::uint32_t shard) const {
  for (std::uint32_t other = 0; other < shard_count(); ++other) {
    if (other == shard) continue;
    const Lane& in = *lanes_[other * shard_count() + shard];
    if (in.tail.load(std::memory_order_seq_cst) != in.head.load(std::memory_order_relaxed))
      return true;
  }
  // Room for what this shard holds back is work too.
  for (const std::uint32_t to : states_[shard]->held_back) {
    const Lane& out = *lanes_[shard * shard_count() + to];
    if (out.written - out.head.load(std::memory_order_seq_cst) < kSlots) return true;
  }
  return false;
}

}  // namespace drave::io
