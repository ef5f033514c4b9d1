// What the disk takes for a durable write: 4 KiB overwrites with O_DIRECT and O_DSYNC of a file
// that is there, one at a time; with RATE so many a second, one after the other without it. A disk
// and a kernel that sleep in between take longer, and a file system may have to write the file's
// time of modification, too, which changes only so often.
//
//   disk-probe DIRECTORY [SECONDS] [SIZE] [RATE]     prints one JSON object
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "base/histogram.h"

namespace {

constexpr std::size_t kFileSize = 64 << 20;
constexpr std::size_t kAlignment = 4096;
// Of a wait, the end is spent awake: a sleep ends late.
constexpr std::int64_t kSpinNs = 50'000;

std::int64_t now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "disk-probe: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

void wait_until(std::int64_t moment) {
  const std::int64_t sleep = moment - now_ns() - kSpinNs;
  if (sleep > 0) {
    const timespec span{.tv_sec = sleep / 1'000'000'000, .tv_nsec = sleep % 1'000'000'000};
    ppoll(nullptr, 0, &span, nullptr);
  }
  while (now_ns() < moment) continue;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) fail("DIRECTORY [SECONDS] [SIZE] [RATE]");
  const std::string path = std::string(argv[1]) + "/disk-probe.bin";
  const double seconds = argc > 2 ? std::atof(argv[2]) : 3;
  const std::size_t size = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : kAlignment;
  const double rate = argc > 4 ? std::atof(argv[4]) : 0;
  std::unique_ptr<char, decltype(&std::free)> block(
      static_cast<char*>(std::aligned_alloc(kAlignment, 1 << 20)), &std::free);
  std::memset(block.get(), 1, 1 << 20);
  int fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
  if (fd < 0) fail("open");
  for (std::size_t at = 0; at < kFileSize; at += 1 << 20)
    if (pwrite(fd, block.get(), 1 << 20, static_cast<off_t>(at)) < 0) fail("write");
  fsync(fd);
  close(fd);
  fd = open(path.c_str(), O_WRONLY | O_DIRECT | O_DSYNC | O_CLOEXEC);
  if (fd < 0) fail("open with O_DSYNC");

  prctl(PR_SET_TIMERSLACK, 1);
  drave::Histogram latency;
  std::int64_t began = now_ns();
  const std::int64_t end = began + static_cast<std::int64_t>(seconds * 1e9);
  for (std::size_t at = 0; now_ns() < end; at = at + 2 * size <= kFileSize ? at + size : 0) {
    if (rate > 0) wait_until(began + static_cast<std::int64_t>(1e9 / rate));
    began = now_ns();
    if (pwrite(fd, block.get(), size, static_cast<off_t>(at)) < 0) fail("write");
    latency.record(now_ns() - began);
  }
  close(fd);
  unlink(path.c_str());
  std::printf(
      "{\"size\":%zu,\"rate\":%.0f,\"writes\":%llu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%."
      "1f}\n",
      size, rate, static_cast<unsigned long long>(latency.count()),
      static_cast<double>(latency.percentile(.5)) / 1e3,
      static_cast<double>(latency.percentile(.99)) / 1e3,
      static_cast<double>(latency.percentile(.999)) / 1e3);
}
