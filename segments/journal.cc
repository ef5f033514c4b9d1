#include "segments/journal.h"

#include <algorithm>
#include <bit>
#include <cerrno>

#include "base/canary.h"
#include "base/log.h"
#include "segments/journal_files.h"
#include "segments/journal_format.h"
#include "segments/journal_group.h"

namespace drave::segments {
namespace {

// Freed group memory that a journal keeps.
constexpr std::size_t kIdleGroupBytes = 8 * kMiB;
// Collected but not yet written: beyond this, is_full(). A few groups, for a group that is written
// should find the next one complete.
constexpr std::int64_t kPendingGroupsMax = 4;
constexpr std::size_t kFirstPieceMin = 16 * kKiB;

}  // namespace

struct Journal::State final : JournalFilesObserver {
  State(io::Loop& on, std::string directory, std::string name, JournalOptions given);

  // --- Collecting
  JournalSequence append(JournalClient& client, const JournalEntry& entry);
  JournalGroup& group_for(std::size_t payload);
  void note(JournalGroup& group, JournalClient& client, JournalSequence sequence);
  void release(JournalClient& client, JournalSequence upto);
  void forget(JournalClient& client);

  // --- Writing: start_write -> [sync] -> on_group_durable -> start_write ...
  void start_write();
  void submit_write();
  void on_write_complete();
  void on_group_durable();
  void report_durable(JournalGroup& group);
  void fence(const Error& error);

  bool is_full() const;
  bool is_drained() const { return !writing && (fenced || pending.empty() || unreleased == 0); }
  void drop_write();
  void look_for_room();

  // --- JournalFilesObserver
  void on_file_ready() override;
  void on_files_failed(const Error& error) override { fence(error); }

  struct Hook : io::PassEndHook {
    State* state = nullptr;
  };
  struct WriteOperation : io::Operation {
    State* state = nullptr;
  };

  io::Loop& loop;
  JournalOptions options;
  JournalCounters counters;
  io::BufferPool buffers;
  std::uint64_t journal_id;
  JournalFiles files;
  Hook hook;
  WriteOperation operation;
  io::WaitQueue room;
  io::WaitQueue drained;

  std::vector<std::unique_ptr<JournalGroup>> pending;  // oldest first; the last collects
  std::vector<std::unique_ptr<JournalGroup>> spare;
  std::unique_ptr<JournalGroup> writing;
  std::uint64_t pending_bytes = 0;
  std::size_t last_group_length = 0;
  std::uint64_t written = 0;  // of the group in flight
  std::size_t first_vector = 0;
  Instant started;
  bool waits_for_file = false;
  bool was_full = false;

