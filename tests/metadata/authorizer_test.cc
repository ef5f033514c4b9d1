// Kafka's rules of access control: a table of them, and many random questions whose answers a naive
// evaluator gives, too.

#include "metadata/authorizer.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"

namespace drave::metadata::testing {
namespace {

using protocol::AclOperation;
using protocol::AclPermission;
using protocol::PatternType;
using protocol::ResourceType;

constexpr Requester kAlice{"User:alice", "10.0.0.1"};
constexpr Requester kBob{"User:bob", "10.0.0.2"};

Acl acl(PatternType pattern, std::string name, std::string principal, AclOperation operation,
        AclPermission permission = AclPermission::allow, std::string host = "*") {
  return {ResourceType::topic, std::move(name), pattern,   std::move(principal),
          std::move(host),     operation,       permission};
}

AclsPtr map_of(const std::vector<Acl>& acls) {
  auto map = std::make_shared<AclMap>();
  for (const Acl& each : acls) (*map)[Uuid{1, map->size()}] = std::make_shared<const Acl>(each);
  return map;
}

struct Question : ::testing::Test {
  std::vector<Acl> acls;
  AuthorizerOptions options;
  bool may(const Requester& who, AclOperation operation, std::string_view topic) {
    return Authorizer(map_of(acls), options).allows(who, operation, ResourceType::topic, topic);
  }
  bool may_some(const Requester& who, AclOperation operation) {
    return Authorizer(map_of(acls), options).allows_some(who, operation, ResourceType::topic);
  }
};

TEST_F(Question, without_an_entry_the_option_decides) {
  EXPECT_FALSE(may(kAlice, AclOperation::read, "t"));
  EXPECT_FALSE(Authorizer(map_of({}), options).allows_everything());
  options.allow_if_no_acl = true;
  EXPECT_TRUE(may(kAlice, AclOperation::read, "t"));
  EXPECT_TRUE(Authorizer(map_of({}), options).allows_everything());
  acls = {acl(PatternType::literal, "t", "User:bob", AclOperation::read)};
  EXPECT_FALSE(Authorizer(map_of(acls), options).allows_everything());
  // The topic has an entry, though none about her.
  EXPECT_FALSE(may(kAlice, AclOperation::read, "t"));
  EXPECT_TRUE(may(kAlice, AclOperation::read, "u"));
}

TEST_F(Question, names_are_literal_prefixes_or_all) {
  acls = {acl(PatternType::literal, "abc", "User:alice", AclOperation::read),
          acl(PatternType::prefixed, "ab", "User:alice", AclOperation::write),
          acl(PatternType::literal, "*", "User:alice", AclOperation::alter)};
  EXPECT_TRUE(may(kAlice, AclOperation::read, "abc"));
  EXPECT_FALSE(may(kAlice, AclOperation::read, "abcd"));
  EXPECT_FALSE(may(kAlice, AclOperation::read, "ab"));
  EXPECT_TRUE(may(kAlice, AclOperation::write, "ab"));
  EXPECT_TRUE(may(kAlice, AclOperation::write, "abxyz"));
  EXPECT_FALSE(may(kAlice, AclOperation::write, "a"));
  EXPECT_TRUE(may(kAlice, AclOperation::alter, "whatever"));
  EXPECT_FALSE(may(kBob, AclOperation::alter, "whatever"));
  EXPECT_FALSE(Authorizer(map_of(acls), options)
                   .allows(kAlice, AclOperation::alter, ResourceType::group, "whatever"));
}

TEST_F(Question, a_denial_wins_wherever_it_stands) {
  acls = {acl(PatternType::literal, "abc", "User:alice", AclOperation::all),
          acl(PatternType::prefixed, "a", "User:alice", AclOperation::read, AclPermission::deny)};
  EXPECT_FALSE(may(kAlice, AclOperation::read, "abc"));
  EXPECT_TRUE(may(kAlice, AclOperation::write, "abc"));
  acls.push_back(
      acl(PatternType::literal, "*", "User:*", AclOperation::write, AclPermission::deny));
  EXPECT_FALSE(may(kAlice, AclOperation::write, "abc"));
}

TEST_F(Question, everybody_and_hosts) {
  acls = {acl(PatternType::literal, "t", "User:*", AclOperation::read, AclPermission::allow,
              "10.0.0.1"),
          acl(PatternType::literal, "t", "User:*", AclOperation::write, AclPermission::allow,
              "2001:db8:0:0:0:0:0:1")};
  EXPECT_TRUE(may(kAlice, AclOperation::read, "t"));
  EXPECT_FALSE(may(kBob, AclOperation::read, "t"));
  EXPECT_TRUE(may({"User:c", canonical_host("2001:DB8::1")}, AclOperation::write, "t"));
  EXPECT_EQ(canonical_host("::ffff:10.0.0.1"), "10.0.0.1");
  EXPECT_EQ(canonical_host("fe80::1%eth0"), "fe80::1");
  EXPECT_EQ(canonical_host("*"), "*");
}

TEST_F(Question, what_is_allowed_implies_and_what_is_denied_does_not) {
  for (const AclOperation operation :
       {AclOperation::read, AclOperation::write, AclOperation::remove, AclOperation::alter}) {
    acls = {acl(PatternType::literal, "t", "User:alice", operation)};
    EXPECT_TRUE(may(kAlice, AclOperation::describe, "t"));
    EXPECT_FALSE(may(kAlice, AclOperation::describe_configs, "t"));
    acls = {acl(PatternType::literal, "t", "User:alice", AclOperation::describe),
            acl(PatternType::literal, "t", "User:alice", operation, AclPermission::deny)};
    EXPECT_TRUE(may(kAlice, AclOperation::describe, "t"));
  }
  acls = {acl(PatternType::literal, "t", "User:alice", AclOperation::create)};
  EXPECT_FALSE(may(kAlice, AclOperation::describe, "t"));
  acls = {acl(PatternType::literal, "t", "User:alice", AclOperation::alter_configs)};
  EXPECT_TRUE(may(kAlice, AclOperation::describe_configs, "t"));
  EXPECT_FALSE(may(kAlice, AclOperation::describe, "t"));
  acls = {acl(PatternType::literal, "t", "User:alice", AclOperation::all)};
  EXPECT_EQ(Authorizer(map_of(acls), options).allowed_operations(kAlice, ResourceType::topic, "t"),
            0b1101'1111'1000);
  EXPECT_EQ(Authorizer(map_of(acls), options).allowed_operations(kBob, ResourceType::topic, "t"),
            0);
}

TEST_F(Question, super_users_may_do_everything) {
  options.super_users = {"User:alice"};
  acls = {acl(PatternType::literal, "*", "User:*", AclOperation::all, AclPermission::deny)};
  EXPECT_TRUE(may(kAlice, AclOperation::write, "t"));
  EXPECT_TRUE(may_some(kAlice, AclOperation::write));
  EXPECT_FALSE(may(kBob, AclOperation::write, "t"));
}

TEST_F(Question, some_topic_is_allowed_unless_denials_cover_all_that_are) {
  EXPECT_FALSE(may_some(kAlice, AclOperation::write));
  acls = {acl(PatternType::literal, "abc", "User:alice", AclOperation::write)};
  EXPECT_TRUE(may_some(kAlice, AclOperation::write));
  EXPECT_FALSE(may_some(kAlice, AclOperation::read));
  EXPECT_FALSE(may_some(kBob, AclOperation::write));
  acls.push_back(
      acl(PatternType::prefixed, "ab", "User:*", AclOperation::all, AclPermission::deny));
  EXPECT_FALSE(may_some(kAlice, AclOperation::write));
  acls.push_back(acl(PatternType::prefixed, "b", "User:alice", AclOperation::all));
  EXPECT_TRUE(may_some(kAlice, AclOperation::write));
  acls.push_back(
      acl(PatternType::literal, "*", "User:alice", AclOperation::write, AclPermission::deny));
  EXPECT_FALSE(may_some(kAlice, AclOperation::write));
}

// The rules again, as a list of all entries is judged.
bool naive(const std::vector<Acl>& acls, const AuthorizerOptions& options, const Requester& who,
           AclOperation operation, std::string_view name) {
  bool any = false, allow = false, deny = false;
  for (const Acl& each : acls) {
    if (each.pattern_type == PatternType::prefixed
            ? !name.starts_with(each.resource_name)
            : each.resource_name != name && each.resource_name != "*")
      continue;
    any = true;
    if (each.principal != who.principal && each.principal != "User:*") continue;
    if (each.host != who.host && each.host != "*") continue;
    const bool allows = each.permission == AclPermission::allow;
    const bool implied =
        allows &&
        ((operation == AclOperation::describe &&
          (each.operation == AclOperation::read || each.operation == AclOperation::write ||
           each.operation == AclOperation::remove || each.operation == AclOperation::alter)) ||
         (operation == AclOperation::describe_configs &&
          each.operation == AclOperation::alter_configs));
    if (each.operation != operation && each.operation != AclOperation::all && !implied) continue;
    (allows ? allow : deny) = true;
  }
  return !deny && (allow || (!any && options.allow_if_no_acl));
}

TEST(Authorizer, answers_as_a_list_that_is_read_from_end_to_end) {
  Random random(11);
  const auto draw = [&random](std::size_t below) {
    return static_cast<std::size_t>(random.next() % below);
  };
  const std::vector<std::string> names{"*", "a", "ab", "abc", "abd", "b", "ba", "c"};
  const std::vector<std::string> principals{"User:alice", "User:bob", "User:*"};
  const std::vector<std::string> hosts{"*", "*", "10.0.0.1", "10.0.0.2"};
  int allowed = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<Acl> acls;
    for (std::size_t i = draw(12); i > 0; --i) {
      acls.push_back(acl(
          draw(2) == 0 ? PatternType::literal : PatternType::prefixed, names[draw(names.size())],
          principals[draw(3)], static_cast<AclOperation>(2 + draw(10)),
          draw(3) == 0 ? AclPermission::deny : AclPermission::allow, hosts[draw(hosts.size())]));
    }
    AuthorizerOptions options;
    options.allow_if_no_acl = draw(2) == 0;
    const Authorizer authorizer(map_of(acls), options);
    for (const Requester& who : {kAlice, kBob}) {
      for (const std::string& name : names) {
        for (int operation = 3; operation <= 12; ++operation) {
          const auto asked = static_cast<AclOperation>(operation);
          const bool answer = authorizer.allows(who, asked, ResourceType::topic, name);
          ASSERT_EQ(answer, naive(acls, options, who, asked, name))
              << round << " " << who.principal << " " << name << " " << operation;
          allowed += answer ? 1 : 0;
        }
      }
    }
  }
  EXPECT_GT(allowed, 5000);
}

TEST(AclFilter, names_match_exactly_or_as_a_resource_does) {
  AclFilter filter;
  filter.resource_type = ResourceType::topic;
  filter.resource_name = "abc";
  const Acl literal = acl(PatternType::literal, "abc", "User:a", AclOperation::read);
  const Acl prefixed = acl(PatternType::prefixed, "ab", "User:a", AclOperation::read);
  const Acl exact_prefix = acl(PatternType::prefixed, "abc", "User:a", AclOperation::read);
  const Acl wildcard = acl(PatternType::literal, "*", "User:a", AclOperation::read);
  const auto matches = [&](PatternType how) {
    filter.pattern_type = how;
    std::string found;
    for (const Acl* each : {&literal, &prefixed, &exact_prefix, &wildcard})
      found.push_back(filter.matches(*each) ? '1' : '0');
    return found;
  };
  EXPECT_EQ(matches(PatternType::literal), "1000");
  EXPECT_EQ(matches(PatternType::prefixed), "0010");
  EXPECT_EQ(matches(PatternType::any), "1010");
  EXPECT_EQ(matches(PatternType::match), "1111");
  filter.resource_name.reset();
  EXPECT_EQ(matches(PatternType::prefixed), "0110");
  filter.principal = "User:b";
  EXPECT_EQ(matches(PatternType::any), "0000");
  filter.principal.reset();
  filter.permission = AclPermission::deny;
  EXPECT_EQ(matches(PatternType::any), "0000");
  EXPECT_EQ(filter.problem(), "");
  filter.operation = static_cast<AclOperation>(77);
  EXPECT_EQ(filter.problem(), "Unknown entryFilter.");
  filter.pattern_type = PatternType::unknown;
  EXPECT_EQ(filter.problem(), "Unknown patternFilter.");
}

}  // namespace
}  // namespace drave::metadata::testing
