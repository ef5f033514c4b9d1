#include "broker/http/http_server.h"

// The listener is the one thread of the broker that is not a shard's: cpp-httplib blocks.
#include <fmt/format.h>
#include <httplib.h>

#include <thread>

#include "broker/http/metrics_text.h"
#include "broker/node.h"

namespace drave::broker {

struct HttpServer::Server {
  httplib::Server http;
  std::thread thread;
};

HttpServer::HttpServer(Node& node) : node_(node) {}

HttpServer::~HttpServer() {
  stop();
}

Result<void> HttpServer::start(const HttpListener& listener) {
  server_ = std::make_unique<Server>();
  httplib::Server& http = server_->http;
  http.new_task_queue = [] { return new httplib::ThreadPool(1); };
  http.set_read_timeout(5);
  http.set_write_timeout(5);
  http.set_payload_max_length(4096);
  http.Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
    response.set_content(metrics_text(node_), "text/plain; version=0.0.4");
  });
  http.Get("/health/live", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("live\n", "text/plain");
  });
  http.Get("/health/ready", [this](const httplib::Request&, httplib::Response& response) {
    const Readiness readiness = node_.readiness();
    if (!readiness.is_ready) response.status = 503;
    response.set_content(readiness.text + "\n", "text/plain");
  });
  if (!http.bind_to_port(listener.host.c_str(), listener.port)) {
    server_.reset();
    return failure(Errc::io,
                   fmt::format("the HTTP listener cannot bind {}:{}; set drave.http.listener "
                               "to another address, or to off",
                               listener.host, listener.port));
  }
  server_->thread = std::thread([server = server_.get()] { server->http.listen_after_bind(); });
  return {};
}

void HttpServer::stop() {
  if (server_ == nullptr) return;
  server_->http.stop();
  if (server_->thread.joinable()) server_->thread.join();
  server_.reset();
}

}  // namespace drave::broker
