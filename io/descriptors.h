#pragma once
// What a shard does when no file descriptor is left: of the process (EMFILE), of the system
// (ENFILE), or no kernel memory for one (ENOMEM).
//
// While a DescriptorPatience lives on a loop, File::open waits there until it gets a descriptor: a
// node that runs has to open its files, and descriptors come back when connections close or the
// limit is raised. An administrator is told now and then. Without one, as while a node starts,
// File::open fails at once: Errc::busy, and a context that says the remedy. Listing a directory
// does the same.

#include <functional>

#include "base/intrusive_list.h"
#include "base/result.h"
#include "base/units.h"
#include "io/loop.h"

namespace drave::io {

class DescriptorPatience : public ListLink<> {
 public:
  // `give_up_idle` closes what is open without need. It is called on the loop when a descriptor is
  // wanted and there is none, and may not suspend. On the loop's thread, which destroys it, too.
  DescriptorPatience(Loop& loop, std::function<void()> give_up_idle);
  ~DescriptorPatience() { unlink(); }

 private:
  friend struct DescriptorWaits;
  Loop* loop_;
  std::function<void()> give_up_idle_;
  bool has_ended_ = false;
  Instant lacking_until_;
  Instant told_next_;
  bool is_told_ = false;
};

// Nobody waits on this loop from now on, as in a node that stops; who does is told Errc::busy,
// soon.
void end_descriptor_waits(Loop& loop);
// Whether a file found no descriptor on this loop within the last two seconds, and none has got one
// after a wait since.
bool lacks_descriptors(Loop& loop);
// Something else than a file found no descriptor: the administrator is told as of files.
void note_no_descriptor(Loop& loop, const char* wanted_for);

// Whether the result of an operation (a negative errno) says that descriptors, or the memory for
// one, have run out.
bool is_exhausted(std::int32_t result);

// A full disk, or no descriptor: nothing was done, and it may be tried again when there is room. No
// sync ends so.
inline bool is_shortage(const Error& error) {
  return error.code == Errc::no_space || error.code == Errc::busy;
}

namespace detail {

// For File::open: waits, longer than the last time. False: it is not to be waited for. `path` lives
// as long as the task.
Task<bool> wait_for_descriptor(Loop& loop, const std::string& path, Duration& pause);
void note_descriptor_found(Loop& loop);
// The error of an operation for which there is none: what was tried, what is wrong, what helps.
std::unexpected<Error> no_descriptor(std::int32_t result, std::string tried);

}  // namespace detail
}  // namespace drave::io
