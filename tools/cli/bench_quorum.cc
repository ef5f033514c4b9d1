// drave bench quorum: the replicated log by itself, as processes on this machine.

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "tools/cli/context.h"
#include "tools/raftlog/cluster.h"

namespace drave::cli {
namespace {

using raft_bench::Cluster;
using raft_bench::ClusterOptions;
using raft_bench::now_ns;
using raft_bench::pause_ms;

constexpr double kNsPerMs = 1e6;

struct QuorumOptions {
  std::string mode = "throughput";
  std::string directory;
  int nodes = 3;
  int groups = 1;
  std::size_t size = 16;
  std::uint32_t in_flight = 256;
  double seconds = 10;
  double warm_seconds = 2;
  std::uint64_t count = 1'000'000;
  int tries = 30;
  std::int64_t election_ms = 0;
  std::int64_t spin_us = 0;
};

// A new folder for this run in one that there is, removed with all that is in it.
class Folder {
 public:
  static Outcome<std::unique_ptr<Folder>> make(const std::string& parent) {
    std::error_code failed;
    if (!std::filesystem::is_directory(parent, failed))
      return fail(ExitCode::not_found, parent + " is no folder", "--dir names one that is there.");
    std::string pattern = parent + "/quorum-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr)
      return fail(ExitCode::failed, "no folder can be made in " + parent);
    return std::make_unique<Folder>(pattern);
  }
  explicit Folder(std::string path) : path_(std::move(path)) {}
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Outcome<ClusterOptions> cluster_options(const QuorumOptions& options, const Folder& folder) {
  ClusterOptions cluster;
  std::error_code failed;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failed);
  cluster.program = self.parent_path() / "drave-raftlog";
  if (failed || !std::filesystem::exists(cluster.program))
    return fail(ExitCode::not_found, cluster.program + " is not there",
                "It is built with drave and stands beside it");
  cluster.directory = folder.path();
  cluster.nodes = options.nodes;
  cluster.groups = options.groups;
  cluster.spin_us = options.spin_us;
  if (options.election_ms > 0)
    cluster.election_ms = cluster.fetch_ms = cluster.request_ms = options.election_ms;
  return cluster;
}

// What all nodes measured together.
struct Total {
  double seconds = 0;
  double cpu_seconds = 0;
  std::uint64_t commits = 0;
  std::uint64_t errors = 0;
  std::uint64_t max_ns = 0;
  Histogram latency_ns;

