#pragma once
// One client's connection: reads frames, hands requests to their handlers in order, sends the
// answers in order, and bounds what the client can make us hold (broker/limits.h).
//
// Lives on one shard (the one with the fewest when it was accepted), in the frame of
// serve_connection(). It ends when the peer finishes or breaks a rule, or the node stops; by then
// every answer has been sent or dropped, and every operation that a handler left behind (a parked
// fetch, a produce that waits for the disk) has ended.

#include <array>
#include <cstdint>
#include <string>

#include "base/intrusive_list.h"
#include "broker/net/frame.h"
#include "broker/net/request.h"
#include "broker/net/response.h"
#include "io/socket.h"
#include "io/sync.h"
#include "io/timer_wheel.h"

namespace drave::broker {

class Shard;

// Something of a connection that waits and must end early when the connection does: a parked fetch.
struct Parked : ListLink<struct ParkedTag> {
  void (*cancel)(Parked&) = nullptr;
};

struct ListenerInfo {
  std::string name;
  bool is_controller = false;
};

class Connection final : private FrameKeeper {
 public:
  Connection(Shard& shard, io::Socket socket, io::SocketAddress peer, const ListenerInfo& listener);
  ~Connection();
  Connection(const Connection&) = delete;

  // Serves until the end; after it nothing refers to this any more.
  io::Task<void> run();
  // Breaks it off: nothing more is read or sent. `why` goes to the log.
  void stop_reading(const char* why);
  // The node stops: nothing more is read, and every request that was read whole is answered, a
  // parked fetch at once. Then it ends, so that the peer gets the last answer.
  void drain();
  // As drain(), without regard for the peer: what is not sent yet is dropped.
  void cut();

  Shard& shard() { return shard_; }
  // An operation of this connection outlives its handler, and perhaps its answer.
  void operation_begun() { ++operations_; }
  void operation_ended() {
    --operations_;
    progress_.wake_all();
  }
  const io::SocketAddress& peer() const { return peer_; }
  const ListenerInfo& listener() const { return listener_; }
  bool is_ending() const { return ending_; }
  // Returns when every answer before `response` has been sent: answers with records are read one at
  // a time, so that a client that pipelines and does not read makes us hold one of them. False: the
  // peer takes nothing more.
  io::Task<bool> turn_of(const Response& response);
  // Goes before each turn_of(), as soon as the request was read: those in line are bounded.
  void stand_in_line() { ++in_line_; }
  // Links a waiting operation; it unlinks itself when it ends.
  void park(Parked& parked);

 private:
  friend class Response;
  struct SendOperation : io::Operation {
    Connection* connection = nullptr;
  };
  struct FlushHook : io::PassEndHook {
    Connection* connection = nullptr;
  };
  struct WatchTimer : io::Timer {
    using io::Timer::Timer;
    Connection* connection = nullptr;
  };

  io::Task<void> read_loop();
  io::Task<void> linger();
  void on_nothing_received(const Error* error);
  void cancel_parked();
  io::Task<void> read_length();
  io::Task<void> read_pooled();
  std::pair<MutableByteView, FrameRef> copy_of(ByteView bytes);
  void begin_frame(ByteView first);
  io::Task<void> continue_frame();
  io::Task<void> look_at_frame();
  io::Task<bool> assembly_memory();
  void release_assembly();
  void on_frame_released(std::int64_t charged) override;
  io::Task<void> dispatch(MutableByteView frame, FrameRef owner);
  bool may_read() const;
  void on_response_ready();
  void flush();
  void collect_sendable();
  void submit_send();
  void close_now();
  void on_sent();
  void drop_responses();
  void release_sent();
  void watch();
  void watch_assembly(Instant now);
  void forgive(Duration span);
  void fail(const char* why);

  Shard& shard_;
  io::Socket socket_;
  io::SocketAddress peer_;
  const ListenerInfo& listener_;
  io::WaitQueue progress_;  // an answer became ready, was sent, or the connection is ending
  FrameAssembly assembly_;
  std::array<std::uint8_t, 4> length_{};  // what read_length() receives into
  std::int64_t assembly_charged_ = 0;
  std::int64_t assembly_arrived_ = 0;  // charged as such
  std::int64_t frames_charged_ = 0;    // of complete ones that somebody still needs
  IntrusiveList<Response> responses_;  // not yet being sent, in order
  IntrusiveList<Response> sending_;
  std::size_t operations_ = 0;
  std::size_t response_count_ = 0;  // in both
  std::size_t in_line_ = 0;         // of them, before the end of turn_of()
  std::size_t unsent_bytes_ = 0;    // of ready ones
  IntrusiveList<Parked, ParkedTag> parked_;
  SendOperation send_;
  std::vector<iovec> send_vectors_;
  std::size_t send_first_ = 0;  // vectors before it are gone
  FlushHook flush_hook_;
  WatchTimer watch_timer_;
  Instant last_read_;
  Instant frame_begun_;
  Instant last_sent_;
  Instant frame_progress_;
  Instant watched_;  // watch() ran last
  Instant linger_end_ = Instant::never();
  bool waits_for_memory_ = false;  // for the frame that is being assembled
  bool last_was_large_ = false;    // the last frame was
  bool ending_ = false;
  bool draining_ = false;  // it ends because the node does
  bool lingers_ = false;   // the peer may be sending, or reading still
  bool closing_ = false;   // after what is being sent, nothing is sent any more
  bool broken_ = false;    // nothing can be sent any more
};

// Accepts nothing; serves one accepted socket until it ends.
io::Task<void> serve_connection(Shard& shard, io::Handle handle, io::SocketAddress peer,
                                const ListenerInfo& listener);

}  // namespace drave::broker
