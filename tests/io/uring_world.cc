#include "tests/io/uring_world.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "base/assert.h"
#include "io/uring/uring_backend.h"

namespace drave::io::test {
namespace {

class UringWorld final : public World {
 public:
  explicit UringWorld(std::uint32_t loop_count) {
    std::vector<Loop*> loops;
    for (std::uint32_t i = 0; i < loop_count; ++i) {
      auto backend = make_uring_backend();
      if (!backend) fatal(backend.error().message());
      shards_.push_back({std::move(*backend), nullptr});
      shards_.back().loop = std::make_unique<Loop>(*shards_.back().backend, i);
      loops.push_back(shards_.back().loop.get());
    }
    hub_ = std::make_unique<MailboxHub>(std::move(loops));
    std::string pattern = (std::filesystem::temp_directory_path() / "drave-io-XXXXXX").string();
    ASSERT(mkdtemp(pattern.data()) != nullptr);
    scratch_ = pattern;
  }

  ~UringWorld() override {
    hub_.reset();
    for (Shard& shard : shards_) shard.loop.reset();
    std::filesystem::remove_all(scratch_);
  }

  std::uint32_t loop_count() override { return static_cast<std::uint32_t>(shards_.size()); }
  Loop& loop(std::uint32_t shard) override { return *shards_[shard].loop; }
  MailboxHub& hub() override { return *hub_; }

  bool run_until(const std::function<bool()>& done) override {
    const Instant limit = shards_[0].backend->now() + seconds(10);
    while (!done()) {
      for (Shard& shard : shards_) {
        // One loop may sleep as long as it likes; several take short turns.
        const Instant now = shard.backend->now();
        shard.loop->pass(now + (shards_.size() == 1 ? milliseconds(100) : microseconds(50)));
      }
      if (shards_[0].backend->now() > limit) return false;
    }
    return true;
  }

  std::string scratch() override { return scratch_; }
  bool has_direct() override {
    const std::string path = scratch_ + "/direct-probe";
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_DIRECT, 0600);
    if (fd >= 0) ::close(fd);
    ::unlink(path.c_str());
    return fd >= 0;
  }

  SocketAddress listen_address() override { return {"127.0.0.1", 0}; }
  SocketAddress connect_address(std::uint16_t port) override { return {"127.0.0.1", port}; }
  SocketAddress dead_address() override { return {"127.0.0.1", 1}; }

 private:
  struct Shard {
    std::unique_ptr<Backend> backend;
    std::unique_ptr<Loop> loop;
  };
  std::vector<Shard> shards_;
  std::unique_ptr<MailboxHub> hub_;
  std::string scratch_;
};

}  // namespace

std::unique_ptr<World> make_uring_world(std::uint32_t loop_count) {
  return std::make_unique<UringWorld>(loop_count);
}

}  // namespace drave::io::test
