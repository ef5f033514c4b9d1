#include "io/uring/durable_writer.h"

#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "io/process.h"

namespace drave::io {
namespace {

constexpr std::chrono::seconds kStopWaitMax{5};

}  // namespace

struct DurableWriter::Shared {
  enum class Turn : std::uint8_t { loop, writer };

  std::mutex mutex;
  std::condition_variable changed;
  std::function<void()> announce;
  // What the writer needs of the operation: it may be left alone with it.
  int fd = -1;
  const iovec* vectors = nullptr;
  int count = 0;
  off_t position = 0;
  std::int32_t result = 0;
  // Written under the mutex; who has the turn may touch the fields above.
  std::atomic<Turn> turn = Turn::loop;
  bool stopping = false;
};

DurableWriter::DurableWriter(std::function<void()> announce) : shared_(std::make_shared<Shared>()) {
  shared_->announce = std::move(announce);
}

DurableWriter::~DurableWriter() {
  ASSERT(!thread_.joinable());
}

void DurableWriter::begin(Operation& operation) {
  ASSERT(is_free());
  operation_ = &operation;
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->fd = operation.handle.value;
    shared_->vectors = operation.vectors;
    shared_->count = static_cast<int>(std::min<std::uint32_t>(operation.vector_count, IOV_MAX));
    shared_->position = static_cast<off_t>(operation.position);
    shared_->turn = Shared::Turn::writer;
  }
  if (!thread_.joinable()) thread_ = std::thread([shared = shared_] { run(shared); });
  shared_->changed.notify_all();
}

Operation* DurableWriter::take() {
  if (operation_ == nullptr || shared_->turn.load() == Shared::Turn::writer) return nullptr;
  operation_->result = shared_->result;
  return std::exchange(operation_, nullptr);
}

Operation* DurableWriter::stop() {
  if (!thread_.joinable()) return nullptr;
  std::unique_lock lock(shared_->mutex);
  shared_->stopping = true;
  const bool ended = shared_->changed.wait_for(
      lock, kStopWaitMax, [this] { return shared_->turn.load() == Shared::Turn::loop; });
  // Under the mutex: a write that ends from now on is announced to nobody.
  if (!ended) shared_->announce = nullptr;
  lock.unlock();
  shared_->changed.notify_all();
  if (ended)
    thread_.join();
  else
    thread_.detach();
  return std::exchange(operation_, nullptr);
}

void DurableWriter::run(const std::shared_ptr<Shared>& shared) {
  name_thread("durable-writer");
  std::unique_lock lock(shared->mutex);
  while (true) {
    shared->changed.wait(
        lock, [&] { return shared->stopping || shared->turn.load() == Shared::Turn::writer; });
    if (shared->turn.load() != Shared::Turn::writer) return;
    lock.unlock();
    const ssize_t done =
        pwritev2(shared->fd, shared->vectors, shared->count, shared->position, RWF_DSYNC);
    const std::int32_t result = done < 0 ? -errno : static_cast<std::int32_t>(done);
    lock.lock();
    shared->result = result;
    shared->turn = Shared::Turn::loop;
    if (shared->announce == nullptr) return;
    if (shared->stopping) shared->changed.notify_all();
    // Who is woken takes no lock that we hold: `announce` stands until this thread is joined.
    lock.unlock();
    shared->announce();
    lock.lock();
  }
}

}  // namespace drave::io
