#pragma once
// The answer to one request, from the moment that the request was read until its last byte is sent.
//
// Answers of a connection leave in the order of its requests. A handler fills its answer with
// send() or send_nothing(), once, on the connection's shard, at any time; the connection sends it
// when all before it are sent.

#include <cstdint>
#include <vector>

#include "base/intrusive_list.h"
#include "base/units.h"
#include "protocol/header.h"
#include "protocol/wire.h"
#include "segments/partition_log.h"

namespace drave::broker {

class Connection;

class Response : public ListLink<> {
 public:
  Response(Connection& connection, std::int16_t api_key, std::int16_t version,
           std::int32_t correlation_id, Instant received)
      : connection_(connection),
        api_key_(api_key),
        version_(version),
        correlation_id_(correlation_id),
        received_(received) {
    writer_.gather();
  }

  // Encodes header and `message`. Record bytes that `message` names are not copied: keep() their
  // owners. A message that cannot be encoded is a bug of ours: it is logged and the connection
  // closed.
  template <class M>
  void send(const M& message) {
    begin();
    finish(encode(writer_, message, version_));
  }
  // As send(), in another version than the request's: for ApiVersions, whose answer to an unknown
  // version is in version 0.
  template <class M>
  void send_in_version(const M& message, std::int16_t version) {
    version_ = version;
    send(message);
  }
  // The request has no answer (acks=0).
  void send_nothing();
  // The connection ends once everything before this has been sent.
  void close_connection();

  // Bytes of `message` may lie in several pieces: the field is a view of their whole size that
  // begins where the first of them does, and they are kept one behind the other between two empty
  // ones.
  void keep(segments::LogPiece piece) { pieces_.push_back(std::move(piece)); }
  // Keeps whatever long fields of the message point to.
  void keep(std::shared_ptr<const void> owner) {
    pieces_.emplace_back(std::move(owner), ByteView());
  }
  // Bytes charged to the shard's budget for answers, returned when this is sent.
  void charge(std::int64_t bytes) { charged_ += bytes; }

  Connection& connection() { return connection_; }
  std::int16_t api_key() const { return api_key_; }
  std::int16_t version() const { return version_; }
  Instant received() const { return received_; }

 private:
  friend class Connection;
  void begin();
  void finish(Result<void> encoded);

  Connection& connection_;
  std::int16_t api_key_;
  std::int16_t version_;
  std::int32_t correlation_id_;
  Instant received_;
  bool ready_ = false;
  bool closes_ = false;
  std::int64_t charged_ = 0;
  protocol::Writer writer_;
  std::vector<segments::LogPiece> pieces_;
};

}  // namespace drave::broker
