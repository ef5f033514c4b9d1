#pragma once
// Looks names up on threads of its own, because the system's resolver may sleep for seconds, one
// name as little as another's: each distinct name (host and port) that is under way has a thread,
// up to kLookUpsMax. They exist from the first need on and are kept; destroying the resolver does
// not wait for them.
//
// A name is looked up once at a time. Who asks for one that waits or is under way gets the same
// answer, so that those who give up and ask again add nothing.

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "io/uring/address.h"

namespace drave::io {

// More names than the voters of a quorum and the controllers to begin with.
inline constexpr int kLookUpsMax = 32;
// Of which it is known that an address was silent; more than that, and all is forgotten.
inline constexpr std::size_t kSilentNamesMax = 1024;

class Resolver {
 public:
  // As resolve() of address.h; called on threads of the resolver, at the same time.
  using LookUp = std::function<std::vector<KernelAddress>(const SocketAddress&, int* system)>;

  // `announce` is called on a thread of the resolver's whenever answers are ready to be taken.
  explicit Resolver(std::function<void()> announce, LookUp look_up = resolve);
  ~Resolver();

  struct Answer {
    std::uint64_t question = 0;
    std::vector<KernelAddress> addresses;  // in the order in which to try them
    int system = 0;                        // why there are none
  };

  void ask(std::uint64_t question, SocketAddress address);
  // Nobody waits for it any more. A name that nobody waits for is not looked up.
  void forget(std::uint64_t question);
  // Answers that have come since the last call.
  std::vector<Answer> take();

  // The first of the name's addresses neither answered nor refused in time: next time it comes
  // last, and the one behind it first.
  void note_silent(const SocketAddress& address);

 private:
  struct Shared;
  static void run(std::shared_ptr<Shared> shared);

  std::shared_ptr<Shared> shared_;
};

}  // namespace drave::io
