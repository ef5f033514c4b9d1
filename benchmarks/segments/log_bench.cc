// A partition log without its journal: what an append costs, what moving the tail into segment
// files costs by O_DIRECT and through the page cache, what a lookup and a read cost. In a directory
// below TMPDIR (default /var/tmp).

#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "base/random.h"
#include "io/uring/uring_backend.h"
#include "protocol/batch_builder.h"
#include "segments/file_cache.h"
#include "segments/offset_index.h"
#include "segments/partition_log_impl.h"
#include "segments/tail.h"

namespace drave::segments {
namespace {

double cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds_of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds_of(used.ru_utime) + seconds_of(used.ru_stime);
}

struct Bench {
  Bench(bool direct, std::int64_t tail_bytes)
      : path(make_path()),
        backend(*io::make_uring_backend({.receive_buffers = 4})),
        loop(*backend, 0),
        tails(loop, tail_bytes),
        files(loop, 64) {
    LogServices services;
    services.loop = &loop;
    services.tails = &tails;
    services.files = &files;
    services.direct = direct;
    RecoveryHints hints;
    hints.clean = true;
    log = std::move(
        *run(PartitionLogImpl::open(services, path, "t", {{1, 2}, 0}, LogConfig{}, hints)));
  }
  ~Bench() {
    (void)run(log->close());
    log.reset();
    std::filesystem::remove_all(path);
  }
  static std::string make_path() {
    const char* base = std::getenv("TMPDIR");
    std::string path = std::string(base != nullptr ? base : "/var/tmp") + "/drave-bench-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) std::abort();
    return path;
  }
  template <class T>
  static io::Task<void> keep(io::Task<T> task, std::optional<T>& value) {
    value.emplace(co_await std::move(task));
  }
  template <class T>
  T run(io::Task<T> task) {
    std::optional<T> value;
    loop.start(keep(std::move(task), value));
    while (!value) loop.pass(loop.now() + microseconds(100));
    return std::move(*value);
  }

  std::string path;
  std::unique_ptr<io::Backend> backend;
  io::Loop loop;
  TailBudget tails;
  FileCache files;
  std::unique_ptr<PartitionLogImpl> log;
};

std::vector<std::uint8_t> batch_of(std::size_t bytes) {
  protocol::BatchBuilder builder({});
  const std::vector<std::uint8_t> value(bytes, 'v');
  builder.append(1000, std::nullopt, ByteView(value));
  return std::move(builder).finish();
}

// 100 KiB batches appended and written out in pieces of 512 KiB, a sync for every 64 MiB.
void write_out(benchmark::State& state) {
  Bench bench(state.range(0) != 0, 64 * kMiB);
  std::vector<std::uint8_t> batch = batch_of(100 * kKiB);
  std::int64_t bytes = 0;
  std::int64_t unsynced = 0;
  const double before = cpu_seconds();
  for (auto _ : state) {
    if (!bench.log->append_as_leader(batch, 0, 0)) std::abort();
    bytes += static_cast<std::int64_t>(batch.size());
    unsynced += static_cast<std::int64_t>(batch.size());
    if (bench.log->unwritten_bytes() >= 512 * kKiB) {
      if (!bench.run(bench.log->write_tail_piece(512 * kKiB, true))) std::abort();
    }
    if (unsynced >= 64 * kMiB) {
      if (!bench.run(bench.log->sync_segments())) std::abort();
      unsynced = 0;
    }
  }
  state.SetBytesProcessed(bytes);
  state.counters["cpu_s_per_GB"] = (cpu_seconds() - before) / (static_cast<double>(bytes) * 1e-9);
}
BENCHMARK(write_out)->ArgName("direct")->Arg(1)->Arg(0)->UseRealTime();

// The append alone: one copy into the tail, marks, indexes, producer state.
void append(benchmark::State& state) {
  Bench bench(true, 256 * kMiB);
  std::vector<std::uint8_t> batch = batch_of(static_cast<std::size_t>(state.range(0)));
  std::int64_t bytes = 0;
  for (auto _ : state) {
    if (bench.log->append_as_leader(batch, 0, 0)) {
      bytes += static_cast<std::int64_t>(batch.size());
      continue;
    }
    state.PauseTiming();
    if (!bench.run(bench.log->flush())) std::abort();
    state.ResumeTiming();
  }
  state.SetBytesProcessed(bytes);
}
BENCHMARK(append)->Arg(100)->Arg(1024)->Arg(100 * 1024);

void read_tail(benchmark::State& state) {
  Bench bench(true, 64 * kMiB);
  std::vector<std::uint8_t> batch = batch_of(1024);
  for (int i = 0; i < 20'000; ++i) (void)bench.log->append_as_leader(batch, 0, 0);
  Random random(1);
  std::int64_t bytes = 0;
  for (auto _ : state) {
    ReadRequest request;
    request.offset = static_cast<Offset>(random.below(20'000));
    request.bytes_max = static_cast<std::size_t>(state.range(0));
    const auto result = bench.log->try_read(request);
    bytes += static_cast<std::int64_t>((*result)->size);
  }
  state.SetBytesProcessed(bytes);
}
BENCHMARK(read_tail)->Arg(16 * 1024)->Arg(1024 * 1024);

// From the page cache, every CRC checked.
void read_cached(benchmark::State& state) {
  Bench bench(false, 64 * kMiB);
  std::vector<std::uint8_t> batch = batch_of(1024);
  for (int i = 0; i < 20'000; ++i) (void)bench.log->append_as_leader(batch, 0, 0);
  if (!bench.run(bench.log->flush())) std::abort();
  bench.tails.make_room(64 * kMiB);
  Random random(1);
  std::int64_t bytes = 0;
  for (auto _ : state) {
    ReadRequest request;
    request.offset = static_cast<Offset>(random.below(20'000));
    request.bytes_max = static_cast<std::size_t>(state.range(0));
    request.at_least_one_batch = true;
    auto result = bench.log->try_read(request);
    if (!*result) *result = std::move(*bench.run(bench.log->read(request)));
    bytes += static_cast<std::int64_t>((*result)->size);
  }
  state.SetBytesProcessed(bytes);
}
BENCHMARK(read_cached)->Arg(16 * 1024)->Arg(1024 * 1024);

void index_lookup(benchmark::State& state) {
  OffsetIndex index(0);
  for (int i = 1; i < 262'144; ++i) index.append(i * 40, static_cast<std::uint32_t>(i * 4096));
  Random random(1);
  for (auto _ : state) {
    benchmark::DoNotOptimize(index.lookup(static_cast<Offset>(random.below(40 * 262'144))));
  }
}
BENCHMARK(index_lookup);

}  // namespace
}  // namespace drave::segments
