// An append to the journal until it is durable, one at a time, beside the raw flushed write of the
// same size that it cannot be quicker than. Runs in TMPDIR (default /var/tmp).

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "io/uring/uring_backend.h"
#include "segments/journal.h"

namespace drave::segments {
namespace {

struct Directory {
  Directory() {
    const char* base = std::getenv("TMPDIR");
    path = std::string(base != nullptr ? base : "/var/tmp") + "/drave-bench-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) fatal("no temporary directory");
  }
  ~Directory() { std::filesystem::remove_all(path); }
  std::string path;
};

struct Client final : JournalClient {
  void on_journal_durable(JournalSequence sequence) override { durable = sequence; }
  void on_journal_failed(const Error& error) override { fatal(error.message()); }
  JournalSequence durable = 0;
};

io::Task<void> make(io::Loop& loop, std::string path, std::unique_ptr<Journal>& made) {
  auto created = co_await Journal::create(loop, std::move(path), "journal-0", {});
  if (!created) fatal(created.error().message());
  made = std::move(*created);
}

io::Task<void> end(Journal& journal, bool& ended) {
  [[maybe_unused]] auto closed = co_await journal.close();
  ended = true;
}

void journal_append(benchmark::State& state) {
  Directory directory;
  auto backend = io::make_uring_backend();
  if (!backend) fatal(backend.error().message());
  io::Loop loop(**backend, 0);
  Client client;
  std::unique_ptr<Journal> journal;
  loop.start(make(loop, directory.path, journal));
  while (journal == nullptr) loop.pass(loop.now() + seconds(1));
  const std::vector<std::uint8_t> payload(static_cast<std::size_t>(state.range(0)), 'x');
  Offset offset = 0;
  for (auto _ : state) {
    const JournalSequence sequence = journal->append(
        client, {JournalEntryType::append, {{1, 2}, 3}, offset, offset + 1, payload});
    ++offset;
    while (client.durable < sequence) loop.pass(loop.now() + seconds(1));
    journal->release(client, sequence);
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
  state.counters["recycled"] = static_cast<double>(journal->counters().files_recycled);
  journal->forget(client);
  bool ended = false;
  loop.start(end(*journal, ended));
  while (!ended) loop.pass(loop.now() + seconds(1));
}
BENCHMARK(journal_append)->Arg(4096)->Arg(64 * 1024)->Arg(1024 * 1024)->UseRealTime();

void raw_flushed_write(benchmark::State& state) {
  constexpr std::size_t kFile = std::size_t{64} << 20;
  Directory directory;
  const std::string path = directory.path + "/raw";
  const auto size = static_cast<std::size_t>(state.range(0));
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_DIRECT | O_DSYNC, 0600);
  void* memory = std::aligned_alloc(4096, std::size_t{1} << 20);
  if (file < 0 || memory == nullptr) fatal("cannot open a file with O_DIRECT");
  std::memset(memory, 0, std::size_t{1} << 20);
  for (std::size_t at = 0; at < kFile; at += std::size_t{1} << 20)
    if (::pwrite(file, memory, std::size_t{1} << 20, static_cast<off_t>(at)) < 0) fatal("pwrite");
  std::size_t at = 0;
  for (auto _ : state) {
    if (at + size > kFile) at = 0;
    if (::pwrite(file, memory, size, static_cast<off_t>(at)) < 0) fatal("pwrite");
    at += size;
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
  ::close(file);
  std::free(memory);
}
BENCHMARK(raw_flushed_write)->Arg(4096)->Arg(64 * 1024)->Arg(1024 * 1024)->UseRealTime();

}  // namespace
}  // namespace drave::segments
