// A load generator for any broker that speaks Kafka's protocol. It encodes each request once and
// replays its bytes, so that nearly all the CPU spent on the machine is the broker's.
//
//   drave-load produce --address 127.0.0.1:9092 --topic t [--partitions 6] [--connections 4]
//       [--in-flight 8] [--records 16] [--size 1024] [--acks -1] [--rate REQUESTS_PER_S] ...
//   drave-load fetch --address ... --topic t [--partitions 6] [--connections 2] [--bytes 1048576]
//
// for both: [--seconds 10] [--warm 2] [--pid BROKER]. Prints one JSON object.
//
// With --rate the moments of sending are fixed in advance (open loop) and latency counts from the
// intended one, so that a broker that stalls cannot hide it. Without, each connection keeps
// --in-flight requests outstanding (closed loop).
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "benchmarks/macro/load_wire.h"

namespace drave::load {
namespace {

constexpr double kNsPerSecond = 1e9;
constexpr std::int64_t kSpinNs = 60'000;  // before a moment of sending: no timer is that punctual
constexpr std::int64_t kPollNsMax = 100'000'000;
constexpr std::size_t kReadSize = 4 << 20;

std::int64_t now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

std::int64_t wall_ms() {
  return std::chrono::system_clock::now().time_since_epoch() / std::chrono::milliseconds(1);
}

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "drave-load: %s\n", what.c_str());
  std::exit(1);
}

struct Options {
  bool fetch = false;
  std::string host = "127.0.0.1";
  int port = 9092;
  std::string topic = "t";
  int partitions = 1;
  int connections = 1;
  int in_flight = 1;
  BatchShape shape;
  int acks = -1;
  double rate = 0;  // requests per second; 0: closed loop
  double seconds = 10;
  double warm = 2;
  int fetch_bytes = 1 << 20;
  int pid = 0;
};

Options parse(int argc, char** argv) {
  std::map<std::string, std::string> given;
  if (argc < 2 || argc % 2) fail("produce|fetch --key value ...; see the head of load.cc");
  for (int i = 2; i + 1 < argc; i += 2) given[argv[i]] = argv[i + 1];
  Options options;
  options.fetch = std::string(argv[1]) == "fetch";
  auto text = [&](const char* key, std::string& value) {
    if (auto it = given.extract(key)) value = it.mapped();
  };
  auto number = [&](const char* key, auto& value) {
    if (auto it = given.extract(key))
      value = static_cast<std::remove_reference_t<decltype(value)>>(std::atof(it.mapped().c_str()));
  };
  std::string address = "127.0.0.1:9092";
  text("--address", address);
  options.host = address.substr(0, address.rfind(':'));
  options.port = std::atoi(address.substr(address.rfind(':') + 1).c_str());
  text("--topic", options.topic);
  number("--partitions", options.partitions);
  number("--connections", options.connections);
  number("--in-flight", options.in_flight);
  number("--records", options.shape.records);
  number("--size", options.shape.value_size);
  number("--acks", options.acks);
  number("--rate", options.rate);
  number("--seconds", options.seconds);
  number("--warm", options.warm);
  number("--bytes", options.fetch_bytes);
  number("--pid", options.pid);
  if (!given.empty()) fail("what is " + given.begin()->first + "?");
  return options;
}

int dial(const Options& options) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(options.port));
  inet_pton(AF_INET, options.host.c_str(), &address.sin_addr);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address))
    fail(std::string("connect: ") + std::strerror(errno));
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

struct Usage {
  double cpu_seconds = 0;
  double resident_mib = 0;
};

Usage usage_of(int pid) {
  Usage usage;
  if (pid == 0) return usage;
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(stat, line);
  long user = 0;
  long system = 0;
  if (auto at = line.rfind(')'); at != std::string::npos)
    std::sscanf(line.c_str() + at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &user,
                &system);
  usage.cpu_seconds =
      static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  while (std::getline(status, line))
    if (line.starts_with("VmRSS:")) usage.resident_mib = std::atof(line.c_str() + 6) / 1024;
  return usage;
}

// One connection: requests to write, and the moments at which those without an answer began.
struct Connection {
  int fd = -1;
  std::deque<std::string_view> unsent;
  std::size_t sent = 0;  // of the first of `unsent`
  bool polls_writable = false;
  std::vector<char> in;
  std::size_t filled = 0;
  std::deque<std::int64_t> began;
  int partition = 0;
  std::string fetch;  // the request under way
  std::vector<std::int64_t> offsets;
};

class Generator {
 public:
  explicit Generator(const Options& options);
  void run();
  void print() const;

