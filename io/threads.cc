#include "io/threads.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <string>

#include "io/process.h"

namespace drave::io {

struct ShardThreads::Shard {
  std::uint32_t number = 0;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Loop> loop;
  Error error;
  bool failed = false;
  std::thread thread;
};

// How the threads come up together: each makes its loop and reports; when all have, either all run
// or all end. At the end, a loop is destroyed only when no other shard can ring it any more.
struct ShardThreads::Assembly {
  enum class State { starting, running, abandoned };
  std::mutex mutex;
  std::condition_variable changed;
  State state = State::starting;
  std::uint32_t ready = 0;
  std::uint32_t ended = 0;
};

ShardThreads::ShardThreads() : assembly_(std::make_unique<Assembly>()) {}

Result<std::unique_ptr<ShardThreads>> ShardThreads::start(ShardThreadsOptions options,
                                                          BackendFactory factory) {
  ASSERT(options.count > 0);
  std::unique_ptr<ShardThreads> threads(new ShardThreads);
  for (std::uint32_t i = 0; i < options.count; ++i) {
    threads->shards_.push_back(std::make_unique<Shard>());
    threads->shards_.back()->number = i;
  }
  Assembly& assembly = *threads->assembly_;
  for (auto& shard : threads->shards_) {
    shard->thread = std::thread([&owner = *threads, &shard = *shard, options, factory] {
      owner.run_shard(shard, options, factory);
    });
  }
  std::unique_lock lock(assembly.mutex);
  assembly.changed.wait(lock, [&] { return assembly.ready == options.count; });
  const Shard* failed = nullptr;
  for (auto& shard : threads->shards_) {
    if (shard->failed && failed == nullptr) failed = shard.get();
  }
  if (failed == nullptr) {
    std::vector<Loop*> loops;
    for (auto& shard : threads->shards_) loops.push_back(shard->loop.get());
    threads->hub_ = std::make_unique<MailboxHub>(std::move(loops));
  }
  assembly.state = failed == nullptr ? Assembly::State::running : Assembly::State::abandoned;
  assembly.changed.notify_all();
  lock.unlock();
  if (failed == nullptr) return threads;
  Error error = failed->error;
  threads->join();
  return std::unexpected(std::move(error));
}

void ShardThreads::run_shard(Shard& shard, const ShardThreadsOptions& options,
                             const BackendFactory& factory) {
  name_thread(("shard-" + std::to_string(shard.number)).c_str());
  const std::vector<int> processors = allowed_processors();
  if (options.pin && options.count <= processors.size()) pin_thread(processors[shard.number]);
  auto backend = factory(shard.number);
  Assembly& assembly = *assembly_;
  {
    std::unique_lock lock(assembly.mutex);
    if (backend) {
      shard.backend = std::move(*backend);
      shard.loop = std::make_unique<Loop>(*shard.backend, shard.number);
      shard.loop->set_spin(options.spin);
    } else {
      shard.failed = true;
      shard.error = std::move(backend).error();
    }
    ++assembly.ready;
    assembly.changed.notify_all();
    assembly.changed.wait(lock, [&] { return assembly.state != Assembly::State::starting; });
  }
  if (assembly.state == Assembly::State::running) shard.loop->run();
  {
    std::unique_lock lock(assembly.mutex);
    ++assembly.ended;
    assembly.changed.notify_all();
    assembly.changed.wait(lock, [&] { return assembly.ended == count(); });
    // One thread after another, under the lock: the first also takes the hub away.
    hub_.reset();
  }
  shard.loop.reset();
  shard.backend.reset();
}

ShardThreads::~ShardThreads() {
  stop_all();
  join();
}

Loop& ShardThreads::loop(std::uint32_t shard) {
  return *shards_[shard]->loop;
}

void ShardThreads::post(std::uint32_t shard, std::function<void()> function) {
  const std::lock_guard lock(assembly_->mutex);
  // Once all have ended, each thread destroys its loop without the lock.
  if (assembly_->ended == count() || shards_[shard]->loop == nullptr) return;
  shards_[shard]->loop->post_from_any_thread(std::move(function));
}

void ShardThreads::stop_all() {
  for (auto& shard : shards_) {
    Shard* one = shard.get();
    post(one->number, [one] { one->loop->stop(); });
  }
}

void ShardThreads::join() {
  for (auto& shard : shards_) {
    if (shard->thread.joinable()) shard->thread.join();
  }
}

void block_signals(const std::vector<int>& signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : signals) sigaddset(&set, number);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, nullptr);
}

SignalThread::SignalThread(std::vector<int> signals, std::function<void(int)> handler)
    : stop_fd_(eventfd(0, EFD_CLOEXEC)), handler_(std::move(handler)) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : signals) sigaddset(&set, number);
  signals_fd_ = signalfd(-1, &set, SFD_CLOEXEC);
  ASSERT(signals_fd_ >= 0);
  ASSERT(stop_fd_ >= 0);
  thread_ = std::thread([this] { run(); });
}

SignalThread::~SignalThread() {
  const std::uint64_t one = 1;
  ASSERT_EQUAL(write(stop_fd_, &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
  thread_.join();
  close(signals_fd_);
  close(stop_fd_);
}

void SignalThread::run() {
  name_thread("signals");
  while (true) {
    pollfd watched[2] = {{signals_fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
    if (poll(watched, 2, -1) < 0) continue;
    if ((watched[1].revents & POLLIN) != 0) return;
    signalfd_siginfo info;
    if (read(signals_fd_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info)))
      handler_(static_cast<int>(info.ssi_signo));
  }
}

}  // namespace drave::io