  IntrusiveList<JournalClient, JournalClientTag> clients;
  std::vector<JournalClient*> touched;
  std::function<void(const Error&)> failure_handler;
  std::int64_t unreleased = 0;  // clients with entries that are not released
  JournalSequence last_sequence = 0;
  JournalSequence durable_sequence = 0;
  std::uint64_t last_number = 0;
  std::uint32_t previous_crc = 0;
  bool fenced = false;
  bool closing = false;
  Error fence_reason;
  Histogram write_ns;
  Histogram group_entries;
};

Journal::State::State(io::Loop& on, std::string directory, std::string name, JournalOptions given)
    : loop(on),
      options(given),
      buffers(kIdleGroupBytes),
      journal_id(on.backend().entropy()),
      files(on, std::move(directory), {std::move(name), journal_id, 1}, options, counters, *this),
      room(on),
      drained(on) {
  hook.state = this;
  hook.run = [](io::PassEndHook& at) { static_cast<Hook&>(at).state->start_write(); };
  operation.state = this;
  operation.complete = [](io::Operation& at) {
    static_cast<WriteOperation&>(at).state->on_write_complete();
  };
}

JournalGroup& Journal::State::group_for(std::size_t payload) {
  if (!pending.empty()) {
    JournalGroup& last = *pending.back();
    if (last.length_with(payload) <= static_cast<std::uint64_t>(options.group_bytes_max))
      return last;
  }
  if (spare.empty()) spare.push_back(std::make_unique<JournalGroup>());
  pending.push_back(std::move(spare.back()));
  spare.pop_back();
  pending.back()->reset(last_sequence + 1, std::clamp(std::bit_ceil(last_group_length),
                                                      kFirstPieceMin, io::BufferPool::kSizeMax));
  return *pending.back();
}

void Journal::State::note(JournalGroup& group, JournalClient& client, JournalSequence sequence) {
  auto& noted = group.noted();
  if (client.noted_group_ == &group && client.noted_at_ < noted.size() &&
      noted[client.noted_at_].client == &client) {
    noted[client.noted_at_].sequence = sequence;
    return;
  }
  client.noted_group_ = &group;
  client.noted_at_ = noted.size();
  noted.push_back({&client, sequence});
}

JournalSequence Journal::State::append(JournalClient& client, const JournalEntry& entry) {
  if (fenced) return 0;
  if (!client.is_linked()) clients.push_back(client);
  if (client.released_ >= client.last_) ++unreleased;
  JournalGroup& group = group_for(entry.payload.size());
  const std::uint64_t before = group.is_empty() ? 0 : group.length();
  const JournalSequence sequence = ++last_sequence;
  group.add(buffers, entry);
  ASSERT_EQUAL(group.last_sequence(), sequence);
  pending_bytes += group.length() - before;
  client.last_ = sequence;
  note(group, client, sequence);
  if (!client.touched_) {
    client.touched_ = true;
    touched.push_back(&client);
  }
  ++counters.entries;
  counters.payload_bytes += entry.payload.size();
  if (!writing) loop.at_pass_end(hook);
  return sequence;
}

void Journal::State::release(JournalClient& client, JournalSequence upto) {
  const bool needed = client.released_ < client.last_;
  client.released_ = std::max(client.released_, std::min(upto, client.last_));
  if (!needed) return;
  if (client.released_ >= client.last_) --unreleased;
  files.look_for_released();
  if (is_drained()) drained.wake_all();
}

void Journal::State::forget(JournalClient& client) {
  release(client, client.last_);
  const auto drop = [&client](JournalGroup& group) {
    for (JournalGroup::Noted& noted : group.noted())
      if (noted.client == &client) noted.client = nullptr;
  };
  for (auto& group : pending) drop(*group);
  if (writing) drop(*writing);
  files.forget(client);
  if (client.touched_) std::erase(touched, &client);
  client.touched_ = false;
  client.noted_group_ = nullptr;
  client.unlink();
  client.last_ = client.released_ = 0;
}

void Journal::State::start_write() {
  if (fenced || closing || writing || pending.empty()) return;
  JournalGroup& group = *pending.front();
  // Who truncates or removes holds what the flusher needs to free the journal: it must get through.
  const bool has_control = std::any_of(pending.begin(), pending.end(),
                                       [](const auto& waiting) { return waiting->has_control(); });
  if (!files.make_room(group.length(), has_control)) {
    waits_for_file = true;
    was_full = true;
    return;
  }
  waits_for_file = false;
  writing = std::move(pending.front());
  pending.erase(pending.begin());
  pending_bytes -= group.length();
  last_group_length = group.length();
  GroupHeader header;
  header.journal_id = journal_id;
  header.generation = files.active().generation;
  header.number = ++last_number;
  header.previous_crc = previous_crc;
  previous_crc = group.seal(header);
  for (const JournalGroup::Noted& noted : group.noted())
    if (noted.client != nullptr) files.note(*noted.client, noted.sequence);
  written = 0;
  first_vector = 0;
  started = loop.now_precise();
  submit_write();
  if (DRAVE_CANARY("ack-before-flush")) report_durable(group);
}

void Journal::State::submit_write() {
  JournalFile& file = files.active();
  operation.code = io::OperationCode::write;
  operation.handle = file.file.handle();
  operation.position = static_cast<std::uint64_t>(file.position) + written;
  operation.vectors = writing->vectors().data() + first_vector;
  operation.vector_count = static_cast<std::uint32_t>(writing->vectors().size() - first_vector);
  operation.write_through = options.direct;
  loop.submit(operation);
}

void Journal::State::on_write_complete() {
  const std::int32_t result = operation.result;
  if (fenced) return drop_write();
  if (result == -EINTR || result == -EAGAIN) return loop.submit(operation);
  // The kernel takes what it could not write for written: a second sync finds nothing to do.
  if (result < 0 && operation.code == io::OperationCode::sync_data && written > 0 &&
      DRAVE_CANARY("journal-sync-retried")) {
    written = 0;  // once
    return loop.submit(operation);
  }
  if (result < 0) {
    fence(error_from_errno(-result, "write of journal file " + files.active().path));
    return drop_write();
  }
  if (operation.code == io::OperationCode::sync_data) return on_group_durable();
  // A short direct write goes on at the last whole block; rewriting part of it hurts nobody, for
  // nothing of this group has been acknowledged.
  std::size_t n = static_cast<std::size_t>(result) / kJournalBlock * kJournalBlock;
  written += n;
  if (n == 0) {
    fence(Error{Errc::io, 0, "empty write of journal file " + files.active().path});
    return drop_write();
  }
  if (written < writing->length()) {
    auto& vectors = writing->vectors();
    while (n >= vectors[first_vector].iov_len) n -= vectors[first_vector++].iov_len;
    vectors[first_vector].iov_base = static_cast<std::uint8_t*>(vectors[first_vector].iov_base) + n;
    vectors[first_vector].iov_len -= n;
    return submit_write();
  }
  if (options.direct) return on_group_durable();
  operation.code = io::OperationCode::sync_data;
  loop.submit(operation);
}

void Journal::State::drop_write() {
  writing->give_back();
  writing.reset();
  drained.wake_all();
}

void Journal::State::on_group_durable() {
  JournalGroup& group = *writing;
  files.active().position += static_cast<std::int64_t>(group.length());
  ++counters.groups;
  counters.written_bytes += group.length();
  write_ns.record((loop.now_precise() - started).ns);
  group_entries.record(group.entry_count());
  // The next group starts at the end of this pass, with what the callbacks append.
  std::unique_ptr<JournalGroup> done = std::move(writing);
  durable_sequence = done->last_sequence();
  loop.at_pass_end(hook);
  if (!DRAVE_CANARY("ack-before-flush")) report_durable(*done);
  done->give_back();
  spare.push_back(std::move(done));
  look_for_room();
  if (is_drained()) drained.wake_all();
}

void Journal::State::report_durable(JournalGroup& group) {
  for (std::size_t i = 0; i < group.noted().size(); ++i) {
    const JournalGroup::Noted noted = group.noted()[i];
    if (noted.client != nullptr) noted.client->on_journal_durable(noted.sequence);
  }
}

void Journal::State::fence(const Error& error) {
  if (fenced) return;
  fenced = true;
  fence_reason = error;
  files.freeze();
  LOG_ERROR("journal", "fenced, nothing more is acknowledged: {}", error.message());
  std::vector<JournalClient*> all;
  clients.for_each([&all](JournalClient& client) { all.push_back(&client); });
  for (JournalClient* client : all)
    if (client->is_linked()) client->on_journal_failed(fence_reason);
  if (failure_handler) failure_handler(fence_reason);
  room.wake_all();
  drained.wake_all();
}

bool Journal::State::is_full() const {
  return waits_for_file ||
         pending_bytes >= static_cast<std::uint64_t>(kPendingGroupsMax * options.group_bytes_max);
}

void Journal::State::look_for_room() {
  if (is_full()) {
    was_full = true;
  } else if (was_full || room.has_waiters()) {
    was_full = false;
    room.wake_all();
  }
}

void Journal::State::on_file_ready() {
  if (waits_for_file) start_write();
  look_for_room();
}

Journal::Journal(std::unique_ptr<State> state) : state_(std::move(state)) {}

Journal::~Journal() {
  ASSERT(!state_->writing);
  state_->clients.clear();
  state_->hook.unlink();
}

io::Task<Result<std::unique_ptr<Journal>>> Journal::create(io::Loop& loop, std::string directory,
                                                           std::string name,
                                                           JournalOptions options) {
  constexpr auto kBlock = static_cast<std::int64_t>(kJournalBlock);
  ASSERT(options.file_bytes % kBlock == 0 && options.first_file_bytes % kBlock == 0);
  ASSERT(options.first_file_bytes >= kBlock && options.group_bytes_max >= kBlock);
  options.first_file_bytes = std::min(options.first_file_bytes, options.file_bytes);
  auto state = std::make_unique<State>(loop, std::move(directory), std::move(name), options);
  CO_TRY_VOID(co_await state->files.start());
  co_return std::unique_ptr<Journal>(new Journal(std::move(state)));
}

JournalSequence Journal::append(JournalClient& client, const JournalEntry& entry) {
  return state_->append(client, entry);
}
JournalSequence Journal::durable_sequence() const {
  return state_->durable_sequence;
}
JournalSequence Journal::last_sequence() const {
  return state_->last_sequence;
}
bool Journal::is_fenced() const {
  return state_->fenced;
}
const Error& Journal::fence_reason() const {
  return state_->fence_reason;
}
void Journal::release(JournalClient& client, JournalSequence upto) {
  state_->release(client, upto);
}
void Journal::forget(JournalClient& client) {
  state_->forget(client);
}
void Journal::hold_files() {
  state_->files.hold();
}
void Journal::unhold_files() {
  state_->files.unhold();
}
std::int64_t Journal::used_bytes() const {
  return state_->files.used_bytes();
}
std::int64_t Journal::bytes_max() const {
  return state_->options.bytes_max;
}
bool Journal::is_full() const {
  return state_->is_full();
}
std::vector<JournalClient*> Journal::oldest_clients() {
  return state_->files.oldest_clients();
}
void Journal::take_touched(std::vector<JournalClient*>& into) {
  for (JournalClient* client : state_->touched) {
    client->touched_ = false;
    into.push_back(client);
  }
  state_->touched.clear();
}
void Journal::fence(const Error& error) {
  state_->fence(error);
}
void Journal::set_failure_handler(std::function<void(const Error&)> handler) {
  state_->failure_handler = std::move(handler);
}
io::WaitQueue& Journal::room() {
  return state_->room;
}

io::Task<Result<void>> Journal::close() {
  while (!state_->is_drained()) co_await state_->drained.wait();
  state_->closing = true;
  const bool is_void = state_->unreleased == 0 && !state_->fenced;
  auto stopped = co_await state_->files.stop(is_void);
  state_->clients.clear();
  co_return stopped;
}

const JournalCounters& Journal::counters() const {
  return state_->counters;
}
const Histogram& Journal::write_ns() const {
  return state_->write_ns;
}
const Histogram& Journal::group_entries() const {
  return state_->group_entries;
}

}  // namespace drave::segments
