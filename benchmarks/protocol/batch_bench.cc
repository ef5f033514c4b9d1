// CRC-32C, varints, and the validation of produced batches.

#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "base/crc32c.h"
#include "base/random.h"
#include "protocol/batch_builder.h"
#include "protocol/batch_validator.h"
#include "protocol/record.h"
#include "protocol/varint.h"

namespace drave::protocol {
namespace {

using Bytes = std::vector<std::uint8_t>;
constexpr TimestampMs kNow = 1'700'000'000'000;
constexpr int kCodecArgument = 0;

Bytes batch_of(int count, std::size_t value_size, Codec codec) {
  Random random(1);
  BatchBuilder builder({.codec = codec});
  Bytes value(value_size);
  for (int i = 0; i < count; ++i) {
    // Half of a value is noise, as compression finds it in real records.
    for (std::size_t at = 0; at < value.size(); ++at) {
      value[at] = static_cast<std::uint8_t>(at % 2 == 0 ? random.next() : 'v');
    }
    builder.append(kNow + i, std::nullopt, value);
  }
  return std::move(builder).finish();
}

ValidationOptions options_now() {
  ValidationOptions options;
  options.now_ms = kNow;
  options.batch_bytes_max = 1UL << 30;
  return options;
}

void count_records(benchmark::State& state, int records, std::size_t bytes) {
  state.SetItemsProcessed(state.iterations() * records);
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes));
}

void crc(benchmark::State& state) {
  const Bytes bytes(static_cast<std::size_t>(state.range(0)), 7);
  for (auto _ : state) benchmark::DoNotOptimize(crc32c(bytes));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(crc)->ArgName("bytes")->Arg(100)->Arg(1024)->Arg(16384)->Arg(1 << 20);

void varint_read(benchmark::State& state) {
  const std::int32_t bound = std::int32_t{1} << state.range(0);
  Random random(2);
  constexpr int kCount = 4096;
  Bytes bytes(kCount * kVarintSizeMax);
  std::uint8_t* end = bytes.data();
  for (int i = 0; i < kCount; ++i) {
    end = write_varint(end, static_cast<std::int32_t>(random.between(-bound, bound)));
  }
  for (auto _ : state) {
    std::int32_t sum = 0;
    VarintFault fault = VarintFault::none;
    for (const std::uint8_t* at = bytes.data(); at != end;) {
      std::int32_t value = 0;
      at = read_varint(at, end, value, fault);
      sum ^= value;
    }
    benchmark::DoNotOptimize(sum);
  }
  state.SetItemsProcessed(state.iterations() * kCount);
}
BENCHMARK(varint_read)->ArgName("bits")->Arg(5)->Arg(12)->Arg(30);

void record_walk(benchmark::State& state) {
  const int count = static_cast<int>(state.range(0));
  const Bytes bytes = batch_of(count, static_cast<std::size_t>(state.range(1)), Codec::none);
  const auto batch = parse_batch(bytes);
  for (auto _ : state) {
    RecordIterator records(batch->records(), batch->record_count());
    std::int64_t sum = 0;
    for (RecordView record; records.next(record);) sum += record.offset_delta;
    benchmark::DoNotOptimize(sum);
  }
  count_records(state, count, bytes.size());
}
BENCHMARK(record_walk)->ArgNames({"records", "value"})->Args({1000, 100})->Args({1000, 10});

void validate(benchmark::State& state) {
  const auto codec = static_cast<Codec>(state.range(kCodecArgument));
  const int count = static_cast<int>(state.range(1));
  const Bytes bytes = batch_of(count, static_cast<std::size_t>(state.range(2)), codec);
  const ValidationOptions options = options_now();
  DecompressorPool pool;
  for (auto _ : state) {
    const Verdict verdict = validate_produced(bytes, options, &pool);
    if (verdict.error != ErrorCode::none) state.SkipWithError("refused");
    benchmark::DoNotOptimize(verdict.batch.max_timestamp);
  }
  count_records(state, count, bytes.size());
  state.SetLabel(std::string(to_string(codec)));
}
BENCHMARK(validate)
    ->ArgNames({"codec", "records", "value"})
    ->Args({0, 1, 1024})
    ->Args({0, 1000, 100})
    ->Args({0, 10000, 100})
    ->Args({1, 1000, 100})
    ->Args({2, 1000, 100})
    ->Args({3, 1000, 100})
    ->Args({4, 1000, 100});

void build(benchmark::State& state) {
  const Bytes value(100, 'v');
  for (auto _ : state) {
    BatchBuilder builder({});
    for (int i = 0; i < 1000; ++i) builder.append(kNow, std::nullopt, value);
    benchmark::DoNotOptimize(std::move(builder).finish());
  }
  state.SetItemsProcessed(state.iterations() * 1000);
}
BENCHMARK(build);

}  // namespace
}  // namespace drave::protocol
