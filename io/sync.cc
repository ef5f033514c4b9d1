#include "io/sync.h"

namespace drave::io {

void WaitQueue::TimedAwaiter::expired(Timer& timer) {
  auto& self = static_cast<TimedAwaiter&>(timer);
  if (self.woken) return;  // already on the ready queue
  static_cast<ListLink<ReadyTag>&>(self).unlink();
  self.queue.loop_.post(self);
}

}  // namespace drave::io
