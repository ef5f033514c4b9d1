#include "raftlog/net/rpc_client.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <span>

#include "protocol/error_code.h"
#include "protocol/header.h"
#include "protocol/messages/api_versions.h"
#include "raftlog/net/frame_reader.h"

namespace drave::raft {
namespace {

// In a frame, behind length, api key and version.
constexpr std::size_t kCorrelationIdPosition = 8;
constexpr std::string_view kSoftwareName = "drave";
constexpr std::string_view kSoftwareVersion = "1";

io::Task<void> shut_down(io::Socket& socket) {
  co_await socket.shutdown_both();
}

}  // namespace

// One connection, from the attempt to make it until its socket is closed. Owned by run_link().
struct RpcClient::Link {
  struct Deadline : io::Timer {
    Deadline(RpcClient& of, Link& on)
        : Timer([](Timer& timer) { static_cast<Deadline&>(timer).expired(); }),
          client(of),
          link(on) {}
    void expired() {
      client.end_link(link, {Errc::timed_out, 0, "connect to " + client.address_.host});
    }
    RpcClient& client;
    Link& link;
  };

  explicit Link(RpcClient& client)
      : scope(client.loop_),
        outgoing(client.loop_),
        frames(socket, client.options_.frame_bytes_max),
        deadline(client, *this),
        places(std::bit_ceil(2 * client.options_.in_flight_max)) {}
  Pending*& place_of(std::int32_t correlation_id) {
    return places[static_cast<std::uint32_t>(correlation_id) & (places.size() - 1)];
  }

  // What the peer speaks of an API; max -1: nothing.
  struct Versions {
    std::int16_t min = 0;
    std::int16_t max = -1;
  };

