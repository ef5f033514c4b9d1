#include "io/descriptors.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/log.h"

namespace drave::io {
namespace {

constexpr Duration kFirstPause = milliseconds(1);  // closing what is idle takes about that long
constexpr Duration kPauseMax = milliseconds(250);
constexpr Duration kLacking = seconds(2);
constexpr Duration kToldEvery = seconds(10);

// Of the loops of this thread. A loop may be there for longer: on a thread that ended before its
// node was destroyed, or in a static object. Nobody is patient there any more.
thread_local bool have_gone = false;
struct Patients {
  IntrusiveList<DescriptorPatience> list;
  ~Patients() { have_gone = true; }
};
thread_local Patients patients;

template <class Visit>
void for_each_patient(Visit visit) {
  if (!have_gone) patients.list.for_each(visit);
}

std::uint64_t open_files_limit() {
  rlimit limit{};
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

// What is wrong and what helps, for people.
std::string no_descriptor_text() {
  return "no file descriptor is left of " + std::to_string(open_files_limit()) +
         "; raise the limit of open files (ulimit -n, LimitNOFILE= of systemd; prlimit --nofile "
         "for "
         "a process that runs)";
}

}  // namespace

// What this file does with those of one loop.
struct DescriptorWaits {
  static void enlist(DescriptorPatience& one) {
    const DescriptorPatience* before = find(*one.loop_);
    one.has_ended_ = before != nullptr && before->has_ended_;
    if (!have_gone) patients.list.push_back(one);
  }

  // The first one keeps the account of the loop. Null: nobody is patient there.
  static DescriptorPatience* find(const Loop& loop) {
    DescriptorPatience* found = nullptr;
    for_each_patient([&](DescriptorPatience& one) {
      if (found == nullptr && one.loop_ == &loop) found = &one;
    });
    return found;
  }

  static bool may_wait(const Loop& loop) {
    const DescriptorPatience* account = find(loop);
    return account != nullptr && !account->has_ended_;
  }

  static void end(const Loop& loop) {
    for_each_patient([&](DescriptorPatience& one) {
      if (one.loop_ == &loop) one.has_ended_ = true;
    });
  }

  static void give_up_idle(const Loop& loop) {
    for_each_patient([&](DescriptorPatience& one) {
      if (one.loop_ == &loop) one.give_up_idle_();
    });
  }

  static void note_lack(Loop& loop, const std::string& wanted_for) {
    DescriptorPatience* account = find(loop);
    if (account == nullptr || loop.now() < account->told_next_) return;
    account->told_next_ = loop.now() + kToldEvery;
    account->is_told_ = true;
    LOG_WARN("io", "shard={} waits wanted_for={}: {}", loop.shard(), wanted_for,
             no_descriptor_text());
  }

  static void mark_lacking(Loop& loop) {
    DescriptorPatience* account = find(loop);
    if (account != nullptr) account->lacking_until_ = loop.now() + kLacking;
  }

  static void note_found(Loop& loop) {
    DescriptorPatience* account = find(loop);
    if (account == nullptr) return;
    account->lacking_until_ = {};
    if (!account->is_told_) return;
    account->is_told_ = false;
    account->told_next_ = {};
    LOG_INFO("io", "file descriptors are there again shard={} limit={}", loop.shard(),
             open_files_limit());
  }

  static bool is_lacking(const Loop& loop) {
    const DescriptorPatience* account = find(loop);
    return account != nullptr && loop.now() < account->lacking_until_;
  }
};

DescriptorPatience::DescriptorPatience(Loop& loop, std::function<void()> give_up_idle)
    : loop_(&loop), give_up_idle_(std::move(give_up_idle)) {
  DescriptorWaits::enlist(*this);
}

void end_descriptor_waits(Loop& loop) {
  DescriptorWaits::end(loop);
}

bool lacks_descriptors(Loop& loop) {
  return DescriptorWaits::is_lacking(loop);
}

void note_no_descriptor(Loop& loop, const char* wanted_for) {
  DescriptorWaits::note_lack(loop, wanted_for);
}

bool is_exhausted(std::int32_t result) {
  return result == -EMFILE || result == -ENFILE || result == -ENOMEM || result == -ENOBUFS;
}

namespace detail {

Task<bool> wait_for_descriptor(Loop& loop, const std::string& path, Duration& pause) {
  DescriptorWaits::mark_lacking(loop);
  if (!DescriptorWaits::may_wait(loop)) co_return false;
  DescriptorWaits::give_up_idle(loop);
  // What giving up brings is there at the next look.
  if (pause > kFirstPause) DescriptorWaits::note_lack(loop, path);
  pause = std::clamp(pause + pause, kFirstPause, kPauseMax);
  co_await sleep_for(loop, pause);
  co_return true;
}

void note_descriptor_found(Loop& loop) {
  DescriptorWaits::note_found(loop);
}

std::unexpected<Error> no_descriptor(std::int32_t result, std::string tried) {
  return failure(Errc::busy, std::move(tried) + ": " + no_descriptor_text(), -result);
}

}  // namespace detail
}  // namespace drave::io