 private:
  void send(Connection& connection, std::int64_t began);
  void write(Connection& connection);
  void read(Connection& connection);
  void answered(Connection& connection, std::string_view answer);
  void begin_measuring(std::int64_t now);
  void send_what_is_due(std::int64_t now);
  std::int64_t wait_ns(std::int64_t now) const;

  const Options options_;
  std::string batch_;
  std::vector<std::string> produces_;  // per partition
  std::vector<Connection> connections_;
  int epoll_;
  std::size_t next_connection_ = 0;
  double next_send_ns_ = 0;
  std::int64_t began_ns_ = 0;
  std::int64_t ended_ns_ = 0;
  bool measuring_ = false;
  std::uint64_t bytes_ = 0;
  std::uint64_t errors_ = 0;
  std::int16_t last_error_ = 0;
  Histogram latency_ns_;
  Usage before_;
  Usage after_;
};

Generator::Generator(const Options& options)
    : options_(options), connections_(options.connections), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (!options_.fetch) {
    batch_ = record_batch(options_.shape, wall_ms(), 7);
    for (int partition = 0; partition < options_.partitions; ++partition)
      produces_.push_back(produce_request(options_.topic, partition, options_.acks, batch_));
  }
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    Connection& connection = connections_[i];
    connection.fd = dial(options_);
    connection.partition = static_cast<int>(i) % options_.partitions;
    connection.offsets.resize(options_.partitions);
    connection.in.resize(1 << 16);
    epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event);
  }
}

void Generator::send(Connection& connection, std::int64_t began) {
  connection.began.push_back(began);
  if (options_.fetch) {
    connection.fetch =
        fetch_request(options_.topic, connection.partition,
                      connection.offsets[connection.partition], options_.fetch_bytes);
    connection.unsent.push_back(connection.fetch);
    return;
  }
  connection.unsent.push_back(produces_[connection.partition]);
  connection.partition = (connection.partition + 1) % options_.partitions;
}

void Generator::write(Connection& connection) {
  constexpr std::size_t kPiecesMax = 16;
  while (!connection.unsent.empty()) {
    std::array<iovec, kPiecesMax> pieces;
    std::size_t count = 0;
    for (std::string_view data : connection.unsent) {
      if (count == kPiecesMax) break;
      const std::size_t skipped = count == 0 ? connection.sent : 0;
      pieces[count++] = {const_cast<char*>(data.data()) + skipped, data.size() - skipped};
    }
    ssize_t done = writev(connection.fd, pieces.data(), static_cast<int>(count));
    if (done < 0) {
      if (errno == EAGAIN) break;
      fail(std::string("write: ") + std::strerror(errno));
    }
    connection.sent += static_cast<std::size_t>(done);
    while (!connection.unsent.empty() && connection.sent >= connection.unsent.front().size()) {
      connection.sent -= connection.unsent.front().size();
      connection.unsent.pop_front();
    }
  }
  if (connection.polls_writable == connection.unsent.empty()) {
    connection.polls_writable = !connection.unsent.empty();
    epoll_event event{};
    event.events = EPOLLIN | (connection.polls_writable ? EPOLLOUT : 0u);
    event.data.u64 = static_cast<std::uint64_t>(&connection - connections_.data());
    epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event);
  }
}

void Generator::answered(Connection& connection, std::string_view answer) {
  const std::int64_t now = now_ns();
  std::int16_t error = 0;
  if (options_.fetch) {
    const Fetched fetched = parse_fetch(answer);
    error = fetched.error;
    bytes_ += fetched.bytes;
    // At the end it begins anew: what is there is read over and over.
    std::int64_t& offset = connection.offsets[connection.partition];
    offset = fetched.last_offset ? *fetched.last_offset + 1 : 0;
    if (offset >= fetched.high_watermark) offset = 0;
    connection.partition = (connection.partition + 1) % options_.partitions;
  } else {
    error = produce_error(answer);
    bytes_ += batch_.size();
  }
  if (error) {
    ++errors_;
    last_error_ = error;
  }
  latency_ns_.record(now - connection.began.front());
  connection.began.pop_front();
  if (options_.rate == 0) send(connection, now);
}

void Generator::read(Connection& connection) {
  if (connection.in.size() - connection.filled < (1 << 15))
    connection.in.resize(std::min(connection.in.size() * 2, connection.filled + kReadSize));
  ssize_t got = ::read(connection.fd, connection.in.data() + connection.filled,
                       connection.in.size() - connection.filled);
  if (got == 0) fail("the broker closed a connection");
  if (got < 0) return;
  connection.filled += static_cast<std::size_t>(got);
  std::size_t at = 0;
  while (connection.filled - at >= 4) {
    const auto length = static_cast<std::size_t>(read_number(connection.in.data() + at, 4));
    if (connection.filled - at < 4 + length) break;
    answered(connection, {connection.in.data() + at + 4, length});
    at += 4 + length;
  }
  std::memmove(connection.in.data(), connection.in.data() + at, connection.filled - at);
  connection.filled -= at;
  if (!connection.unsent.empty()) write(connection);
}

