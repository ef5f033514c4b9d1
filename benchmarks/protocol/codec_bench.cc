// Reading, writing and measuring the messages of the hot path.

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "protocol/messages/fetch.h"
#include "protocol/messages/metadata.h"
#include "protocol/messages/produce.h"
#include "protocol/wire.h"

namespace drave::protocol {
namespace {

// What the messages' views point to.
struct Content {
  std::vector<std::uint8_t> records = std::vector<std::uint8_t>(1100, 7);
  std::vector<std::string> topics;

  Content() {
    for (int i = 0; i < 1000; ++i) topics.push_back("topic-" + std::to_string(i));
  }
};
const Content& content() {
  static const Content made;
  return made;
}

ProduceRequest produce(std::size_t partitions) {
  ProduceRequest request;
  request.acks = -1;
  request.timeout_ms = 30000;
  request.topic_data.resize(1);
  request.topic_data[0].topic_id = {1, 2};
  auto& data = request.topic_data[0].partition_data;
  data.resize(partitions);
  for (std::size_t i = 0; i < partitions; ++i) {
    data[i].index = static_cast<std::int32_t>(i);
    data[i].records = ByteView(content().records);
  }
  return request;
}

FetchRequest fetch_request(std::size_t partitions) {
  FetchRequest request;
  request.topics.resize(1);
  request.topics[0].topic_id = {1, 2};
  request.topics[0].partitions.resize(partitions);
  return request;
}

FetchResponse fetch_response(std::size_t partitions) {
  FetchResponse response;
  response.responses.resize(1);
  response.responses[0].topic_id = {1, 2};
  response.responses[0].partitions.resize(partitions);
  for (auto& partition : response.responses[0].partitions) {
    partition.aborted_transactions.reset();
    partition.records = ByteView(content().records);
  }
  return response;
}

MetadataResponse metadata(std::size_t topics) {
  MetadataResponse response;
  response.brokers.resize(3);
  response.topics.resize(topics);
  for (std::size_t i = 0; i < topics; ++i) {
    response.topics[i].name = content().topics[i % content().topics.size()];
    response.topics[i].topic_id = {1, i};
    response.topics[i].partitions.resize(6);
    for (auto& partition : response.topics[i].partitions) {
      partition.replica_nodes = {1, 2, 3};
      partition.isr_nodes = {1, 2, 3};
    }
  }
  return response;
}

template <class M>
void decode_it(benchmark::State& state, const M& message) {
  Writer out;
  if (!encode(out, message, M::kVersionMax)) return state.SkipWithError("encode");
  M read;
  for (auto _ : state) {
    Reader in(out.own());
    if (!decode(in, read, M::kVersionMax)) return state.SkipWithError("decode");
    benchmark::DoNotOptimize(read);
  }
  state.counters["message_bytes"] = static_cast<double>(out.size());
}

template <class M>
void encode_it(benchmark::State& state, const M& message, bool gather = false) {
  Writer out;
  if (gather) out.gather();
  for (auto _ : state) {
    out.clear();
    if (!encode(out, message, M::kVersionMax)) return state.SkipWithError("encode");
    benchmark::DoNotOptimize(out.own().data());
  }
  state.counters["message_bytes"] = static_cast<double>(out.size());
}

std::size_t count(const benchmark::State& state) {
  return static_cast<std::size_t>(state.range());
}

void produce_decode(benchmark::State& state) {
  decode_it(state, produce(count(state)));
}
void fetch_request_decode(benchmark::State& state) {
  decode_it(state, fetch_request(count(state)));
}
void fetch_response_encode(benchmark::State& state) {
  encode_it(state, fetch_response(count(state)));
}
void fetch_response_encode_gathered(benchmark::State& state) {
  encode_it(state, fetch_response(count(state)), true);
}
void metadata_response_encode(benchmark::State& state) {
  encode_it(state, metadata(count(state)));
}
void metadata_response_decode(benchmark::State& state) {
  decode_it(state, metadata(count(state)));
}
void metadata_response_size(benchmark::State& state) {
  const MetadataResponse message = metadata(count(state));
  for (auto _ : state)
    benchmark::DoNotOptimize(encoded_size(message, MetadataResponse::kVersionMax));
}

BENCHMARK(produce_decode)->ArgName("partitions")->Arg(1)->Arg(100);
BENCHMARK(fetch_request_decode)->ArgName("partitions")->Arg(1)->Arg(100);
BENCHMARK(fetch_response_encode)->ArgName("partitions")->Arg(1)->Arg(100);
BENCHMARK(fetch_response_encode_gathered)->ArgName("partitions")->Arg(1)->Arg(100);
BENCHMARK(metadata_response_encode)->ArgName("topics")->Arg(1)->Arg(1000);
BENCHMARK(metadata_response_decode)->ArgName("topics")->Arg(1)->Arg(1000);
BENCHMARK(metadata_response_size)->ArgName("topics")->Arg(1)->Arg(1000);

}  // namespace
}  // namespace drave::protocol
