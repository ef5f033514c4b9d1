#pragma once
// A small client of Kafka's protocol: blocking, one request at a time, any API that protocol/
// describes. It finds the brokers, speaks the newest version that both sides have, and asks the
// broker that leads. It does not retry; that is for its user.

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "protocol/api_key.h"
#include "protocol/error_code.h"
#include "protocol/messages/metadata.h"
#include "tools/client/connection.h"

namespace drave::client {

// An answer with the bytes that its views point to. Moves keep the views valid.
template <class Response>
struct Answer {
  std::vector<std::uint8_t> bytes;
  Response message;
  std::int16_t version = 0;
};

class Client {
 public:
  // Connects to the first of `endpoints` that answers. `timeout` is of each request and each
  // attempt. Errors: closed or timed_out with all that was tried.
  static Result<Client> connect(std::vector<Endpoint> endpoints, Milliseconds timeout);

  // Asks the broker that was reached first, in the newest version that both have, at least
  // `version_min`. Errors: those of Connection::call(); unsupported where no version fits.
  template <class Response, class Request>
  Result<Answer<Response>> call(const Request& request,
                                std::int16_t version_min = Request::kVersionMin) {
    return call_on<Response>(*bootstrap_, request, version_min);
  }
  // Asks the broker with this id, which metadata() named.
  template <class Response, class Request>
  Result<Answer<Response>> call_node(NodeId node, const Request& request,
                                     std::int16_t version_min = Request::kVersionMin) {
    TRY(Peer* const peer, peer_of(node));
    return call_on<Response>(*peer, request, version_min);
  }

  // Metadata of these topics, of all if there are none; never creates one. Notes where brokers are.
  // Errors: also unsupported at a controller's listener.
  Result<Answer<protocol::MetadataResponse>> metadata(const std::vector<std::string>& topics);

  // Connection::on_slow() of the broker that was reached first.
  void on_slow(Milliseconds after, std::function<void()> told) {
    bootstrap_->connection->on_slow(after, std::move(told));
  }

  // Of the requests to brokers that call_node() connects to from now on, and of connecting.
  void set_node_timeout(Milliseconds timeout) { node_timeout_ = timeout; }

  // Goes on with the active controller, if what was reached first is the listener of a controller,
  // which knows that one, and it can be reached. To be called before anything else.
  void follow_controller();

  // The endpoint of a broker that metadata() named.
  Result<Endpoint> endpoint_of(NodeId node) const;
  // That which was reached first.
  const Endpoint& endpoint() const { return bootstrap_->connection->endpoint(); }
  // The newest version of an API that the first broker and we have; nullopt: it does not serve it.
  std::optional<std::int16_t> version_of(protocol::ApiKey key) const;

 private:
  struct VersionRange {
    std::int16_t min = 0;
    std::int16_t max = -1;
  };
  struct Peer {
    std::unique_ptr<Connection> connection;
    std::map<std::int16_t, VersionRange> versions;
  };

  explicit Client(Milliseconds timeout) : node_timeout_(timeout) {}
  static Result<std::unique_ptr<Peer>> open_peer(const Endpoint& endpoint, Milliseconds timeout);
  Result<Peer*> peer_of(NodeId node);
  // What was reached first is the listener of a controller.
  bool is_at_controller() const;
  static Result<std::int16_t> choose_version(const Peer& peer, std::int16_t key,
                                             std::int16_t version_min, std::int16_t version_max);

  template <class Response, class Request>
  static Result<Answer<Response>> call_on(Peer& peer, const Request& request,
                                          std::int16_t version_min) {
    Answer<Response> answer;
    TRY(answer.version, choose_version(peer, Request::kApiKey, version_min, Request::kVersionMax));
    TRY_VOID(peer.connection->call(request, answer.version, answer.message, answer.bytes));
    return answer;
  }

  Milliseconds node_timeout_;
  std::unique_ptr<Peer> bootstrap_;
  std::map<NodeId, Endpoint> brokers_;
  std::map<NodeId, std::unique_ptr<Peer>> peers_;
};

}  // namespace drave::client
