// The dispatcher of requests, all APIs: a whole node in a simulated world, and a client that sends
// it whatever the input says.
//
// Input: a flag byte, then
//   flag bit 0 clear: requests, each as (api key, version, length of two bytes, body); the header
//     before it is well-formed; what the node does not serve is taken modulo what it does;
//   flag bit 0 set: bytes as they are.
// Sixteen bytes 0xEE in a body stand for the id of the topic "topic", which has two partitions.
// The node must answer each request, or close the connection; what it sends must be whole frames,
// the answers in the order of the requests, and when the client is gone, the connection too. The
// node keeps what earlier inputs did to it; it is made anew after kInputsPerNode.

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include "base/assert.h"
#include "base/log.h"
#include "broker/api_table.h"
#include "broker/node.h"
#include "io/sim/world.h"
#include "protocol/messages/create_topics.h"
#include "tests/broker/support/kafka_client.h"
#include "tools/sim/sim_node.h"

namespace drave {
namespace {

constexpr int kInputsPerNode = 500;
constexpr std::size_t kRequestsMax = 32;
// Of the simulated clock: what a connection may take from its client's end of sending to its end.
constexpr Duration kEndMax = seconds(60);

struct Script {
  std::vector<std::uint8_t> bytes;
  std::vector<std::int32_t> correlations;  // of well-formed headers; empty for raw bytes
  bool raw = false;
};

void put_topic_id(std::vector<std::uint8_t>& bytes, const Uuid& id) {
  const std::vector<std::uint8_t> stand_in(16, 0xEE);
  for (auto at = bytes.begin();; at += 16) {
    at = std::search(at, bytes.end(), stand_in.begin(), stand_in.end());
    if (at == bytes.end()) return;
    store_big(&*at, id.high);
    store_big(&*at + 8, id.low);
  }
}

Script script_of(ByteView input, const Uuid& topic_id) {
  Script script;
  if (input.empty()) return script;
  script.raw = (input[0] & 1) != 0;
  input = input.subspan(1);
  if (script.raw) {
    script.bytes.assign(input.begin(), input.end());
    return script;
  }
  const auto apis = broker::api_table();
  while (input.size() >= 4 && script.correlations.size() < kRequestsMax) {
    const broker::ApiEntry* named = broker::find_api(input[0], false);
    const broker::ApiEntry& api = named != nullptr ? *named : apis[input[0] % apis.size()];
    const int versions = api.version_max - api.version_min + 1;
    protocol::RequestHeader header;
    header.request_api_key = static_cast<std::int16_t>(api.key);
    header.request_api_version = input[1];
    if (!api.accepts(header.request_api_version))
      header.request_api_version = static_cast<std::int16_t>(api.version_min + input[1] % versions);
    header.correlation_id = static_cast<std::int32_t>(script.correlations.size());
    header.client_id = "fuzz";
    const std::size_t size =
        std::min<std::size_t>(load_big<std::uint16_t>(input.data() + 2), input.size() - 4);
    protocol::Writer out;
    out.integer(std::int32_t{0});
    ASSERT(encode_request_header(out, header).has_value());
    const ByteView body = input.subspan(4, size);
    script.bytes.reserve(script.bytes.size() + out.size() + size);
    out.patch(0, static_cast<std::int32_t>(out.size() - 4 + size));
    script.bytes.insert(script.bytes.end(), out.own().begin(), out.own().end());
    script.bytes.insert(script.bytes.end(), body.begin(), body.end());
    script.correlations.push_back(header.correlation_id);
    input = input.subspan(4 + size);
  }
  put_topic_id(script.bytes, topic_id);
  return script;
}

// Whole frames, correlation ids rising; acks=0 and refused requests leave gaps.
void check_answers(const Script& script, ByteView received) {
  std::int64_t last = -1;
  while (!received.empty()) {
    if (received.size() < 4) break;
    const auto size = load_big<std::int32_t>(received.data());
    ASSERT(size >= 4);
    if (received.size() - 4 < static_cast<std::size_t>(size)) break;  // cut by the close
    const auto correlation = load_big<std::int32_t>(received.data() + 4);
    if (!script.raw) {
      ASSERT(correlation > last);
      ASSERT(correlation < static_cast<std::int32_t>(script.correlations.size()));
      last = correlation;
    }
    received = received.subspan(4 + static_cast<std::size_t>(size));
  }
}

class Target {
 public:
  Target() : world_(1, options()), server_(world_.add_node()), client_(world_.add_node()) {
    node_ = std::make_unique<simulation::SimNode>(
        server_, simulation::config_for(server_, {"num.partitions=1"}));
    node_->start(1);
    run_until([this] { return node_->is_ready(); });
    run_client([this](io::Loop& loop) { return create_topic(loop); });
  }
  ~Target() {
    server_.stop();
    run_until([this] { return !server_.is_running(); });
  }

