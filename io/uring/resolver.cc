#include "io/uring/resolver.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "io/process.h"

namespace drave::io {

struct Resolver::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::pair<std::uint64_t, SocketAddress>> questions;
  std::vector<Answer> answers;
  std::function<void()> announce;  // empty: the resolver is gone
};

Resolver::Resolver(std::function<void()> announce) : shared_(std::make_shared<Shared>()) {
  shared_->announce = std::move(announce);
}

Resolver::~Resolver() {
  const std::lock_guard lock(shared_->mutex);
  shared_->announce = nullptr;
  shared_->changed.notify_all();
}

void Resolver::ask(std::uint64_t question, SocketAddress address) {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->questions.emplace_back(question, std::move(address));
  }
  if (!std::exchange(has_thread_, true)) std::thread(&Resolver::run, shared_).detach();
  shared_->changed.notify_one();
}

std::vector<Resolver::Answer> Resolver::take() {
  const std::lock_guard lock(shared_->mutex);
  return std::exchange(shared_->answers, {});
}

void Resolver::run(std::shared_ptr<Shared> shared) {
  name_thread("resolver");
  std::unique_lock lock(shared->mutex);
  while (true) {
    shared->changed.wait(lock,
                         [&] { return shared->announce == nullptr || !shared->questions.empty(); });
    if (shared->announce == nullptr) return;
    auto [question, address] = std::move(shared->questions.front());
    shared->questions.pop_front();
    lock.unlock();
    Answer answer{.question = question, .addresses = {}, .system = 0};
    answer.addresses = resolve(address, &answer.system);
    lock.lock();
    if (shared->announce == nullptr) return;
    shared->answers.push_back(std::move(answer));
    shared->announce();
  }
}

}  // namespace drave::io
