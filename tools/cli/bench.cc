// drave bench produce | consume | latency (quorum: bench_quorum.cc).

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "protocol/messages/create_topics.h"
#include "tools/bench/workload.h"
#include "tools/cli/rdkafka.h"
#include "tools/cli/topic_names.h"
#include "tools/client/offsets.h"

namespace drave::cli {
namespace {

using bench::Mode;
using bench::Plan;

constexpr double kNsPerSecond = 1e9;

struct BenchOptions {
  Plan plan;
  std::int32_t partitions = 6;
  std::string codec = "none";
  std::string acks = "all";
};

// Whether the leaders of all partitions answer for them.
bool is_served(client::Client& client,
               const protocol::MetadataResponse::MetadataResponseTopic& topic) {
  std::vector<PartitionIndex> partitions;
  for (const auto& one : topic.partitions) partitions.push_back(one.partition_index);
  const auto offsets = client::list_offsets(client, topic, partitions, client::kLatest, false);
  return offsets && std::ranges::all_of(*offsets, [](const auto& one) {
           return one.second.error == protocol::ErrorCode::none;
         });
}

// The topic, made if it is not there.
Outcome<MetadataAnswer> prepare_topic(Context& context, client::Client& client,
                                      const BenchOptions& options) {
  Outcome<MetadataAnswer> found = metadata_of(client, options.plan.topic);
  if (found || found.error().code != ExitCode::not_found || options.plan.mode == Mode::consume)
    return found;
  protocol::CreateTopicsRequest request;
  request.timeout_ms = context.timeout_ms;
  auto& topic = request.topics.emplace_back();
  topic.name = options.plan.topic;
  topic.num_partitions = options.partitions;
  topic.replication_factor = -1;
  TRY(auto answer, client.call<protocol::CreateTopicsResponse>(request));
  for (const auto& one : answer.message.topics) {
    const auto code = static_cast<protocol::ErrorCode>(one.error_code);
    if (code != protocol::ErrorCode::none)
      return std::unexpected(kafka_failure(code, "topic " + options.plan.topic));
  }
  // Kafka's leaders begin to serve a moment after it has answered.
  constexpr int kAttempts = 100;
  constexpr int kWaitMs = 100;
  for (int i = 0; i < kAttempts; ++i) {
    found = metadata_of(client, options.plan.topic);
    if (found && is_served(client, found->message.topics.front())) return found;
    ::poll(nullptr, 0, kWaitMs);
  }
  return fail(ExitCode::timed_out, "topic " + options.plan.topic + " does not get leaders");
}

Outcome<std::vector<bench::Share>> shares_of(client::Client& client, const Plan& plan,
                                             const MetadataAnswer& metadata) {
  const auto& topic = metadata.message.topics.front();
  std::vector<PartitionIndex> partitions;
  for (const auto& one : topic.partitions) partitions.push_back(one.partition_index);
  const TimestampMs from = plan.mode == Mode::consume ? client::kEarliest : client::kLatest;
  TRY(const auto start, client::list_offsets(client, topic, partitions, from, false));
  std::map<NodeId, bench::Share> by_node;
  for (const auto& one : topic.partitions) {
    if (one.leader_id < 0) continue;
    bench::Share& share = by_node[one.leader_id];
    TRY(share.endpoint, client.endpoint_of(one.leader_id));
    share.partitions.push_back(one.partition_index);
    share.start[one.partition_index] = std::max<Offset>(start.at(one.partition_index).offset, 0);
  }
  std::vector<bench::Share> shares;
  for (auto& [node, share] : by_node) shares.push_back(std::move(share));
  if (shares.empty())
    return std::unexpected(kafka_failure(protocol::ErrorCode::leader_not_available, plan.topic));
  return shares;
}

double microseconds(const Histogram& histogram, double fraction) {
  return static_cast<double>(histogram.percentile(fraction)) / 1e3;
}

void print_progress(double second, double span, const bench::Counts& now,
                    const bench::Counts& before, const Histogram& latency) {
  const auto per_second = [&](std::uint64_t a, std::uint64_t b) {
    return static_cast<double>(a - b) / span;
  };
  const bool is_terminal = ::isatty(STDERR_FILENO) != 0;
  fmt::print(stderr,
             "{}{:5.0f} s  {:10.0f} records/s  {:8.1f} MB/s  p50 {:.0f} us  p99 {:.0f} us{}",
             is_terminal ? "\r" : "", second, per_second(now.records, before.records),
             per_second(now.bytes, before.bytes) / 1e6, microseconds(latency, .5),
             microseconds(latency, .99), is_terminal ? "   " : "\n");
  std::fflush(stderr);
}

// Warms, measures, and waits for what is still under way. Returns the seconds that were measured.
Outcome<double> drive(const Plan& plan, bench::Engine& engine, bench::BenchWorkload& workload) {
  const std::int64_t start = bench::now_ns();
  const auto begin = start + static_cast<std::int64_t>(plan.warm_seconds * kNsPerSecond);
  const auto end = begin + static_cast<std::int64_t>(plan.seconds * kNsPerSecond);
  bench::Measured& measured = workload.measured();
  bool warming = true;
  std::int64_t shown_at = start;
  bench::Counts shown;
  const Histogram& latency =
      plan.mode == Mode::latency ? measured.end_to_end_ns : measured.latency_ns;
  while (!interrupted()) {
    const std::int64_t now = bench::now_ns();
    if (now >= end) break;
    if (warming && now >= begin) {
      measured.reset();
      shown = {};
      warming = false;
    }
    if (now - shown_at >= static_cast<std::int64_t>(kNsPerSecond)) {
      print_progress(static_cast<double>(now - start) / kNsPerSecond,
                     static_cast<double>(now - shown_at) / kNsPerSecond, measured.counts, shown,
                     latency);
      shown_at = now;
      shown = measured.counts;
    }
    TRY_VOID(engine.round(workload, end));
  }
  const double seconds =
      static_cast<double>(bench::now_ns() - (warming ? start : begin)) / kNsPerSecond;
  if (::isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\n");
  workload.stop();
  // Whatever was sent late or is slow to come back belongs to the latencies as well.
  const std::int64_t drained = bench::now_ns() + static_cast<std::int64_t>(5 * kNsPerSecond);
  while (engine.outstanding() > 0 && bench::now_ns() < drained && !interrupted())
    TRY_VOID(engine.round(workload, drained));
  return seconds;
}

Json percentiles(const Histogram& histogram) {
  return {{"count", histogram.count()},
          {"p50", microseconds(histogram, .5)},
          {"p90", microseconds(histogram, .9)},
          {"p99", microseconds(histogram, .99)},
          {"p99.9", microseconds(histogram, .999)},
          {"p99.99", microseconds(histogram, .9999)},
          {"max", static_cast<double>(histogram.max()) / 1e3}};
}

void report(const Context& context, const Plan& plan, const bench::Counts& counts, double seconds,
            bench::Measured& measured) {
  const auto per_second = [&](std::uint64_t value) { return static_cast<double>(value) / seconds; };
  static constexpr const char* kNames[] = {"produce", "consume", "latency"};
  const char* name = kNames[static_cast<int>(plan.mode)];
  const bool end_to_end = plan.mode == Mode::latency;
  if (context.json()) {
    Json document{{"bench", name},
                  {"topic", plan.topic},
                  {"openLoop", plan.rate > 0},
                  {"seconds", seconds},
                  {"requests", counts.requests},
                  {"records", counts.records},
                  {"bytes", counts.bytes},
                  {"errors", counts.errors},
                  {"requestsPerSecond", per_second(counts.requests)},
                  {"recordsPerSecond", per_second(counts.records)},
                  {"megabytesPerSecond", per_second(counts.bytes) / 1e6},
                  {"latencyMicroseconds", percentiles(measured.latency_ns)}};
    if (end_to_end) document["endToEndMicroseconds"] = percentiles(measured.end_to_end_ns);
    return print_json(document);
  }
  fmt::print("{} {}: {:.1f} s, {:.0f} requests/s, {:.0f} records/s, {:.1f} MB/s, {} errors\n", name,
             plan.topic, seconds, per_second(counts.requests), per_second(counts.records),
             per_second(counts.bytes) / 1e6, counts.errors);
  Table table({"MICROSECONDS", "P50", "P90", "P99", "P99.9", "P99.99", "MAX"});
  const auto add = [&](const char* what, const Histogram& histogram) {
    std::vector<std::string> row{what};
    for (const double fraction : {.5, .9, .99, .999, .9999})
      row.push_back(fmt::format("{:.0f}", microseconds(histogram, fraction)));
    row.push_back(fmt::format("{:.0f}", static_cast<double>(histogram.max()) / 1e3));
    table.add(std::move(row));
  };
  add(plan.mode == Mode::consume ? "fetch" : "acknowledged", measured.latency_ns);
  if (end_to_end) add("end to end", measured.end_to_end_ns);
  fmt::print("{}", table.to_string());
}

Outcome<> run_bench(Context& context, const BenchOptions& options) {
  BenchOptions chosen = options;
  Plan& plan = chosen.plan;
  plan.acks = options.acks == "1" ? 1 : -1;
  plan.codec = protocol::codec_from_name(options.codec).value_or(protocol::Codec::none);
  if (plan.mode == Mode::latency && plan.size < 8)
    return fail(ExitCode::usage, "--size must be at least 8: the stamp needs as much");
  catch_interrupts();
  TRY(auto client, context.connect());
  TRY(const MetadataAnswer metadata, prepare_topic(context, client, chosen));
  TRY(auto shares, shares_of(client, plan, metadata));
  // The last versions that name their topics.
  constexpr std::int16_t kNamedMax = 12;
  plan.produce_version =
      std::min(client.version_of(protocol::ApiKey::produce).value_or(9), kNamedMax);
  plan.fetch_version = std::min(client.version_of(protocol::ApiKey::fetch).value_or(4), kNamedMax);
  TRY(auto engine, bench::Engine::create());
  TRY(auto workload, bench::BenchWorkload::create(*engine, plan, std::move(shares),
                                                  client::Milliseconds(context.timeout_ms)));
  TRY(const double seconds, drive(plan, *engine, *workload));
  const bench::Counts counts = workload->measured().counts;
  report(context, plan, counts, seconds, workload->measured());
  if (counts.errors > 0) {
    return std::unexpected(kafka_failure(static_cast<protocol::ErrorCode>(counts.last_error),
                                         fmt::format("{} requests failed", counts.errors)));
  }
  return {};
}

void declare(CLI::App& verb, BenchOptions& options) {
  Plan& plan = options.plan;
  verb.add_option("-t,--topic", plan.topic, "Made if it is not there")->capture_default_str();
  verb.add_option("-c,--connections", plan.connections)
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  verb.add_option("--seconds", plan.seconds, "How long to measure")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb.add_option("--warm", plan.warm_seconds, "Seconds before that, not counted")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  verb.add_option("-R,--rate", plan.rate,
                  "Requests per second at fixed moments (open loop); 0: as fast as answers come")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  if (plan.mode == Mode::consume) {
    verb.add_option("--bytes", plan.fetch_bytes, "Bytes per fetch")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    return;
  }
  verb.add_option("-p,--partitions", options.partitions, "Of a topic that is made")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb.add_option("-i,--in-flight", plan.in_flight,
                  "Requests under way per connection, closed loop")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  verb.add_option("--records", plan.records, "Records per request")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  verb.add_option("--size", plan.size, "Bytes per value")
      ->check(CLI::Range(0, 16 * 1024 * 1024))
      ->capture_default_str();
  verb.add_option("--acks", options.acks)
      ->check(CLI::IsMember({"all", "1"}))
      ->capture_default_str();
  if (plan.mode == Mode::produce) {
    verb.add_option("-z,--codec", options.codec)
        ->check(CLI::IsMember({"none", "gzip", "snappy", "lz4", "zstd"}))
        ->capture_default_str();
  }
}

}  // namespace

void add_bench(CLI::App& app, Context& context) {
  CLI::App& bench = *add_noun(app, "bench", "Load and latency, counted from intended moments");
  const auto add = [&](Mode mode, const char* name, const char* description) {
    add_verb<BenchOptions>(bench, context, name, description, run_bench,
                           [mode](CLI::App& verb, BenchOptions& options) {
                             options.plan.mode = mode;
                             if (mode == Mode::latency) {
                               options.plan.rate = 500;
                               options.plan.connections = 1;
                             }
                             declare(verb, options);
                           });
  };
  add(Mode::produce, "produce", "Pre-encoded requests to all partitions");
  add(Mode::consume, "consume", "Fetches of what is there, over and over");
  add(Mode::latency, "latency", "Stamped records, read back: from sending to reading");
  add_bench_quorum(bench, context);
}

}  // namespace drave::cli
