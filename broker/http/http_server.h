#pragma once
// /metrics (Prometheus text), /health/live and /health/ready, on a thread of its own.
//
// Reads only what is atomic or immutable while the node runs; it never touches a loop, so a scrape
// cannot delay a request, and a stuck shard is still seen.

#include <memory>

#include "base/result.h"
#include "broker/config/broker_config.h"

namespace drave::broker {

class Node;

class HttpServer {
 public:
  // `node` outlives this.
  explicit HttpServer(Node& node);
  ~HttpServer();

  // Binds and serves until stop().
  Result<void> start(const HttpListener& listener);
  void stop();

 private:
  struct Server;
  Node& node_;
  std::unique_ptr<Server> server_;
};

}  // namespace drave::broker
