#pragma once
// Who may do what, by the ACLs of an image: the semantics of Kafka's StandardAuthorizer.
//
// An entry applies to a resource if it names it literally, names a prefix of it (pattern
// `prefixed`), or is literal for "*". It applies to a requester if it names the principal or
// "User:*", and the host's address or "*". Of the entries that apply to both and to the operation,
// one that denies wins over any that allow. Without such an entry the answer is no, unless no entry
// at all applies to the resource and `allow_if_no_acl` is set. An entry that allows read, write,
// delete or alter also allows to describe; alter_configs also describe_configs; one that denies
// implies nothing.
//
// Pure and immutable; made once for each change of the ACLs and shared by all shards. A question
// costs a hash look-up for the name and one for each different length of a prefix.

#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "metadata/acls.h"

namespace drave::metadata {

struct AuthorizerOptions {
  std::set<std::string, std::less<>> super_users;  // may do everything
  bool allow_if_no_acl = false;
  bool operator==(const AuthorizerOptions&) const = default;
};

// Who asks; `host` as canonical_host() gives it. Views that live as long as the question.
struct Requester {
  std::string_view principal;
  std::string_view host;
};

// One spelling for each address, so that an IPv6 address written in another way, or an IPv4 address
// mapped into IPv6, is the same host; what is no address is returned as it is.
std::string canonical_host(std::string_view address);

class Authorizer {
 public:
  Authorizer(AclsPtr acls, AuthorizerOptions options);

  // True: there is nothing to ask, everybody may do everything.
  bool allows_everything() const { return acls_->empty() && options_.allow_if_no_acl; }
  bool allows(const Requester& requester, protocol::AclOperation operation,
              protocol::ResourceType type, std::string_view name) const;
  // Whether there may be any resource of the type for which this is allowed.
  bool allows_some(const Requester& requester, protocol::AclOperation operation,
                   protocol::ResourceType type) const;
  // Bits (1 << operation) of what is allowed among what makes sense on such a resource.
  std::int32_t allowed_operations(const Requester& requester, protocol::ResourceType type,
                                  std::string_view name) const;

 private:
  struct Rule {
    const Acl* acl = nullptr;
    std::string host;  // canonical
  };
  using Rules = std::unordered_map<std::string_view, std::vector<Rule>>;
  // The entries of one type of resource.
  struct Section {
    Rules literal;
    Rules prefixed;
    std::vector<std::size_t> prefix_sizes;  // of the keys of `prefixed`, ascending
  };
  struct Finding;
  static constexpr std::size_t kResourceTypes = 8;

  static bool concerns(const Rule& rule, const Requester& requester);
  static bool applies(const Acl& acl, protocol::AclOperation operation);
  static void look_up(const Rules& rules, std::string_view name, const Requester& requester,
                      protocol::AclOperation operation, Finding& finding);
  // Null: no entry of this type can be.
  const Section* section(protocol::ResourceType type) const;

  AclsPtr acls_;  // owns what the rules point to
  AuthorizerOptions options_;
  std::array<Section, kResourceTypes> sections_;
};

}  // namespace drave::metadata
