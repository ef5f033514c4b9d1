#include "io/uring/resolver.h"

#include <algorithm>
#include <condition_variable>
#include <list>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "io/process.h"

namespace drave::io {

struct Resolver::Shared {
  struct Name {
    SocketAddress address;
    std::vector<std::uint64_t> questions;
    bool is_under_way = false;
  };

  std::mutex mutex;
  std::condition_variable changed;
  LookUp look_up;
  std::list<Name> names;  // in the order in which they were asked for
  std::vector<Answer> answers;
  std::map<SocketAddress, std::size_t> silent;  // how many of its addresses were, in turn
  int threads = 0;
  int idle = 0;
  std::function<void()> announce;  // empty: the resolver is gone

  std::list<Name>::iterator next() { return std::ranges::find(names, false, &Name::is_under_way); }

  std::vector<KernelAddress> in_turn(const Name& name, std::vector<KernelAddress> addresses) const {
    const auto found = silent.find(name.address);
    if (found != silent.end() && !addresses.empty()) {
      const auto first = static_cast<std::ptrdiff_t>(found->second % addresses.size());
      std::rotate(addresses.begin(), addresses.begin() + first, addresses.end());
    }
    return addresses;
  }
};

Resolver::Resolver(std::function<void()> announce, LookUp look_up)
    : shared_(std::make_shared<Shared>()) {
  shared_->announce = std::move(announce);
  shared_->look_up = std::move(look_up);
}

Resolver::~Resolver() {
  const std::lock_guard lock(shared_->mutex);
  shared_->announce = nullptr;
  shared_->changed.notify_all();
}

void Resolver::ask(std::uint64_t question, SocketAddress address) {
  const std::lock_guard lock(shared_->mutex);
  const auto same = std::ranges::find(shared_->names, address, &Shared::Name::address);
  if (same != shared_->names.end()) {
    same->questions.push_back(question);
    return;
  }
  shared_->names.push_back({std::move(address), {question}});
  const auto waiting = std::ranges::count(shared_->names, false, &Shared::Name::is_under_way);
  if (waiting > shared_->idle && shared_->threads < kLookUpsMax) {
    ++shared_->threads;
    std::thread(&Resolver::run, shared_).detach();
  }
  shared_->changed.notify_one();
}

void Resolver::forget(std::uint64_t question) {
  const std::lock_guard lock(shared_->mutex);
  for (auto name = shared_->names.begin(); name != shared_->names.end(); ++name) {
    if (std::erase(name->questions, question) == 0) continue;
    if (name->questions.empty() && !name->is_under_way) shared_->names.erase(name);
    return;
  }
}

std::vector<Resolver::Answer> Resolver::take() {
  const std::lock_guard lock(shared_->mutex);
  return std::exchange(shared_->answers, {});
}

void Resolver::note_silent(const SocketAddress& address) {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->silent.size() >= kSilentNamesMax) shared_->silent.clear();
  ++shared_->silent[address];
}

void Resolver::run(std::shared_ptr<Shared> shared) {
  name_thread("resolver");
  std::unique_lock lock(shared->mutex);
  while (true) {
    ++shared->idle;
    shared->changed.wait(
        lock, [&] { return shared->announce == nullptr || shared->next() != shared->names.end(); });
    --shared->idle;
    if (shared->announce == nullptr) return;
    const auto name = shared->next();
    name->is_under_way = true;
    const SocketAddress address = name->address;
    lock.unlock();
    int system = 0;
    std::vector<KernelAddress> addresses = shared->look_up(address, &system);
    lock.lock();
    if (shared->announce == nullptr) return;
    addresses = shared->in_turn(*name, std::move(addresses));
    for (const std::uint64_t question : name->questions)
      shared->answers.push_back({question, addresses, system});
    const bool is_awaited = !name->questions.empty();
    shared->names.erase(name);
    if (is_awaited) shared->announce();
  }
}

}  // namespace drave::io
