#pragma once
// A request as a handler gets it.

#include <string_view>

#include "broker/net/frame.h"
#include "broker/net/response.h"
#include "io/task.h"
#include "protocol/wire.h"

namespace drave::broker {

class Shard;

struct Request {
  Shard& shard;
  Connection& connection;
  Response& response;
  FrameRef frame;        // keeps `body`, `client_id` and all views decoded from them
  MutableByteView body;  // behind the header
  std::int16_t api_key = 0;
  std::int16_t version = 0;
  std::string_view client_id;
  bool from_controller_listener = false;

  // Reads the body; false: it is not such a message, the connection is being closed.
  template <class M>
  bool read(M& message) {
    protocol::Reader in(body);
    Result<void> decoded = decode(in, message, version);
    if (!decoded) refuse(decoded.error());
    return decoded.has_value();
  }
  // Logs (at most once a second) that the request cannot be read, and closes the connection, as
  // Kafka does.
  void refuse(const Error& error);
};

// A handler runs on the connection's shard. The next request of the connection is read when its
// task has ended; what it spawned goes on.
using Handler = io::Task<void> (*)(Request request);

}  // namespace drave::broker