  const Uuid& topic_id() const { return topic_id_; }

  void send(const Script& script) {
    run_client([&](io::Loop& loop) { return play(loop, script); });
    run_until([this] { return node_->node()->shard(0).connection_count() == 0; });
  }

 private:
  static io::sim::WorldOptions options() {
    io::sim::WorldOptions options;
    options.draw_late_buffers = false;
    options.node.receive_buffers = 32;
    return options;
  }

  template <class Program>
  void run_client(Program program) {
    client_.start([&](io::sim::Process& process) { return program(process.loop(0)); }, 1);
    run_until([this] { return !client_.is_running(); });
  }
  void run_until(const std::function<bool()>& done) {
    const bool came = world_.run_until(done, kEndMax);
    ASSERT(came);
  }

  io::Task<void> create_topic(io::Loop& loop) {
    test::KafkaClient client(loop);
    ASSERT((co_await client.connect({server_.host(), 9092})).has_value());
    protocol::CreateTopicsRequest request;
    request.timeout_ms = 10'000;
    auto& topic = request.topics.emplace_back();
    topic.name = "topic";
    topic.num_partitions = 2;
    topic.replication_factor = 1;
    const auto answer = co_await client.call<protocol::CreateTopicsResponse>(request, 7);
    ASSERT(answer.has_value());
    ASSERT(answer->message.topics.at(0).error_code == 0);
    topic_id_ = answer->message.topics.at(0).topic_id;
    co_await client.close();
  }

  io::Task<void> play(io::Loop& loop, const Script& script) {
    auto socket = co_await io::Socket::connect(loop, {server_.host(), 9092});
    ASSERT(socket.has_value());
    std::vector<std::uint8_t> bytes = script.bytes;
    bool open = true;
    if (!bytes.empty()) {
      std::vector<iovec> pieces{{bytes.data(), bytes.size()}};
      open = (co_await socket->send_all(std::move(pieces))).has_value();
    }
    if (open) co_await socket->shutdown_write();
    std::vector<std::uint8_t> received;
    std::vector<std::uint8_t> piece(16 * kKiB);
    for (;;) {
      const Result<std::size_t> size = co_await socket->receive_some(piece);
      if (!size || *size == 0) break;
      received.insert(received.end(), piece.begin(), piece.begin() + static_cast<long>(*size));
    }
    check_answers(script, received);
    co_await socket->close();
  }

  io::sim::World world_;
  io::sim::Node& server_;
  io::sim::Node& client_;
  std::unique_ptr<simulation::SimNode> node_;
  Uuid topic_id_;
};

}  // namespace
}  // namespace drave

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static std::unique_ptr<drave::Target> target;
  static int inputs = 0;
  if (target == nullptr) drave::log::set_level("*", "off");
  if (target == nullptr || ++inputs % drave::kInputsPerNode == 0) {
    target.reset();
    target = std::make_unique<drave::Target>();
  }
  target->send(drave::script_of({data, size}, target->topic_id()));
  return 0;
}
