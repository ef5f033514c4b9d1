// What the disk takes for a durable write: 4 KiB overwrites with O_DIRECT and O_DSYNC of a file
// that is there, one at a time.
//
//   disk-probe DIRECTORY [SECONDS] [SIZE]     prints one JSON object
#include <fcntl.h>
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

std::int64_t now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "disk-probe: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) fail("DIRECTORY [SECONDS] [SIZE]");
  const std::string path = std::string(argv[1]) + "/disk-probe.bin";
  const double seconds = argc > 2 ? std::atof(argv[2]) : 3;
  const std::size_t size = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : kAlignment;
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

  drave::Histogram latency;
  const std::int64_t end = now_ns() + static_cast<std::int64_t>(seconds * 1e9);
  for (std::size_t at = 0; now_ns() < end; at = at + 2 * size <= kFileSize ? at + size : 0) {
    const std::int64_t began = now_ns();
    if (pwrite(fd, block.get(), size, static_cast<off_t>(at)) < 0) fail("write");
    latency.record(now_ns() - began);
  }
  close(fd);
  unlink(path.c_str());
  std::printf("{\"size\":%zu,\"writes\":%llu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f}\n",
              size, static_cast<unsigned long long>(latency.count()),
              static_cast<double>(latency.percentile(.5)) / 1e3,
              static_cast<double>(latency.percentile(.99)) / 1e3,
              static_cast<double>(latency.percentile(.999)) / 1e3);
}