  io::Socket socket;
  io::Operation* connecting = nullptr;  // in the frame of connect()
  io::Scope scope;                      // write_loop(), a shutdown
  io::WaitQueue outgoing;               // `outbox` has something, or this has ended
  std::vector<std::vector<std::uint8_t>> outbox;
  FrameReader frames;
  Deadline deadline;  // until it is up
  bool is_up = false;
  bool has_ended = false;
  std::vector<Versions> versions;              // by api key
  IntrusiveList<Pending, PendingTag> pending;  // in the order of their requests
  std::size_t pending_count = 0;
  // The same by correlation id; ids whose place is taken are passed over.
  std::vector<Pending*> places;
};

RpcClient::RpcClient(io::Loop& loop, io::SocketAddress address, RpcClientOptions options)
    : loop_(loop),
      address_(std::move(address)),
      options_(std::move(options)),
      scope_(loop),
      changed_(loop) {
  ASSERT(options_.in_flight_max > 0);
  ASSERT(options_.frame_bytes_max <= protocol::kMessageBytesMax);
}

RpcClient::~RpcClient() {
  ASSERT_EQUAL(calls_, 0u);
  ASSERT(link_ == nullptr);
}

RpcClient::CallMark::~CallMark() {
  --client_.calls_;
  client_.changed_.wake_all();
}

bool RpcClient::is_connected() const {
  return link_ != nullptr && link_->is_up;
}

Instant RpcClient::deadline_of(Duration timeout) const {
  return loop_.now() + (timeout.ns > 0 ? timeout : options_.request_timeout);
}

void RpcClient::cancel() {
  closing_ = true;
  if (link_ != nullptr) end_link(*link_, {Errc::canceled, 0, "the client is closing"});
  changed_.wake_all();
}

io::Task<void> RpcClient::close() {
  cancel();
  co_await scope_.join();
  while (calls_ > 0) co_await changed_.wait();
}

// --- Calls

io::Task<Result<RpcAnswer>> RpcClient::call_raw(protocol::ApiKey key, std::int16_t version,
                                                std::vector<std::uint8_t> body, Duration timeout) {
  const CallMark mark(*this);
  const Instant deadline = deadline_of(timeout);
  std::size_t body_position = 0;
  CO_TRY(auto frame, begin_frame(key, version, body.size(), body_position));
  std::ranges::copy(body, frame.begin() + static_cast<std::ptrdiff_t>(body_position));
  CO_TRY(Link* const link, co_await made_usable(deadline));
  CO_TRY(const std::int16_t common, common_version(*link, key, version));
  if (common != version)
    co_return failure(Errc::unsupported, address_.host + " does not speak this version");
  Pending pending(loop_);
  begin_call(*link, pending, key, version, std::move(frame));
  while (!pending.result.has_value()) {
    if (!co_await pending.ended.wait_until(deadline)) give_up(pending);
  }
  co_return std::move(*pending.result);
}

io::Task<Result<std::int16_t>> RpcClient::version_of(protocol::ApiKey key, std::int16_t version_max,
                                                     Duration timeout) {
  const CallMark mark(*this);
  CO_TRY(const Link* const link, co_await connected(deadline_of(timeout)));
  co_return common_version(*link, key, version_max);
}

Result<std::int16_t> RpcClient::common_version(const Link& link, protocol::ApiKey key,
                                               std::int16_t version_max) const {
  const protocol::ApiInfo& api = protocol::api_info(key);
  const auto index = static_cast<std::size_t>(key);
  const Link::Versions theirs =
      index < link.versions.size() ? link.versions[index] : Link::Versions{};
  const std::int16_t version = std::min({api.max_stable(), theirs.max, version_max});
  if (version < std::max(api.min, theirs.min))
    return failure(Errc::unsupported, address_.host + " speaks no version of " +
                                          std::string(api.name) + " that we speak");
  return version;
}

Result<std::vector<std::uint8_t>> RpcClient::begin_frame(protocol::ApiKey key, std::int16_t version,
                                                         std::size_t body_size,
                                                         std::size_t& body_position) const {
  protocol::RequestHeader header;
  header.request_api_key = static_cast<std::int16_t>(key);
  header.request_api_version = version;
  header.client_id = options_.client_id;
  const std::size_t header_size =
      encoded_size(header, protocol::request_header_version(header.request_api_key, version));
  const std::size_t size = header_size + body_size;
  if (size > options_.frame_bytes_max)
    return failure(Errc::invalid, "a request of " + std::to_string(size) + " bytes");
  body_position = sizeof(std::int32_t) + header_size;
  std::vector<std::uint8_t> frame(sizeof(std::int32_t) + size);
  store_big(frame.data(), static_cast<std::int32_t>(size));
  protocol::Writer out(MutableByteView(frame).subspan(sizeof(std::int32_t), header_size));
  TRY_VOID(encode_request_header(out, header));
  return frame;
}

io::Task<Result<RpcClient::Link*>> RpcClient::connected(Instant deadline) {
  while (true) {
    if (closing_) co_return failure(Errc::canceled, "the client is closing");
    if (link_ == nullptr) begin_link();
    if (link_->is_up) co_return link_;
    const std::uint64_t attempt = connect_count_;
    while (link_ != nullptr && !link_->is_up && connect_count_ == attempt) {
      if (!co_await changed_.wait_until(deadline))
        co_return failure(Errc::timed_out, "connect to " + address_.host);
    }
    // Another call may have begun the next attempt meanwhile.
    if (link_ == nullptr || !link_->is_up) co_return std::unexpected(last_error_);
  }
}

RpcClient::Link* RpcClient::usable() const {
  const bool is_usable = !closing_ && link_ != nullptr && link_->is_up &&
                         link_->pending_count < options_.in_flight_max;
  return is_usable ? link_ : nullptr;
}

io::Task<Result<RpcClient::Link*>> RpcClient::made_usable(Instant deadline) {
  while (true) {
    CO_TRY(Link* const link, co_await connected(deadline));
    if (link->pending_count < options_.in_flight_max) co_return link;
    if (!co_await changed_.wait_until(deadline))
      co_return failure(Errc::timed_out, address_.host + ": too many calls are in flight");
  }
}

void RpcClient::begin_call(Link& link, Pending& pending, protocol::ApiKey key, std::int16_t version,
                           std::vector<std::uint8_t> frame) {
  pending.link = &link;
  do {
    pending.correlation_id = static_cast<std::int32_t>(correlation_id_++);
  } while (link.place_of(pending.correlation_id) != nullptr);
  link.place_of(pending.correlation_id) = &pending;
  pending.key = key;
  pending.version = version;
  store_big(frame.data() + kCorrelationIdPosition, pending.correlation_id);
  link.pending.push_back(pending);
  ++link.pending_count;
  link.outbox.push_back(std::move(frame));
  link.outgoing.wake_all();
}

void RpcClient::give_up(Pending& pending) {
  if (!pending.result.has_value())
    end_link(*pending.link, {Errc::timed_out, 0, address_.host + " does not answer"});
}

// --- Connections

void RpcClient::begin_link() {
  ASSERT(link_ == nullptr);
  auto link = std::make_unique<Link>(*this);
  link_ = link.get();
  ++connect_count_;
  loop_.timers().arm(link->deadline, loop_.now() + options_.connect_timeout);
  scope_.spawn(run_link(std::move(link)));
}

io::Task<void> RpcClient::run_link(std::unique_ptr<Link> owned) {
  Link& link = *owned;
  Result<void> made = co_await connect(link);
  if (made && !link.has_ended) made = co_await ask_versions(link);
  if (!made) end_link(link, std::move(made).error());
  if (!link.has_ended) {
    loop_.timers().disarm(link.deadline);
    link.is_up = true;
    changed_.wake_all();
    link.scope.spawn(write_loop(link));
    co_await read_loop(link);
  }
  ASSERT(link.has_ended);
  co_await link.scope.join();
  if (link.socket.is_open()) co_await link.socket.close();
}

io::Task<Result<void>> RpcClient::connect(Link& link) {
  if (link.has_ended) co_return failure(Errc::canceled, "ended before it began");
  io::Operation operation;
  operation.code = io::OperationCode::connect;
  operation.address = address_;
  link.connecting = &operation;
  const std::int32_t result = co_await io::perform(loop_, operation);
  link.connecting = nullptr;
  // Even if it was canceled: the completion tells the truth.
  if (result >= 0) {
    link.socket = io::Socket(loop_, io::Handle{result});
    co_return Result<void>{};
  }
  Error error = error_from_errno(
      -result, "connect to " + address_.host + ":" + std::to_string(address_.port));
  // Nobody listens there, or there is no such name or no way to it. It is not the peer if we have
  // no room.
  const bool is_ours =
      result == -EMFILE || result == -ENFILE || result == -ENOMEM || result == -ENOBUFS;
  if (error.code != Errc::timed_out && error.code != Errc::canceled)
    error.code = is_ours ? Errc::io : Errc::closed;
  co_return std::unexpected(std::move(error));
}

io::Task<Result<std::vector<std::uint8_t>>> RpcClient::ask_versions_in(Link& link,
                                                                       std::int16_t version,
                                                                       std::size_t& body_position) {
  constexpr auto key = protocol::ApiKey::api_versions;
  protocol::ApiVersionsRequest request;
  request.client_software_name = kSoftwareName;
  request.client_software_version = kSoftwareVersion;
  std::size_t request_position = 0;
  CO_TRY(auto frame, begin_frame(key, version, encoded_size(request, version), request_position));
  protocol::Writer out(MutableByteView(frame).subspan(request_position));
  CO_TRY_VOID(encode(out, request, version));
  const auto correlation_id = static_cast<std::int32_t>(correlation_id_++);
  store_big(frame.data() + kCorrelationIdPosition, correlation_id);
  CO_TRY_VOID(co_await link.socket.send_all({{frame.data(), frame.size()}}));
  CO_TRY(auto answer, co_await link.frames.next());
  protocol::Reader in(answer);
  protocol::ResponseHeader header;
  CO_TRY_VOID(decode_response_header(in, header, static_cast<std::int16_t>(key), version));
  if (header.correlation_id != correlation_id)
    co_return failure(Errc::corrupt, address_.host + " answers what was not asked");
  body_position = in.position();
  co_return answer;
}

io::Task<Result<void>> RpcClient::ask_versions(Link& link) {
  constexpr auto key = protocol::ApiKey::api_versions;
  std::int16_t version = protocol::api_info(key).max_stable();
  protocol::ApiVersionsResponse response;
  std::vector<std::uint8_t> answer;
  while (true) {
    std::size_t body_position = 0;
    CO_TRY(answer, co_await ask_versions_in(link, version, body_position));
    const ByteView body = ByteView(answer).subspan(body_position);
    constexpr auto unsupported =
        static_cast<std::int16_t>(protocol::ErrorCode::unsupported_version);
    const bool refused =
        body.size() >= sizeof(std::int16_t) && load_big<std::int16_t>(body.data()) == unsupported;
    // Who does not know the version says so in version 0, which everybody knows.
    if (refused && version > 0) {
      version = 0;
      continue;
    }
    protocol::Reader in(body);
    if (const Result<void> read = decode(in, response, version); !read)
      co_return failure(Errc::corrupt, address_.host + ": " + read.error().context);
    break;
  }
  if (response.error_code != 0)
    co_return failure(Errc::corrupt, address_.host + " refuses to name its versions");
  link.versions.assign(protocol::apis().size(), {});
  for (const auto& api : response.api_keys) {
    if (api.api_key < 0 || static_cast<std::size_t>(api.api_key) >= link.versions.size()) continue;
    link.versions[static_cast<std::size_t>(api.api_key)] = {api.min_version, api.max_version};
  }
  co_return Result<void>{};
}

io::Task<void> RpcClient::write_loop(Link& link) {
  std::vector<std::vector<std::uint8_t>> sending;
  while (true) {
    while (link.outbox.empty() && !link.has_ended) co_await link.outgoing.wait();
    if (link.has_ended) co_return;
    sending.clear();
    sending.swap(link.outbox);
    std::vector<iovec> pieces;
    pieces.reserve(sending.size());
    for (auto& frame : sending) pieces.push_back({frame.data(), frame.size()});
    if (Result<void> sent = co_await link.socket.send_all(std::move(pieces)); !sent)
      co_return end_link(link, std::move(sent).error());
  }
}

io::Task<void> RpcClient::read_loop(Link& link) {
  while (!link.has_ended) {
    Result<void> delivered;
    if (std::optional<std::vector<std::uint8_t>> arrived = link.frames.take_arrived()) {
      delivered = deliver(link, std::move(*arrived));
    } else {
      Result<std::vector<std::uint8_t>> frame = co_await link.frames.next();
      if (link.has_ended) co_return;
      if (!frame) co_return end_link(link, std::move(frame).error());
      delivered = deliver(link, std::move(*frame));
    }
    if (!delivered) co_return end_link(link, std::move(delivered).error());
  }
}

Result<void> RpcClient::deliver(Link& link, std::vector<std::uint8_t> frame) {
  if (frame.size() < sizeof(std::int32_t))
    return failure(Errc::corrupt, address_.host + " sent a frame without a header");
  const auto correlation_id = load_big<std::int32_t>(frame.data());
  Pending*& place = link.place_of(correlation_id);
  if (place == nullptr || place->correlation_id != correlation_id)
    return failure(Errc::corrupt, address_.host + " answers what was not asked");
  Pending* const found = place;
  protocol::Reader in(frame);
  protocol::ResponseHeader header;
  TRY_VOID(
      decode_response_header(in, header, static_cast<std::int16_t>(found->key), found->version));
  const std::size_t body_position = in.position();
  place = nullptr;
  found->unlink();
  --link.pending_count;
  found->result.emplace(RpcAnswer{std::move(frame), body_position, found->version});
  found->ended.wake_all();
  return {};
}

// Whoever notices first calls this; run_link() does the rest.
void RpcClient::end_link(Link& link, Error why) {
  if (link.has_ended) return;
  link.has_ended = true;
  link.is_up = false;
  loop_.timers().disarm(link.deadline);
  if (link_ == &link) link_ = nullptr;
  last_error_ = why;
  while (!link.pending.empty()) {
    Pending& lost = link.pending.pop_front();
    lost.result = std::unexpected(why);
    lost.ended.wake_all();
  }
  link.pending_count = 0;
  std::ranges::fill(link.places, nullptr);
  if (link.connecting != nullptr) loop_.cancel(*link.connecting);
  if (link.socket.is_open()) link.scope.spawn(shut_down(link.socket));
  link.outgoing.wake_all();
  changed_.wake_all();
}

}  // namespace drave::raft