  void add(const Json& report) {
    seconds = std::max(seconds, report["seconds"].get<double>());
    cpu_seconds += report["cpu_s"].get<double>();
    commits += report["commits"].get<std::uint64_t>();
    errors += report["errors"].get<std::uint64_t>();
    max_ns = std::max(max_ns, report["max_ns"].get<std::uint64_t>());
    for (const Json& bucket : report["latency_ns"])
      latency_ns.record(bucket[0].get<std::int64_t>(), bucket[1].get<std::uint64_t>());
  }
  // A bucket's upper end may be above all that is in it.
  double us(double fraction) const {
    const auto ns = static_cast<std::uint64_t>(latency_ns.percentile(fraction));
    return static_cast<double>(std::min(ns, max_ns)) / 1e3;
  }
};

void print_total(const Context& context, const QuorumOptions& options, const Total& total) {
  const auto commits = static_cast<double>(total.commits);
  const double per_s = commits / total.seconds;
  const double cpu = commits > 0 ? total.cpu_seconds / commits * 1e3 : 0;
  if (context.json()) {
    return print_json({{"bench", "quorum"},
                       {"nodes", options.nodes},
                       {"groups", options.groups},
                       {"size", options.size},
                       {"in_flight", options.in_flight},
                       {"seconds", total.seconds},
                       {"commits", total.commits},
                       {"errors", total.errors},
                       {"commits_per_s", per_s},
                       {"p50_us", total.us(.5)},
                       {"p99_us", total.us(.99)},
                       {"p999_us", total.us(.999)},
                       {"max_us", static_cast<double>(total.max_ns) / 1e3},
                       {"cpu_s_per_1000", cpu}});
  }
  fmt::print(
      "{} nodes, {} groups, {} B, {} in flight: {:.0f} commits/s, p50 {:.0f} us, p99 {:.0f} "
      "us, p99.9 {:.0f} us, {:.4f} CPU s per 1000, {} errors\n",
      options.nodes, options.groups, options.size, options.in_flight, per_s, total.us(.5),
      total.us(.99), total.us(.999), cpu, total.errors);
}

Outcome<> measure_throughput(const Context& context, const QuorumOptions& options,
                             Cluster& cluster) {
  TRY_VOID(cluster.wait_for_leaders());
  TRY_VOID(
      cluster.ask_all({{"do", "load"}, {"size", options.size}, {"in_flight", options.in_flight}}));
  pause_ms(static_cast<std::int64_t>(options.warm_seconds * 1e3));
  TRY_VOID(cluster.ask_all({{"do", "measure"}}));
  pause_ms(static_cast<std::int64_t>(options.seconds * 1e3));
  TRY(const auto reports, cluster.ask_all({{"do", "report"}}));
  TRY_VOID(cluster.ask_all({{"do", "idle"}}));
  Total total;
  for (const Json& report : reports) total.add(report);
  print_total(context, options, total);
  TRY_VOID(cluster.wait_for_replicas());
  if (total.commits == 0) return fail(ExitCode::failed, "nothing was committed");
  if (total.errors > 0)
    return fail(ExitCode::failed, fmt::format("{} proposals failed", total.errors));
  return {};
}

// From the moment that the leader is stopped to the first commit through another node, and to its
// election.
struct Try {
  double commit_ms = 0;
  double election_ms = 0;
};

Outcome<Try> fail_over(const QuorumOptions& options, Cluster& cluster) {
  TRY(const std::size_t leader, cluster.wait_for_leaders());
  TRY_VOID(cluster.wait_for_replicas());
  for (std::size_t i = 0; i < cluster.size(); ++i)
    if (i != leader) TRY_VOID(cluster.node(i).send({{"do", "probe"}}));
  // Not in step with anything.
  pause_ms(100 + now_ns() / 1000 % 100);
  raft_bench::NodeProcess& victim = cluster.node(leader);
  const std::int64_t begun = now_ns();
  if (options.mode == "leave") {
    TRY_VOID(victim.send({{"do", "stop"}}));
  } else {
    victim.signal(options.mode == "sigkill" ? SIGKILL : SIGSTOP);
  }
  TRY(const auto answer, cluster.receive_any(leader, 60'000));
  const Json& committed = answer.second;
  const auto since = [&](const char* key) {
    return static_cast<double>(committed[key].get<std::int64_t>() - begun) / kNsPerMs;
  };
  const Try result{since("committed_ns"), since("led_ns")};
  for (std::size_t i = 0; i < cluster.size(); ++i) {
    if (i == leader) continue;
    TRY(Json said, cluster.node(i).ask({{"do", "cancel"}}));
    if (!said.contains("canceled")) TRY_VOID(cluster.node(i).receive());
  }
  if (options.mode == "sigstop") {
    victim.signal(SIGCONT);
  } else {
    if (options.mode == "sigkill") {
      victim.kill();
    } else {
      TRY_VOID(victim.wait());
    }
    TRY_VOID(victim.start());
  }
  return result;
}

double quantile(std::vector<double> sorted, double fraction) {
  std::ranges::sort(sorted);
  const auto last = static_cast<double>(sorted.size() - 1);
  return sorted[static_cast<std::size_t>(fraction * last + .5)];
}

Outcome<> measure_failover(const Context& context, const QuorumOptions& options, Cluster& cluster) {
  std::vector<double> commit_ms;
  std::vector<double> election_ms;
  for (int i = 0; i < options.tries; ++i) {
    TRY(const Try one, fail_over(options, cluster));
    commit_ms.push_back(one.commit_ms);
    election_ms.push_back(one.election_ms);
  }
  if (context.json()) {
    print_json({{"bench", options.mode},
                {"nodes", options.nodes},
                {"election_timeout_ms", options.election_ms},
                {"tries", options.tries},
                {"p50_ms", quantile(commit_ms, .5)},
                {"p99_ms", quantile(commit_ms, .99)},
                {"max_ms", quantile(commit_ms, 1)},
                {"election_p50_ms", quantile(election_ms, .5)},
                {"election_max_ms", quantile(election_ms, 1)},
                {"ms", commit_ms}});
    return {};
  }
  fmt::print(
      "{}, {} nodes, {} tries: to the next commit p50 {:.0f} ms, worst {:.0f} ms; to the "
      "election p50 {:.0f} ms\n",
      options.mode, options.nodes, options.tries, quantile(commit_ms, .5), quantile(commit_ms, 1),
      quantile(election_ms, .5));
  return {};
}

// Starts the node again; how long its log took to be opened and read. All entries must be there.
Outcome<double> reopen(const QuorumOptions& options, raft_bench::NodeProcess& node) {
  TRY_VOID(node.start());
  const auto delivered = node.ready()["groups"][0]["delivered"].get<std::uint64_t>();
  if (delivered != options.count)
    return fail(ExitCode::damaged, fmt::format("{} of {} entries are there after a restart",
                                               delivered, options.count));
  return static_cast<double>(node.ready()["open_us"].get<std::int64_t>()) / 1e3;
}

Outcome<> measure_recovery(const Context& context, const QuorumOptions& options, Cluster& cluster) {
  raft_bench::NodeProcess& node = cluster.node(0);
  TRY_VOID(cluster.wait_for_leaders());
  const std::int64_t begun = now_ns();
  TRY_VOID(node.ask({{"do", "load"},
                     {"size", options.size},
                     {"in_flight", options.in_flight},
                     {"count", options.count}}));
  while (true) {
    TRY(const Json status, node.ask({{"do", "status"}}));
    if (status["groups"][0]["high_watermark"].get<std::int64_t>() >=
        static_cast<std::int64_t>(options.count))
      break;
    pause_ms(2);
  }
  TRY_VOID(node.ask({{"do", "idle"}}));
  const double write_ms = static_cast<double>(now_ns() - begun) / kNsPerMs;
  node.kill();
  TRY(const double after_kill_ms, reopen(options, node));
  TRY_VOID(node.stop());
  TRY(const double after_stop_ms, reopen(options, node));
  if (context.json()) {
    print_json({{"bench", "recovery"},
                {"entries", options.count},
                {"size", options.size},
                {"write_ms", write_ms},
                {"open_after_stop_ms", after_stop_ms},
                {"open_after_sigkill_ms", after_kill_ms}});
    return {};
  }
  fmt::print("{} entries of {} B: opened and read in {:.0f} ms, after a SIGKILL {:.0f} ms\n",
             options.count, options.size, after_stop_ms, after_kill_ms);
  return {};
}

// Whoever is tired of it leaves neither nodes nor the folder behind.
void end_when_interrupted() {
  struct sigaction action{};
  action.sa_handler = [](int) { raft_bench::interrupt(); };
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(number, &action, nullptr);
}

Outcome<> run_bench_quorum(Context& context, const QuorumOptions& given) {
  QuorumOptions options = given;
  const bool is_failover = options.mode != "throughput" && options.mode != "recovery";
  if (options.mode == "recovery") options.nodes = options.groups = 1;
  if (is_failover) {
    if (options.nodes < 3) return fail(ExitCode::usage, "fewer than three nodes do not fail over");
    options.groups = 1;
    if (options.election_ms == 0) options.election_ms = 100;
  }
  end_when_interrupted();
  TRY(const auto folder, Folder::make(options.directory));
  TRY(const ClusterOptions cluster_given, cluster_options(options, *folder));
  TRY(const auto cluster, Cluster::start(cluster_given));
  const auto measure = is_failover                  ? measure_failover
                       : options.mode == "recovery" ? measure_recovery
                                                    : measure_throughput;
  TRY_VOID(measure(context, options, *cluster));
  TRY_VOID(cluster->stop());
  return {};
}

void declare(CLI::App& verb, QuorumOptions& options) {
  verb.add_option("--dir", options.directory,
                  "On the disk to be measured; a folder is made in it, and removed")
      ->required();
  verb.add_option("--mode", options.mode,
                  "throughput; recovery: --count entries are opened and read; or how the leader is "
                  "lost: sigkill, sigstop, leave")
      ->check(CLI::IsMember({"throughput", "recovery", "sigkill", "sigstop", "leave"}))
      ->capture_default_str();
  verb.add_option("--nodes", options.nodes)->check(CLI::Range(1, 9))->capture_default_str();
  verb.add_option("--groups", options.groups, "Replicated logs that share one journal")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  verb.add_option("--size", options.size, "Bytes per entry")
      ->check(CLI::Range(8, 1 << 20))
      ->capture_default_str();
  verb.add_option("-i,--in-flight", options.in_flight, "Proposers, each with one call under way")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  verb.add_option("--seconds", options.seconds, "How long to measure")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb.add_option("--warm", options.warm_seconds, "Seconds before that, not counted")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  verb.add_option("--count", options.count, "Entries of recovery")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb.add_option("--tries", options.tries, "Times that the leader is lost")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb.add_option("--election-ms", options.election_ms,
                  "Election and fetch timeout; 0: Kafka's, and 100 where the leader is lost")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  verb.add_option("--spin-us", options.spin_us, "How long an idle node looks for work")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

}  // namespace

void add_bench_quorum(CLI::App& bench, Context& context) {
  add_verb<QuorumOptions>(bench, context, "quorum",
                          "The replicated log by itself, on several nodes of this machine",
                          run_bench_quorum, declare);
}

}  // namespace drave::cli
