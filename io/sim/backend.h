#pragma once
// io::Backend of one shard of a simulated node. Operations begin in wait(), take effect and
// complete at moments that the seed draws, so that independent ones overtake each other. wait()
// never sleeps: the world passes a loop when there is something for it.
//
// What a write carries is read when the operation begins or when it completes (WorldOptions::
// draw_late_buffers), so a buffer that changes in between corrupts the file. Receive buffers are
// poisoned when they come back.

#include <cstdint>
#include <memory>
#include <vector>

#include "io/backend.h"
#include "io/sim/flight.h"

namespace drave::io::sim {

class Node;
class Process;

class SimBackend final : public Backend {
 public:
  SimBackend(Process& process, std::uint32_t shard);
  ~SimBackend() override;

  void submit(Operation& operation) override;
  void cancel(Operation& operation) override;
  void wait(Instant deadline, IntrusiveList<Operation>& completed) override;
  std::int32_t read_cached(Handle handle, std::uint64_t position, MutableByteView into) override;
  void return_buffer(MutableByteView buffer) override;
  void wake(Backend& target) override;
  void wake_from_any_thread() override;
  Instant now() override;
  TimestampMs wall_now() override;
  std::uint64_t entropy() override;
  const BackendCounters& counters() const override { return counters_; }

  // --- For the node and the network.
  Process& process() { return process_; }
  std::uint32_t shard() const { return shard_; }
  bool has_work() const;  // something is queued, completed, or a wake has come
  bool has_disk_writes_in_flight() const;
  // How often wait() has returned completions.
  std::uint64_t delivery_count() const { return delivery_count_; }
  // The flight of an event; null if it is over.
  void take_effect(Flight& flight);
  // Completes the operation of a flight; the flight is recycled.
  void finish(Flight& flight, std::int32_t result);
  // Takes a receive buffer; empty: none is free, and `starved` gets one when there is one.
  MutableByteView take_buffer(Flight& starved);
  // The process has died: what is in flight has its last effects, then everything is canceled.
  void die(bool power);

 private:
  void begin(Operation& operation);
  bool begin_socket(Flight& flight);
  void schedule(Flight& flight, Duration delay);
  Duration disk_delay(const Flight& flight);
  bool resolve_handle(Flight& flight, std::int32_t& error);
  std::int32_t perform(Flight& flight);
  std::int32_t perform_on_name(Flight& flight);
  std::int32_t name_error(const Flight& flight);
  std::int32_t perform_on_file(Flight& flight);
  std::int32_t open(Flight& flight);
  std::int32_t read(Flight& flight);
  std::int32_t write(Flight& flight);
  std::int32_t sync(Flight& flight);
  std::int32_t fail_directory_sync(Flight& flight, std::int32_t error);
  bool has_seen_failures(const Flight& flight);
  std::int32_t close(const Operation& operation);
  void last_effect(Flight& flight, bool power);
  void complete_dead(Operation& operation);

  Process& process_;
  Node& node_;
  std::uint32_t shard_;
  bool woken_ = false;
  IntrusiveList<Operation> submitted_;
  mutable IntrusiveList<Operation> completed_;
  IntrusiveList<Flight, struct InFlightTag> in_flight_;
  WaitingList starved_;
  std::vector<std::unique_ptr<std::uint8_t[]>> buffers_;
  std::vector<std::uint8_t*> free_buffers_;
  std::size_t disk_writes_ = 0;
  std::uint64_t delivery_count_ = 0;
  BackendCounters counters_;
};

}  // namespace drave::io::sim
