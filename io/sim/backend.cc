#include "io/sim/backend.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "io/sim/world.h"

namespace drave::io::sim {
namespace {

constexpr const char* kFileCodeNames[] = {
    "open",     "close",    "read",   "write",  "sync_data",      "sync",
    "truncate", "allocate", "rename", "unlink", "make_directory", "remove_directory"};

constexpr std::uint8_t kPoison = 0xDB;
// A sync that finds another one of its file in progress looks again after this.
constexpr Duration kSyncRetry = microseconds(10);
// No file system cuts a read or write of less.
constexpr std::size_t kShortTransferLeast = 512;
constexpr std::size_t kBytesPerNanosecond = 2;  // of the device

bool is_socket_code(OperationCode code) {
  return code >= OperationCode::listen;
}
bool is_sync(OperationCode code) {
  return code == OperationCode::sync || code == OperationCode::sync_data;
}
bool has_handle(OperationCode code) {
  switch (code) {
    case OperationCode::close:
    case OperationCode::read:
    case OperationCode::write:
    case OperationCode::sync_data:
    case OperationCode::sync:
    case OperationCode::truncate:
    case OperationCode::allocate:
    case OperationCode::lock:
    case OperationCode::accept:
    case OperationCode::receive:
    case OperationCode::send:
    case OperationCode::shutdown: return true;
    default: return false;
  }
}

bool is_aligned(const Operation& operation) {
  std::uint64_t bits = operation.position;
  for (std::uint32_t i = 0; i < operation.vector_count; ++i) {
    bits |= operation.vectors[i].iov_len;
    bits |= reinterpret_cast<std::uintptr_t>(operation.vectors[i].iov_base);
  }
  return bits % kDirectAlignment == 0;
}

bool happens(Random& random, std::uint32_t one_in) {
  return one_in != 0 && random.one_in(one_in);
}

const char* text_of(const char* path) {
  return path == nullptr ? "" : path;
}

// The story of a disk, for --log: what changes it, by inode; an open says which file that is.
void log_change(const Flight& flight, Instant at, const char* how, std::int32_t result) {
  const Operation& operation = *flight.operation;
  if (operation.code > OperationCode::remove_directory || operation.code == OperationCode::read ||
      operation.code == OperationCode::close) {
    return;
  }
  LOG_DEBUG("disk", "at_us={} {}{} inode={} path={}{} position={} bytes={} size={} result={}",
            at.ns / 1000, how, kFileCodeNames[static_cast<std::size_t>(operation.code)],
            flight.inode == nullptr ? 0 : flight.inode->number, text_of(operation.path),
            text_of(operation.path_to), operation.position, size_of(operation), operation.size,
            result);
}

}  // namespace

std::size_t size_of(const Operation& operation) {
  std::size_t size = 0;
  for (std::uint32_t i = 0; i < operation.vector_count; ++i) size += operation.vectors[i].iov_len;
  return size;
}

void gather(const Operation& operation, std::vector<std::uint8_t>& into) {
  into.clear();
  for (std::uint32_t i = 0; i < operation.vector_count; ++i) {
    const auto* first = static_cast<const std::uint8_t*>(operation.vectors[i].iov_base);
    into.insert(into.end(), first, first + operation.vectors[i].iov_len);
  }
}

void scatter(const Operation& operation, ByteView bytes) {
  for (std::uint32_t i = 0; i < operation.vector_count && !bytes.empty(); ++i) {
    const std::size_t piece = std::min<std::size_t>(operation.vectors[i].iov_len, bytes.size());
    std::memcpy(operation.vectors[i].iov_base, bytes.data(), piece);
    bytes = bytes.subspan(piece);
  }
}

SimBackend::SimBackend(Process& process, std::uint32_t shard)
    : process_(process), node_(process.node()), shard_(shard) {}

SimBackend::~SimBackend() = default;

Instant SimBackend::now() {
  return process_.dead_ ? process_.dead_now_ : node_.now();
}
TimestampMs SimBackend::wall_now() {
  return node_.wall_now();
}
std::uint64_t SimBackend::entropy() {
  return node_.random().next();
}

void SimBackend::wake(Backend& target) {
  auto& other = static_cast<SimBackend&>(target);
  ++counters_.doorbells;
  other.woken_ = true;
  if (!process_.dead_) node_.touch(other.shard_);
}

void SimBackend::wake_from_any_thread() {
  woken_ = true;
  if (!process_.dead_) node_.touch(shard_);
}

bool SimBackend::has_work() const {
  return woken_ || !submitted_.empty() || !completed_.empty();
}

bool SimBackend::has_disk_writes_in_flight() const {
  return disk_writes_ > 0;
}

void SimBackend::submit(Operation& operation) {
  ++counters_.submitted;
  operation.backend_word[0] = operation.backend_word[1] = 0;
  submitted_.push_back(operation);
}

void SimBackend::wait(Instant, IntrusiveList<Operation>& completed) {
  ++counters_.waits;
  woken_ = false;
  while (!submitted_.empty()) {
    Operation& operation = submitted_.pop_front();
    if (process_.dead_) {
      complete_dead(operation);
    } else {
      begin(operation);
    }
  }
  if (!completed_.empty()) ++delivery_count_;
  completed.splice_back(completed_);
}

void SimBackend::cancel(Operation& operation) {
  if (operation.backend_word[1] == 0) {  // not begun
    operation.unlink();
    operation.result = -ECANCELED;
    operation.backend_word[1] = UINT64_MAX;
    ++counters_.completed;
    completed_.push_back(operation);
    return;
  }
  Flight* flight = node_.find_flight(operation.backend_word[0], operation.backend_word[1] - 1);
  if (flight == nullptr || flight->operation != &operation) return;
  const bool waits = static_cast<Flight::WaitingLink*>(flight)->is_linked();
  if (waits || operation.code == OperationCode::connect) finish(*flight, -ECANCELED);
}

void SimBackend::finish(Flight& flight, std::int32_t result) {
  Operation& operation = *flight.operation;
  operation.result = result;
  ++counters_.completed;
  ++node_.world().counters().operations;
  node_.world().trace().add((static_cast<std::uint64_t>(operation.code) << 48) ^
                            (std::uint64_t{node_.number()} << 40) ^ (std::uint64_t{shard_} << 32) ^
                            static_cast<std::uint32_t>(result));
  if (!process_.dead_) log_change(flight, node_.world().now(), "", result);
  if (operation.code == OperationCode::write) --disk_writes_;
  static_cast<Flight::InFlightLink&>(flight).unlink();
  static_cast<Flight::WaitingLink&>(flight).unlink();
  node_.recycle(flight);
  completed_.push_back(operation);
  node_.touch(shard_);
}

void SimBackend::complete_dead(Operation& operation) {
  operation.backend_word[1] = UINT64_MAX;
  ++counters_.completed;
  switch (operation.code) {
    case OperationCode::close:
    case OperationCode::shutdown: operation.result = 0; break;
    case OperationCode::receive:
    case OperationCode::send: operation.result = -ECONNRESET; break;
    case OperationCode::accept: operation.result = -ECANCELED; break;
    default: operation.result = -EIO;
  }
  completed_.push_back(operation);
}

// --- Starting.

bool SimBackend::resolve_handle(Flight& flight, std::int32_t& error) {
  const Operation& operation = *flight.operation;
  if (!has_handle(operation.code)) return true;
  Descriptor* descriptor = process_.find_descriptor(operation.handle);
  error = -EBADF;
  if (descriptor == nullptr) return false;
  flight.inode = descriptor->inode;
  flight.opened = descriptor->options;
  flight.connection = descriptor->connection;
  flight.side = descriptor->side;
  flight.listening = descriptor->listening;
  if (operation.code == OperationCode::close) return true;
  if (operation.code == OperationCode::accept) {
    error = -EINVAL;
    return flight.listening != nullptr;
  }
  if (is_socket_code(operation.code)) {
    error = -ENOTSOCK;
    return flight.connection != nullptr || operation.code == OperationCode::shutdown;
  }
  if (flight.inode == nullptr) return false;
  const bool reads = operation.code == OperationCode::read;
  const bool writes = operation.code == OperationCode::write ||
                      operation.code == OperationCode::truncate ||
                      operation.code == OperationCode::allocate;
  if ((reads && !flight.opened.read) || (writes && !flight.opened.write)) return false;
  error = -EISDIR;
  if ((reads || writes) && flight.inode->is_directory) return false;
  error = -EINVAL;
  return !(reads || operation.code == OperationCode::write) || !flight.opened.direct ||
         is_aligned(operation);
}

void SimBackend::begin(Operation& operation) {
  Flight& flight = node_.take_flight(*this, operation);
  in_flight_.push_back(flight);
  if (operation.code == OperationCode::write) ++disk_writes_;
  std::int32_t error = 0;
  if (!resolve_handle(flight, error)) {
    finish(flight, error);
    return;
  }
  if (is_socket_code(operation.code) && begin_socket(flight)) return;
  if (operation.code == OperationCode::write && !node_.world().reads_buffers_late()) {
    gather(operation, flight.early_bytes);
    flight.has_early_bytes = true;
  }
  if (is_sync(operation.code)) {
    flight.change_number = node_.disk().change_number();
    if (!flight.inode->is_directory) flight.syncing = flight.inode->data.begin_sync();
    if (!flight.inode->is_directory && !flight.syncing) {
      schedule(flight, kSyncRetry);
      return;
    }
  }
  schedule(flight, disk_delay(flight));
}

bool SimBackend::begin_socket(Flight& flight) {
  Network& network = node_.world().network();
  switch (flight.operation->code) {
    case OperationCode::accept: network.accept(flight); return true;
    case OperationCode::connect: network.connect(flight); return true;
    case OperationCode::receive: network.receive(flight); return true;
    case OperationCode::send: network.send(flight); return true;
    default: return false;
  }
}

void SimBackend::schedule(Flight& flight, Duration delay) {
  node_.schedule_flight(flight, node_.world().now() + delay);
}

Duration SimBackend::disk_delay(const Flight& flight) {
  const Operation& operation = *flight.operation;
  const DiskOptions& options = node_.disk().options();
  Random& random = node_.disk().random();
  Duration delay;
  switch (operation.code) {
    case OperationCode::read:
      delay =
          (flight.opened.direct || random.one_in(4) ? options.device_delay : options.cached_delay)
              .draw(random);
      break;
    case OperationCode::write: {
      const bool device =
          flight.opened.direct || flight.opened.write_through || operation.write_through;
      delay = (device ? options.device_delay : options.cached_delay).draw(random) +
              nanoseconds(static_cast<std::int64_t>(size_of(operation) / kBytesPerNanosecond));
      break;
    }
    case OperationCode::sync:
    case OperationCode::sync_data: delay = options.sync_delay.draw(random); break;
    default: delay = options.name_delay.draw(random);
  }
  if (!is_socket_code(operation.code) && operation.code != OperationCode::close &&
      happens(random, options.stall_one_in)) {
    ++node_.world().counters().stalls;
    delay = delay + options.stall_delay.draw(random);
  }
  return delay;
}

// --- Taking effect.

void SimBackend::take_effect(Flight& flight) {
  const OperationCode code = flight.operation->code;
  if (code == OperationCode::connect) {
    node_.world().network().connect(flight);
    return;
  }
  if (is_sync(code) && !flight.inode->is_directory && !flight.syncing) {
    flight.syncing = flight.inode->data.begin_sync();
    schedule(flight, flight.syncing ? disk_delay(flight) : kSyncRetry);
    return;
  }
  finish(flight, perform(flight));
}

// Why a name or a size cannot be changed; 0: it can.
std::int32_t SimBackend::name_error(const Flight& flight) {
  Disk& disk = node_.disk();
  const Operation& operation = *flight.operation;
  switch (operation.code) {
    case OperationCode::open:
      if (!operation.open.create || disk.exists(operation.path)) return 0;
      break;
    case OperationCode::rename:
    case OperationCode::unlink:
    case OperationCode::make_directory:
    case OperationCode::remove_directory:
    case OperationCode::truncate: break;
    case OperationCode::sync:
    case OperationCode::sync_data:
      if (!flight.inode->is_directory) return 0;
      break;
    default: return 0;
  }
  const bool is_full = happens(disk.random(), disk.options().name_no_space_one_in);
  if (!is_full && !happens(disk.random(), disk.options().name_error_one_in)) return 0;
  ++node_.world().counters().name_errors;
  return is_full ? -ENOSPC : -EIO;
}

std::int32_t SimBackend::perform(Flight& flight) {
  if (const std::int32_t error = name_error(flight); error != 0) {
    return is_sync(flight.operation->code) ? fail_directory_sync(flight, error) : error;
  }
  switch (flight.operation->code) {
    case OperationCode::close: return close(*flight.operation);
    case OperationCode::listen: {
      if (!process_.has_free_descriptor()) return -EMFILE;
      Descriptor made;
      const int error = node_.world().network().listen(node_, flight.operation->address,
                                                       flight.operation->backlog, made.listening);
      if (error != 0) return error;
      flight.operation->address.port = made.listening->address.port;
      return process_.add_descriptor(std::move(made));
    }
    case OperationCode::shutdown:
      if (flight.connection != nullptr) {
        node_.world().network().shutdown(*flight.connection, flight.side,
                                         flight.operation->shutdown_write_only);
        return 0;
      }
      if (flight.listening != nullptr) {
        node_.world().network().close(*flight.listening);
        return 0;
      }
      return -ENOTSOCK;
    case OperationCode::read:
    case OperationCode::write:
    case OperationCode::sync:
    case OperationCode::sync_data:
    case OperationCode::truncate:
    case OperationCode::allocate:
    case OperationCode::lock: return perform_on_file(flight);
    default: return perform_on_name(flight);
  }
}

std::int32_t SimBackend::perform_on_name(Flight& flight) {
  Operation& operation = *flight.operation;
  Disk& disk = node_.disk();
  switch (operation.code) {
    case OperationCode::open: return open(flight);
    case OperationCode::rename: return disk.rename(operation.path, operation.path_to);
    case OperationCode::unlink: return disk.unlink(operation.path);
    case OperationCode::make_directory: return disk.make_directory(operation.path);
    case OperationCode::remove_directory: return disk.remove_directory(operation.path);
    case OperationCode::list: return disk.list(operation.path, *operation.entries);
    case OperationCode::status: return disk.status(operation.path, *operation.file_status);
    case OperationCode::free_space: *operation.space = disk.free_space(); return 0;
    default: return -EINVAL;
  }
}

std::int32_t SimBackend::perform_on_file(Flight& flight) {
  const Operation& operation = *flight.operation;
  Inode& inode = *flight.inode;
  switch (operation.code) {
    case OperationCode::read: return read(flight);
    case OperationCode::write: return write(flight);
    case OperationCode::sync:
    case OperationCode::sync_data: return sync(flight);
    case OperationCode::truncate: return node_.disk().truncate(inode, operation.size);
    case OperationCode::allocate:
      if (happens(node_.disk().random(), node_.disk().options().no_space_one_in)) {
        ++node_.world().counters().no_space;
        return -ENOSPC;
      }
      return node_.disk().allocate(inode, operation.position, operation.size);
    case OperationCode::lock: {
      const std::uint64_t number = process_.lock_number(operation.handle);
      if (inode.lock_holder != 0 && inode.lock_holder != number) return -EWOULDBLOCK;
      inode.lock_holder = number;
      return 0;
    }
    default: return -EINVAL;
  }
}

std::int32_t SimBackend::open(Flight& flight) {
  if (!process_.has_free_descriptor()) return -EMFILE;
  Descriptor made;
  made.options = flight.operation->open;
  const int error = node_.disk().open(flight.operation->path, made.options, wall_now(), made.inode);
  flight.inode = made.inode;
  if (error == 0) made.failed_syncs_seen = made.inode->failed_syncs;
  return error != 0 ? error : process_.add_descriptor(std::move(made));
}

std::int32_t SimBackend::read(Flight& flight) {
  const Operation& operation = *flight.operation;
  const DiskOptions& options = node_.disk().options();
  Random& random = node_.disk().random();
  WorldCounters& counters = node_.world().counters();
  if (happens(random, options.read_error_one_in)) {
    ++counters.read_errors;
    return -EIO;
  }
  std::size_t wanted = size_of(operation);
  const std::size_t step = flight.opened.direct ? kDirectAlignment : 1;
  if (wanted > std::max(step, kShortTransferLeast) && happens(random, options.short_read_one_in)) {
    wanted = (1 + random.below(wanted / step)) * step;
    ++counters.short_transfers;
  }
  std::uint64_t position = operation.position;
  std::size_t done = 0;
  for (std::uint32_t i = 0; i < operation.vector_count && done < wanted; ++i) {
    const std::size_t piece = std::min<std::size_t>(operation.vectors[i].iov_len, wanted - done);
    const std::size_t got = flight.inode->data.read(
        position, {static_cast<std::uint8_t*>(operation.vectors[i].iov_base), piece});
    done += got;
    position += got;
    if (got > 0 && happens(random, options.bad_read_one_in)) {
      auto* bytes = static_cast<std::uint8_t*>(operation.vectors[i].iov_base);
      bytes[random.below(got)] ^= static_cast<std::uint8_t>(random.between(1, 255));
      ++counters.bad_reads;
    }
    if (got < piece) break;
  }
  return static_cast<std::int32_t>(done);
}

std::int32_t SimBackend::write(Flight& flight) {
  const Operation& operation = *flight.operation;
  Disk& disk = node_.disk();
  const DiskOptions& options = disk.options();
  Random& random = disk.random();
  WorldCounters& counters = node_.world().counters();
  if (!flight.has_early_bytes) gather(operation, flight.early_bytes);
  ByteView bytes = flight.early_bytes;
  if (bytes.empty()) return 0;
  if (happens(random, options.write_error_one_in)) {
    ++counters.write_errors;
    disk.interrupt_write(*flight.inode, operation.position, bytes, false);
    return -EIO;
  }
  if (happens(random, options.no_space_one_in)) {
    ++counters.no_space;
    return -ENOSPC;
  }
  // A short write ends where a page ends, as the kernel's do.
  const std::uint64_t first_end = (operation.position / kPageBytes + 1) * kPageBytes;
  const std::uint64_t end = operation.position + bytes.size();
  if (end > first_end && happens(random, options.short_write_one_in)) {
    ++counters.short_transfers;
    const std::uint64_t pages = (end - first_end - 1) / kPageBytes + 1;
    bytes = bytes.first(first_end + random.below(pages) * kPageBytes - operation.position);
  }
  bool durable = flight.opened.write_through || operation.write_through;
  if (durable && happens(random, options.lying_sync_one_in)) {
    ++counters.lying_syncs;
    durable = false;
  }
  node_.world().trace().add_bytes(bytes);
  flight.inode->modified_ms = wall_now();
  return static_cast<std::int32_t>(disk.write(*flight.inode, operation.position, bytes, durable));
}

// Whoever has the directory open hears of it, once.
std::int32_t SimBackend::fail_directory_sync(Flight& flight, std::int32_t error) {
  ++node_.world().counters().failed_syncs;
  if (has_seen_failures(flight)) ++flight.inode->failed_syncs;
  node_.disk().fail_sync(*flight.inode, flight.change_number);
  process_.find_descriptor(flight.operation->handle)->failed_syncs_seen =
      flight.inode->failed_syncs;
  return error;
}

bool SimBackend::has_seen_failures(const Flight& flight) {
  const Descriptor* descriptor = process_.find_descriptor(flight.operation->handle);
  return descriptor->failed_syncs_seen == flight.inode->failed_syncs;
}

std::int32_t SimBackend::sync(Flight& flight) {
  Disk& disk = node_.disk();
  const bool is_directory = flight.inode->is_directory;
  if (is_directory && !has_seen_failures(flight)) return fail_directory_sync(flight, -EIO);
  if (happens(disk.random(), disk.options().sync_error_one_in)) {
    if (is_directory) return fail_directory_sync(flight, -EIO);
    ++node_.world().counters().failed_syncs;
    flight.inode->data.fail_sync();
    return -EIO;
  }
  if (happens(disk.random(), disk.options().lying_sync_one_in)) {
    ++node_.world().counters().lying_syncs;
    if (!is_directory) flight.inode->data.fail_sync();
    return 0;
  }
  if (is_directory) {
    disk.sync_directory(*flight.inode, flight.change_number);
  } else {
    flight.inode->data.end_sync();
  }
  return 0;
}

std::int32_t SimBackend::close(const Operation& operation) {
  Descriptor* descriptor = process_.find_descriptor(operation.handle);
  if (descriptor == nullptr) return -EBADF;
  if (descriptor->connection != nullptr) {
    node_.world().network().close(*descriptor->connection, descriptor->side);
  }
  if (descriptor->listening != nullptr) {
    node_.world().network().close(*descriptor->listening);
  }
  process_.free_descriptor(operation.handle);
  return 0;
}

std::int32_t SimBackend::read_cached(Handle handle, std::uint64_t position, MutableByteView into) {
  if (process_.dead_) return -EIO;
  Descriptor* descriptor = process_.find_descriptor(handle);
  if (descriptor == nullptr || descriptor->inode == nullptr || !descriptor->options.read) {
    return -EBADF;
  }
  if (happens(node_.disk().random(), node_.disk().options().uncached_one_in)) return -EAGAIN;
  return static_cast<std::int32_t>(descriptor->inode->data.read(position, into));
}

MutableByteView SimBackend::take_buffer(Flight& starved) {
  const std::size_t size = node_.options().receive_buffer_bytes;
  if (free_buffers_.empty() && buffers_.size() < node_.options().receive_buffers) {
    buffers_.push_back(std::make_unique<std::uint8_t[]>(size));
    free_buffers_.push_back(buffers_.back().get());
  }
  if (free_buffers_.empty()) {
    ++counters_.receive_starved;
    static_cast<Flight::WaitingLink&>(starved).unlink();
    starved_.push_back(starved);
    return {};
  }
  std::uint8_t* data = free_buffers_.back();
  free_buffers_.pop_back();
  return {data, size};
}

void SimBackend::return_buffer(MutableByteView buffer) {
  std::memset(buffer.data(), kPoison, node_.options().receive_buffer_bytes);
  free_buffers_.push_back(buffer.data());
  if (starved_.empty() || process_.dead_) return;
  Flight& flight = starved_.pop_front();
  node_.world().network().receive(flight);
}

// --- Dying.

void SimBackend::last_effect(Flight& flight, bool power) {
  const Operation& operation = *flight.operation;
  Disk& disk = node_.disk();
  log_change(flight, node_.world().now(), power ? "at power cut: " : "at kill: ", 0);
  switch (operation.code) {
    case OperationCode::write:
      if (!flight.has_early_bytes) gather(operation, flight.early_bytes);
      disk.interrupt_write(*flight.inode, operation.position, flight.early_bytes, power);
      break;
    case OperationCode::sync:
    case OperationCode::sync_data:
      // The kernel goes on with what it has begun; a power cut is decided by the disk.
      if (power) break;
      if (flight.syncing) flight.inode->data.end_sync();
      if (flight.inode->is_directory) disk.sync_directory(*flight.inode, flight.change_number);
      break;
    case OperationCode::open: {
      InodePointer opened;
      if (disk.random().one_in(2)) disk.open(operation.path, operation.open, wall_now(), opened);
      break;
    }
    case OperationCode::rename:
    case OperationCode::unlink:
    case OperationCode::make_directory:
    case OperationCode::remove_directory:
      if (disk.random().one_in(2)) perform_on_name(flight);
      break;
    case OperationCode::truncate:
    case OperationCode::allocate:
      if (disk.random().one_in(2)) perform_on_file(flight);
      break;
    default: break;
  }
}

void SimBackend::die(bool power) {
  while (!in_flight_.empty()) {
    Flight& flight = in_flight_.front();
    last_effect(flight, power);
    finish(flight, -ECANCELED);
  }
  while (!submitted_.empty()) {
    Operation& operation = submitted_.pop_front();
    complete_dead(operation);
    operation.result = -ECANCELED;
  }
  completed_.for_each([](Operation& operation) {
    operation.result = operation.code == OperationCode::close ? 0 : -ECANCELED;
  });
}

}  // namespace drave::io::sim
