#include "tools/raftlog/commands.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "io/process.h"

namespace drave::raft {
namespace {

using Json = nlohmann::ordered_json;

void say(const Json& document) {
  const std::string line = document.dump() + "\n";
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fflush(stdout);
}

// [bound, count]: values up to the bound and above the one before.
Json buckets_of(const Histogram& histogram) {
  Json buckets = Json::array();
  std::uint64_t seen = 0;
  for (double fine = 100; seen < histogram.count(); fine *= 1.02) {
    const auto bound = static_cast<std::uint64_t>(fine);
    const std::uint64_t most = std::max(histogram.count_at_most(bound), seen);
    if (most > seen) buckets.push_back({bound, most - seen});
    seen = most;
  }
  return buckets;
}

}  // namespace

void Commands::say_ready() {
  Json groups = Json::array();
  for (const auto& group : node_.groups())
    groups.push_back({{"delivered", group->delivered_count()}, {"end", group->log()->end()}});
  say({{"ready", true}, {"open_us", node_.open_time().us()}, {"groups", groups}});
}

bool Commands::run(const std::string& line) {
  const Json command = Json::parse(line, nullptr, false);
  const std::string what = command.is_object() ? command.value("do", "") : "";
  if (what == "status") {
    say_status();
  } else if (what == "load") {
    const auto& groups = node_.groups();
    const auto count = static_cast<std::uint32_t>(groups.size());
    Load load{.size = command.value("size", std::size_t{16}),
              .in_flight = command.value("in_flight", 1u),
              .count = command.value("count", UINT64_MAX)};
    load.size = std::max(load.size, sizeof(std::uint64_t));
    const std::uint32_t all = load.in_flight;
    for (std::uint32_t i = 0; i < count; ++i) {
      load.in_flight = all / count + (i < all % count ? 1 : 0);
      groups[i]->begin(load);
    }
    say({{"loading", all}});
  } else if (what == "measure") {
    node_.begin_measuring();
    say({{"measuring", true}});
  } else if (what == "report") {
    say_report();
  } else if (what == "idle") {
    scope_.spawn(wait_until_idle());
  } else if (what == "probe") {
    scope_.spawn(probe(++probe_number_));
  } else if (what == "cancel") {
    ++probe_number_;
    say({{"canceled", true}});
  } else if (what == "stop") {
    return false;
  } else {
    say({{"error", "no such command"}});
  }
  return true;
}

void Commands::say_status() {
  Json groups = Json::array();
  for (const auto& group : node_.groups()) {
    const QuorumStatus status = group->log()->status();
    groups.push_back({{"leading", group->is_leading()},
                      {"leader", status.leader},
                      {"epoch", status.epoch},
                      {"high_watermark", group->log()->high_watermark()},
                      {"end", group->log()->end()},
                      {"delivered", group->delivered_count()},
                      {"failed", group->has_failed()}});
  }
  say({{"groups", groups}});
}

void Commands::say_report() {
  Measured& measured = node_.measured();
  measured.is_on = false;
  const Duration span = loop_.now_precise() - measured.begun;
  const Duration cpu = io::process_cpu_time() - measured.cpu_begun;
  say({{"seconds", static_cast<double>(span.ns) / 1e9},
       {"cpu_s", static_cast<double>(cpu.ns) / 1e9},
       {"commits", measured.commits},
       {"errors", measured.errors},
       {"max_ns", measured.latency_ns.max()},
       {"latency_ns", buckets_of(measured.latency_ns)}});
}

io::Task<void> Commands::wait_until_idle() {
  for (const auto& group : node_.groups()) group->end();
  const auto is_busy = [](const auto& group) { return !group->is_idle(); };
  while (std::ranges::any_of(node_.groups(), is_busy) && !scope_.is_stopping())
    co_await scope_.stopping().wait_until(loop_.now() + milliseconds(1));
  say({{"idle", true}});
}

io::Task<void> Commands::probe(std::uint64_t number) {
  struct Mine : Proposal {
    explicit Mine(io::Loop& loop) : ended(loop) {}
    io::Gate ended;
    bool is_committed = false;
  };
  const std::uint8_t bytes[16] = {};
  const Group& group = *node_.groups().front();
  while (!scope_.is_stopping() && number == probe_number_) {
    if (!group.is_leading()) {
      co_await scope_.stopping().wait_until(loop_.now() + milliseconds(1));
      continue;
    }
    Mine proposal(loop_);
    proposal.value = bytes;
    proposal.done = [](Proposal& ended, const Error* error) {
      auto& mine = static_cast<Mine&>(ended);
      mine.is_committed = error == nullptr;
      mine.ended.open();
    };
    group.log()->propose(proposal);
    co_await proposal.ended.wait();
    if (!proposal.is_committed || number != probe_number_) continue;
    say({{"committed_ns", loop_.now_precise().ns},
         {"led_ns", group.led_since().ns},
         {"epoch", group.log()->epoch()}});
    co_return;
  }
}

io::Task<void> Commands::close() {
  scope_.request_stop();
  for (const auto& group : node_.groups()) group->end();
  co_await scope_.join();
}

}  // namespace drave::raft
