#include "broker/net/connection.h"

#include <algorithm>
#include <cstring>
#include <tuple>
#include <utility>

#include "base/log.h"
#include "broker/api_table.h"
#include "broker/limits.h"
#include "broker/node.h"
#include "broker/shard.h"
#include "protocol/header.h"
#include "protocol/limits.h"

namespace drave::broker {

namespace {
// Frames up to this, what producers send at most unless they are told to, may wait for memory for
// longer.
constexpr std::int64_t kSmallFrameBytes = kMiB + 64 * kKiB;
// What comes into a receive buffer of a frame that is not whole there is copied. Behind a frame of
// this size only the length of the next is received first, and the rest into a buffer of its own.
constexpr std::size_t kLargeFrameBytes = 64 * kKiB;
}  // namespace

Connection::Connection(Shard& shard, io::Socket socket, io::SocketAddress peer,
                       const ListenerInfo& listener)
    : shard_(shard),
      socket_(std::move(socket)),
      peer_(std::move(peer)),
      listener_(listener),
      progress_(shard.loop()),
      assembly_(shard.buffers()),
      watch_timer_([](io::Timer& timer) { static_cast<WatchTimer&>(timer).connection->watch(); }) {
  send_.connection = this;
  flush_hook_.connection = this;
  flush_hook_.run = [](io::PassEndHook& hook) {
    static_cast<FlushHook&>(hook).connection->flush();
  };
  watch_timer_.connection = this;
  last_read_ = last_sent_ = shard_.loop().now();
}

Connection::~Connection() {
  ASSERT(!send_.in_flight);
  ASSERT_EQUAL(response_count_, 0u);
  ASSERT_EQUAL(frames_charged_, 0);
}

io::Task<void> Connection::run() {
  watched_ = shard_.loop().now();
  shard_.loop().timers().arm(watch_timer_, watched_ + kWatchPeriod);
  co_await read_loop();
  ending_ = true;
  last_read_ = shard_.loop().now();  // the drain begins
  progress_.wake_all();
  cancel_parked();
  while (response_count_ > 0 || operations_ > 0 || send_.in_flight) {
    on_response_ready();
    co_await progress_.wait();
  }
  if (lingers_) co_await linger();
  shard_.loop().timers().disarm(watch_timer_);
  flush_hook_.unlink();
  co_await socket_.close();
}

// Until the peer has seen the end of the answers, and closes.
io::Task<void> Connection::linger() {
  linger_end_ = shard_.loop().now() + kStopLingerMax;
  co_await socket_.shutdown_write();
  while (!broken_) {
    const Result<io::ReceivedBytes> ignored = co_await socket_.receive();
    if (!ignored || ignored->is_end()) break;
  }
}

void Connection::cancel_parked() {
  parked_.for_each([](Parked& parked) { parked.cancel(parked); });
}

void Connection::park(Parked& parked) {
  parked_.push_back(parked);
  if (ending_) parked.cancel(parked);
}

io::Task<bool> Connection::turn_of(const Response& response) {
  while (!broken_ && (!sending_.empty() || &responses_.front() != &response))
    co_await progress_.wait();
  if (in_line_-- >= kFetchesInLineMax) progress_.wake_all();
  co_return !broken_;
}

bool Connection::may_read() const {
  return response_count_ < kRequestsInFlightMax && unsent_bytes_ < kUnsentBytesMax &&
         in_line_ < kFetchesInLineMax;
}

io::Task<void> Connection::read_loop() {
  while (!ending_) {
    while (!may_read() && !ending_) co_await progress_.wait();
    if (ending_) break;
    if (assembly_.is_active()) {
      co_await continue_frame();
    } else if (last_was_large_) {
      co_await read_length();
    } else {
      co_await read_pooled();
    }
  }
  assembly_.abandon();
  release_assembly();
}

void Connection::release_assembly() {
  shard_.node().assembly_budget().give_back_arrived(std::exchange(assembly_arrived_, 0));
  if (assembly_charged_ == 0) return;
  shard_.give_back_memory(shard_.node().assembly_budget(), assembly_charged_, this,
                          frames_charged_ == 0);
  assembly_charged_ = 0;
}

void Connection::on_frame_released(std::int64_t charged) {
  frames_charged_ -= charged;
  shard_.node().assembly_budget().note_needed(-charged);
  shard_.give_back_memory(shard_.node().assembly_budget(), charged, this,
                          frames_charged_ + assembly_charged_ == 0);
}

// The peer has finished or is gone, or we finish.
void Connection::on_nothing_received(const Error* error) {
  ending_ = true;
  if (error != nullptr && error->code != Errc::canceled) broken_ = true;
}

// The first bytes of a frame that may be as large as the one before it. While there are none, it
// holds no buffer.
io::Task<void> Connection::read_length() {
  const Result<std::size_t> received = co_await socket_.receive_some(length_);
  if (!received || *received == 0)
    co_return on_nothing_received(received ? nullptr : &received.error());
  last_read_ = shard_.loop().now();
  begin_frame(ByteView(length_).first(*received));
  if (assembly_.is_active()) co_await look_at_frame();
}

io::Task<void> Connection::read_pooled() {
  Result<io::ReceivedBytes> received = co_await socket_.receive();
  if (!received || received->is_end())
    co_return on_nothing_received(received ? nullptr : &received.error());
  last_read_ = shard_.loop().now();
  auto* buffer = new FrameBuffer;
  buffer->received = std::move(*received);
  FrameRef owner(buffer);
  MutableByteView rest = buffer->received.bytes();
  bool is_copy = false;
  while (!rest.empty() && (!ending_ || draining_)) {
    const std::int64_t size = rest.size() < 4 ? -1 : load_big<std::int32_t>(rest.data());
    if (rest.size() >= 4 && (size < 0 || size > shard_.config().socket_request_bytes_max)) {
      fail("a frame's length is negative or exceeds socket.request.max.bytes");
      co_return;
    }
    if (size < 0 || rest.size() < 4 + static_cast<std::size_t>(size)) {
      begin_frame(rest);
      co_return;
    }
    if (!may_read() && !ending_) {
      // Many small requests came at once. The shard has few buffers to receive into: those that are
      // too many wait elsewhere.
      if (!is_copy) std::tie(rest, owner) = copy_of(rest);
      is_copy = true;
      while (!may_read() && !ending_) co_await progress_.wait();
      continue;
    }
    co_await dispatch(rest.subspan(4, static_cast<std::size_t>(size)), owner);
    rest = rest.subspan(4 + static_cast<std::size_t>(size));
  }
}

std::pair<MutableByteView, FrameRef> Connection::copy_of(ByteView bytes) {
  auto* copy = new FrameBuffer;
  copy->owned = shard_.buffers().take(bytes.size());
  std::memcpy(copy->owned.data(), bytes.data(), bytes.size());
  return {copy->owned.bytes().first(bytes.size()), FrameRef(copy)};
}

// Keeps what has come of a frame. A peer that proved that it sends frames of this size gets the
// whole buffer at once, if memory is at hand. What fits into the smallest buffer is not charged:
// the number of connections bounds it.
void Connection::begin_frame(ByteView first) {
  frame_begun_ = frame_progress_ = shard_.loop().now();
  MemoryBudget& budget = shard_.node().assembly_budget();
  const std::size_t proven = assembly_.proven_size(first);
  const auto size = static_cast<std::int64_t>(proven);
  if (size > 0 && budget.try_take(size, nullptr)) {
    assembly_charged_ = size;
    return assembly_.begin(first, proven);
  }
  assembly_.begin(first);
  const std::int64_t arrived = assembly_.capacity() - std::int64_t{io::BufferPool::kSizeMin};
  if (arrived <= 0) return;
  if (!budget.try_take_arrived(arrived)) {
    assembly_.abandon();
    return stop_reading("there is no memory for its frame");
  }
  assembly_arrived_ = arrived;
}

// Waits until the assembly may grow as it must. False: the connection is ending.
io::Task<bool> Connection::assembly_memory() {
  const std::int64_t growth = assembly_.growth();
  if (growth == 0) co_return true;
  MemoryBudget& budget = shard_.node().assembly_budget();
  // Only one frame may exceed, not one client's queue of them.
  const auto take = [&] { return budget.try_take(growth, frames_charged_ == 0 ? this : nullptr); };
  if (!take()) {
    const Instant begun = shard_.loop().now();
    waits_for_memory_ = true;
    budget.begin_wait();
    bool taken = false;
    while (!ending_ && !(taken = take()))
      co_await shard_.memory_room().wait_until(shard_.loop().now() + MemoryBudget::kRetry);
    budget.end_wait();
    waits_for_memory_ = false;
    // It was we who stalled.
    last_read_ = frame_progress_ = shard_.loop().now();
    frame_begun_ = frame_begun_ + (frame_progress_ - begun);
    if (!taken) co_return false;
  }
  assembly_charged_ += growth;
  co_return true;
}

io::Task<void> Connection::continue_frame() {
  if (!co_await assembly_memory()) co_return;
  Result<std::size_t> received = co_await socket_.receive_some(assembly_.room());
  if (!received || *received == 0)
    co_return on_nothing_received(received ? nullptr : &received.error());
  last_read_ = frame_progress_ = shard_.loop().now();
  assembly_.received(*received);
  co_await look_at_frame();
}

// Refuses what cannot become a frame; dispatches what has become one.
io::Task<void> Connection::look_at_frame() {
  if (assembly_.announced() > shard_.config().socket_request_bytes_max) {
    fail("a frame's length exceeds socket.request.max.bytes");
    co_return;
  }
  if (assembly_.is_length_negative()) {
    fail("a frame's length is negative");
    co_return;
  }
  if (!assembly_.is_complete()) co_return;
  // Complete, it stays charged until its handler needs it no more.
  MemoryBudget& budget = shard_.node().assembly_budget();
  budget.keep_arrived(assembly_arrived_);
  const std::int64_t charged =
      std::exchange(assembly_charged_, 0) + std::exchange(assembly_arrived_, 0);
  frames_charged_ += charged;
  budget.note_needed(charged);
  auto [frame, owner] = assembly_.take(charged > 0 ? this : nullptr, charged);
  last_was_large_ = frame.size() >= kLargeFrameBytes;
  co_await dispatch(frame, std::move(owner));
}

io::Task<void> Connection::dispatch(MutableByteView frame, FrameRef owner) {
  protocol::Reader in(frame);
  protocol::RequestHeader header;
  if (const Result<void> decoded = decode_request_header(in, header); !decoded) {
    fail("a request header cannot be read");
    co_return;
  }
  const ApiEntry* api = find_api(header.request_api_key, listener_.is_controller);
  if (api == nullptr) {
    fail("a request of an API that is not served here");
    co_return;
  }
  auto* response = new Response(*this, header.request_api_key, header.request_api_version,
                                header.correlation_id, shard_.loop().now());
  responses_.push_back(*response);
  ++response_count_;
  if (!api->accepts(header.request_api_version)) {
    refuse_version(*response, *api);
    co_return;
  }
  Request request{.shard = shard_,
                  .connection = *this,
                  .response = *response,
                  .frame = std::move(owner),
                  .body = frame.subspan(in.position()),
                  .api_key = header.request_api_key,
                  .version = header.request_api_version,
                  .client_id = header.client_id.value_or(""),
                  .from_controller_listener = listener_.is_controller};
  co_await api->handler(std::move(request));
}

void Connection::on_response_ready() {
  shard_.loop().at_pass_end(flush_hook_);
}

namespace {

// A field of records may lie in several pieces. It is encoded as a view of its whole size that
// begins where the first of them does, and its pieces are kept together between two that are empty
// (handlers/fetch.cc). Calls `add` for the bytes that are meant. `from`: where to begin looking;
// most fields come in the order in which their pieces were kept.
template <class F>
void each_kept_piece(const std::vector<segments::LogPiece>& kept, std::size_t& from, ByteView field,
                     F&& add) {
  // What the writer copied together is no field, and may stand between thousands of pieces.
  if (field.size() < protocol::kGatherBytesMin) return add(field);
  for (std::size_t n = 0; n < kept.size(); ++n) {
    const std::size_t first = (from + n) % kept.size();
    if (kept[first].bytes().data() != field.data()) continue;
    std::size_t size = kept[first].bytes().size();
    std::size_t end = first + 1;
    if (size < field.size())
      for (; end < kept.size() && !kept[end].bytes().empty(); ++end)
        size += kept[end].bytes().size();
    if (size < field.size() || (end > first + 1 && size > field.size())) continue;
    from = end;
    if (end == first + 1) break;
    for (std::size_t i = first; i < end; ++i) add(kept[i].bytes());
    return;
  }
  add(field);
}

}  // namespace

void Connection::collect_sendable() {
  while (!closing_ && !responses_.empty() && send_vectors_.size() < kSendPiecesMax) {
    Response& first = responses_.front();
    if (!first.ready_) return;
    first.unlink();
    sending_.push_back(first);
    if (first.closes_) {
      // Nothing behind it is answered, and the reader, which may wait for a silent peer, ends.
      closing_ = true;
      return;
    }
    const auto add = [&](ByteView bytes) {
      send_vectors_.push_back({const_cast<std::uint8_t*>(bytes.data()), bytes.size()});
    };
    std::size_t from = 0;
    first.writer_.pieces([&](ByteView bytes) { each_kept_piece(first.pieces_, from, bytes, add); });
  }
}

void Connection::flush() {
  if (send_.in_flight) return;
  if (broken_) return drop_responses();
  collect_sendable();
  if (send_vectors_.empty()) {
    if (closing_) return close_now();
    return release_sent();
  }
  last_sent_ = shard_.loop().now();
  submit_send();
}

void Connection::submit_send() {
  send_.code = io::OperationCode::send;
  send_.handle = socket_.handle();
  send_.vectors = send_vectors_.data() + send_first_;
  send_.vector_count = static_cast<std::uint32_t>(send_vectors_.size() - send_first_);
  send_.complete = [](io::Operation& operation) {
    static_cast<SendOperation&>(operation).connection->on_sent();
  };
  shard_.loop().submit(send_);
}

void Connection::on_sent() {
  if (send_.result < 0) {
    broken_ = ending_ = true;
    progress_.wake_all();
    shard_.loop().start(socket_.shutdown_both());
    return drop_responses();
  }
  last_sent_ = shard_.loop().now();
  std::size_t taken = static_cast<std::size_t>(send_.result);
  while (send_first_ < send_vectors_.size() && taken >= send_vectors_[send_first_].iov_len)
    taken -= send_vectors_[send_first_++].iov_len;
  if (send_first_ < send_vectors_.size()) {
    iovec& part = send_vectors_[send_first_];
    part.iov_base = static_cast<std::uint8_t*>(part.iov_base) + taken;
    part.iov_len -= taken;
    return submit_send();
  }
  release_sent();
  flush();
}

void Connection::release_sent() {
  send_vectors_.clear();
  send_first_ = 0;
  // Who waits for progress asks for a flush: one that does nothing must not wake it.
  if (sending_.empty()) return;
  while (!sending_.empty()) {
    Response& sent = sending_.pop_front();
    shard_.count_response(sent);
    unsent_bytes_ -= sent.writer_.size();
    if (sent.charged_ > 0)
      shard_.give_back_memory(shard_.node().response_budget(), sent.charged_, &sent, true);
    --response_count_;
    delete &sent;
  }
  progress_.wake_all();
}

// Everything before the answer that closes has been sent.
void Connection::close_now() {
  broken_ = true;
  progress_.wake_all();
  stop_reading("a request was refused");
  drop_responses();
}

// The peer takes nothing more: answers that are ready or become ready are void.
void Connection::drop_responses() {
  release_sent();
  while (!responses_.empty() && responses_.front().ready_) {
    Response& first = responses_.pop_front();
    sending_.push_back(first);
  }
  release_sent();
}

void Connection::stop_reading(const char* why) {
  if (ending_) return;
  LOG_DEBUG("broker", "connection ends peer={}:{} reason={}", peer_.host, peer_.port, why);
  ending_ = true;
  progress_.wake_all();
  shard_.memory_room().wake_all();
  shard_.loop().start(socket_.shutdown_both());
}

void Connection::drain() {
  if (ending_) return;
  LOG_DEBUG("broker", "connection ends peer={}:{} reason=the node stops", peer_.host, peer_.port);
  ending_ = draining_ = true;
  lingers_ = response_count_ > 0 || assembly_.is_active() ||
             shard_.loop().now() - last_sent_ < kStopLingerMax;
  progress_.wake_all();
  shard_.memory_room().wake_all();
  cancel_parked();
  socket_.cancel_receive();
}

void Connection::cut() {
  if (!socket_.is_open()) return;
  ending_ = broken_ = true;
  draining_ = lingers_ = false;
  progress_.wake_all();
  shard_.memory_room().wake_all();
  cancel_parked();
  shard_.loop().start(socket_.shutdown_both());
  on_response_ready();
}

void Connection::fail(const char* why) {
  shard_.count_refused_frame();
  LOG_DEBUG("broker", "connection refused peer={}:{} reason={}", peer_.host, peer_.port, why);
  ending_ = true;
  draining_ = false;
}

void Connection::watch() {
  const Instant now = shard_.loop().now();
  // A node that stood still itself, stopped or starved, does not hold that against its peers.
  const Duration late = now - watched_ - kWatchPeriod;
  if (late > kWatchPeriod) forgive(late);
  watched_ = now;
  shard_.loop().timers().arm(watch_timer_, now + kWatchPeriod);
  const Duration stall_max =
      shard_.node().response_budget().is_short() ? kSendStallUnderPressureMax : kSendStallMax;
  if (send_.in_flight && now - last_sent_ > stall_max) {
    broken_ = true;
    stop_reading("the peer does not read its answers");
    shard_.loop().start(socket_.shutdown_both());
  }
  if (ending_ && now - last_read_ > kDrainTimeMax && send_.in_flight) {
    shard_.loop().start(socket_.shutdown_both());
  }
  if (now >= linger_end_) cut();
  if (!ending_ && assembly_.is_active()) watch_assembly(now);
  if (ending_ || waits_for_memory_) return;
  const std::int64_t idle_max = shard_.config().connections_idle_ms_max;
  if (idle_max >= 0 && response_count_ == 0 && now - last_read_ > milliseconds(idle_max))
    stop_reading("idle");
}

void Connection::watch_assembly(Instant now) {
  const MemoryBudget& budget = shard_.node().assembly_budget();
  if (waits_for_memory_) {
    // Where complete requests have the memory, a disk that is slow perhaps, nobody is helped by an
    // end. A large frame waits no longer than one that does not come: else a few that have much to
    // send keep the memory from all others by turns.
    const bool is_small = assembly_.capacity() + assembly_.growth() <= kSmallFrameBytes;
    if (now - frame_progress_ > (is_small ? kAssemblyWaitMax : kAssemblyStallMax) &&
        !budget.is_mostly_needed())
      stop_reading("there is no memory for its frame");
    return;
  }
  const Duration allowed =
      kFrameTimeMax + seconds(static_cast<std::int64_t>(assembly_.filled() / (64 * kKiB)));
  if (now - frame_begun_ > allowed) return stop_reading("a frame takes too long");
  if (budget.is_short() && now - frame_progress_ > kAssemblyStallMax)
    stop_reading("a frame stalls while others wait for memory");
}

// `span` counts for none of the deadlines.
void Connection::forgive(Duration span) {
  const Instant now = shard_.loop().now();
  for (Instant* since : {&last_read_, &last_sent_, &frame_begun_, &frame_progress_})
    *since = std::min(now, *since + span);
}

// --- Response

void Response::begin() {
  ASSERT(!ready_);
  writer_.integer(std::int32_t{0});  // the frame's length, patched in finish()
  encode_response_header(writer_, api_key_, version_, correlation_id_);
}

void Response::finish(Result<void> encoded) {
  if (!encoded) {
    LOG_ERROR("broker", "response cannot be encoded api={} version={} error={}", api_key_, version_,
              encoded.error().message());
    return close_connection();
  }
  writer_.patch(0, static_cast<std::int32_t>(writer_.size() - 4));
  ready_ = true;
  connection_.unsent_bytes_ += writer_.size();
  connection_.on_response_ready();
}

void Response::send_nothing() {
  ASSERT(!ready_);
  ready_ = true;
  connection_.on_response_ready();
}

void Response::close_connection() {
  ASSERT(!ready_);
  writer_.clear();
  pieces_.clear();
  ready_ = closes_ = true;
  connection_.on_response_ready();
}

void Request::refuse(const Error& error) {
  LOG_DEBUG("broker", "request refused api={} version={} error={}", api_key, version,
            error.message());
  shard.count_refused_frame();
  response.close_connection();
}

io::Task<void> serve_connection(Shard& shard, io::Handle handle, io::SocketAddress peer,
                                const ListenerInfo& listener) {
  Connection connection(shard, io::Socket(shard.loop(), handle), std::move(peer), listener);
  shard.add_connection(connection);
  if (shard.is_draining(listener)) connection.drain();
  co_await connection.run();
  shard.remove_connection(connection);
}

}  // namespace drave::broker
