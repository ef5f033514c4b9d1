#pragma once
// What the sender of one request may do, by the ACLs of its shard's image (metadata/authorizer.h);
// on the controllers' listener, whose connections are shard 0's, and out of an Envelope by those of
// the newest image: a controller decides also while its node's shards still start with an old one.
//
// Who sends is User:ANONYMOUS until listeners authenticate, from the address of its connection, or
// whoever a node names that forwarded the request.
// Where there is nothing to ask (no authorizer, or no ACL at all while everybody is allowed) every
// answer is yes and costs one branch. An Access keeps the ACLs with which it was made, owns all
// that it needs, and may be handed to another shard by reference while its owner waits.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "broker/net/request.h"
#include "metadata/authorizer.h"
#include "protocol/error_code.h"

namespace drave::broker {

class ServingImage;

inline constexpr std::string_view kAnonymous = "User:ANONYMOUS";

class Access {
 public:
  explicit Access(const Request& request);
  // Of who is behind a request that another node forwarded, by the ACLs of `image`. On `shard`;
  // `principal` as ACLs have it ("User:alice"), `host` its address.
  Access(Shard& shard, const ServingImage& image, std::string principal, std::string_view host,
         std::int16_t api_key);

  // Everything is allowed to everybody.
  bool is_open() const { return authorizer_ == nullptr; }
  // Whether there may be ACLs here.
  bool has_authorizer() const;

  // A denial is logged (at most once a second by a shard): somebody asked for what it may not have.
  bool may(protocol::AclOperation operation, protocol::ResourceType type,
           std::string_view name) const {
    return is_open() || decide(operation, type, name, true);
  }
  bool may_topic(protocol::AclOperation operation, std::string_view topic) const {
    return may(operation, protocol::ResourceType::topic, topic);
  }
  bool may_cluster(protocol::AclOperation operation) const {
    return may(operation, protocol::ResourceType::cluster, metadata::kClusterName);
  }
  // Not logged: one of several ways to be allowed, or a filter of what is listed.
  bool may_quietly(protocol::AclOperation operation, protocol::ResourceType type,
                   std::string_view name) const {
    return is_open() || decide(operation, type, name, false);
  }
  bool may_cluster_quietly(protocol::AclOperation operation) const {
    return may_quietly(operation, protocol::ResourceType::cluster, metadata::kClusterName);
  }
  // Whether there may be a topic for which this is allowed.
  bool may_some_topic(protocol::AclOperation operation) const;
  // For the fields `..._authorized_operations` of answers.
  std::int32_t operations(protocol::ResourceType type, std::string_view name) const;
  // The same of the cluster, 0 for who may not describe it.
  std::int32_t cluster_operations() const;

 private:
  bool decide(protocol::AclOperation operation, protocol::ResourceType type, std::string_view name,
              bool log) const;
  metadata::Requester requester() const { return {principal_, host_}; }

  std::shared_ptr<const metadata::Authorizer> authorizer_;
  std::string principal_{kAnonymous};
  std::string host_;  // canonical
  Shard* shard_;      // the connection's, for its log
  std::int16_t api_key_;
};

// Whether the sender may ask on the controllers' listener what nodes ask of each other. Everybody
// may unless the authorizer was asked for by name: an entry that is made for people does not cut
// off the nodes.
bool may_act_as_node(const Request& request);

}  // namespace drave::broker