void Generator::begin_measuring(std::int64_t now) {
  measuring_ = true;
  began_ns_ = now;
  bytes_ = 0;
  errors_ = 0;
  std::destroy_at(&latency_ns_);
  std::construct_at(&latency_ns_);
  before_ = usage_of(options_.pid);
}

void Generator::send_what_is_due(std::int64_t now) {
  while (next_send_ns_ <= static_cast<double>(now)) {
    Connection& connection = connections_[next_connection_++ % connections_.size()];
    send(connection, static_cast<std::int64_t>(next_send_ns_));
    write(connection);
    next_send_ns_ += kNsPerSecond / options_.rate;
  }
}

std::int64_t Generator::wait_ns(std::int64_t now) const {
  if (options_.rate == 0) return kPollNsMax;
  const std::int64_t left = static_cast<std::int64_t>(next_send_ns_) - now - kSpinNs;
  return std::clamp<std::int64_t>(left, 0, kPollNsMax);
}

void Generator::run() {
  prctl(PR_SET_TIMERSLACK, 1);
  const std::int64_t start = now_ns();
  const auto measure_at = start + static_cast<std::int64_t>(options_.warm * kNsPerSecond);
  const auto end_at = measure_at + static_cast<std::int64_t>(options_.seconds * kNsPerSecond);
  next_send_ns_ = static_cast<double>(start);
  if (options_.rate == 0) {
    const int depth = options_.fetch ? 1 : options_.in_flight;
    for (Connection& connection : connections_) {
      for (int i = 0; i < depth; ++i) send(connection, now_ns());
      write(connection);
    }
  }
  std::array<epoll_event, 256> events;
  for (;;) {
    const std::int64_t now = now_ns();
    if (!measuring_ && now >= measure_at) begin_measuring(now);
    if (now >= end_at) break;
    if (options_.rate > 0) send_what_is_due(now);
    const std::int64_t wait = wait_ns(now_ns());
    const timespec timeout{.tv_sec = 0, .tv_nsec = wait};
    const int count = epoll_pwait2(epoll_, events.data(), events.size(), &timeout, nullptr);
    for (int i = 0; i < count; ++i) {
      Connection& connection = connections_[events[i].data.u64];
      if (events[i].events & EPOLLOUT) write(connection);
      if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read(connection);
    }
  }
  after_ = usage_of(options_.pid);
  ended_ns_ = now_ns();
}

void Generator::print() const {
  const double seconds = static_cast<double>(ended_ns_ - began_ns_) / kNsPerSecond;
  const auto requests = static_cast<double>(latency_ns_.count());
  const auto bytes = static_cast<double>(bytes_);
  const double cpu = after_.cpu_seconds - before_.cpu_seconds;
  auto us = [&](double fraction) {
    return static_cast<double>(latency_ns_.percentile(fraction)) / 1e3;
  };
  std::printf(
      "{\"mode\":\"%s\",\"seconds\":%.2f,\"requests\":%.0f,\"req_s\":%.0f,\"rec_s\":%.0f,"
      "\"MB_s\":%.1f,\"bytes\":%.0f,\"p50_us\":%.0f,\"p99_us\":%.0f,\"p999_us\":%.0f,"
      "\"p9999_us\":%.0f,\"max_us\":%.0f,\"errors\":%llu,\"last_error\":%d,"
      "\"cpu_s_per_GB\":%.3f,\"cpu_us_per_req\":%.2f,\"rss_mib\":%.1f}\n",
      options_.fetch ? "fetch" : "produce", seconds, requests, requests / seconds,
      options_.fetch ? 0.0 : requests * options_.shape.records / seconds, bytes / seconds / 1e6,
      bytes, us(.5), us(.99), us(.999), us(.9999), static_cast<double>(latency_ns_.max()) / 1e3,
      static_cast<unsigned long long>(errors_), last_error_, bytes > 0 ? cpu / (bytes / 1e9) : 0.0,
      requests > 0 ? cpu * 1e6 / requests : 0.0, after_.resident_mib);
}

}  // namespace
}  // namespace drave::load

int main(int argc, char** argv) {
  drave::load::Generator generator(drave::load::parse(argc, argv));
  generator.run();
  generator.print();
}
