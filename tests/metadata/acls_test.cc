// CreateAcls and DeleteAcls as the controller decides them, and ACLs in the image.

#include "metadata/controller/acls.h"

#include "protocol/error_code.h"
#include "tests/metadata/image_support.h"

namespace drave::metadata::testing {
namespace {

using protocol::AclOperation;
using protocol::AclPermission;
using protocol::ErrorCode;
using protocol::PatternType;
using protocol::ResourceType;

using Creation = protocol::CreateAclsRequest::AclCreation;

Creation creation(std::string_view name, PatternType pattern = PatternType::literal) {
  Creation made;
  made.resource_type = static_cast<std::int8_t>(ResourceType::topic);
  made.resource_name = name;
  made.resource_pattern_type = static_cast<std::int8_t>(pattern);
  made.principal = "User:me";
  made.host = "*";
  made.operation = static_cast<std::int8_t>(AclOperation::read);
  made.permission_type = static_cast<std::int8_t>(AclPermission::allow);
  return made;
}

protocol::DeleteAclsRequest::DeleteAclsFilter filter(std::optional<std::string_view> name,
                                                     PatternType pattern = PatternType::any) {
  protocol::DeleteAclsRequest::DeleteAclsFilter made;
  made.resource_type_filter = static_cast<std::int8_t>(ResourceType::any);
  made.resource_name_filter = name;
  made.pattern_type_filter = static_cast<std::int8_t>(pattern);
  made.principal_filter = std::nullopt;
  made.host_filter = std::nullopt;
  made.operation = static_cast<std::int8_t>(AclOperation::any);
  made.permission_type = static_cast<std::int8_t>(AclPermission::any);
  return made;
}

struct Acls : ::testing::Test {
  Image image = cluster(1);
  ConfigMap fixed;
  Random random{7};
  RecordList records;
  ControllerContext context() { return {image, fixed, 1, 2, 1, true, random}; }
  void accept() {
    image = apply_all(image, records);
    records = RecordList();
  }
  void create(std::vector<Creation> creations) {
    protocol::CreateAclsRequest request;
    request.creations = std::move(creations);
    const auto answer = create_acls(context(), request, records);
    for (const auto& result : answer.message.results) EXPECT_EQ(result.error_code, 0);
    accept();
  }
};

TEST_F(Acls, what_cannot_be_is_refused_alone_with_kafkas_sentences) {
  protocol::CreateAclsRequest request;
  request.creations.assign(9, creation("t"));
  request.creations[1].resource_type = 1;
  request.creations[2].resource_pattern_type = static_cast<std::int8_t>(PatternType::match);
  request.creations[3].operation = 1;
  request.creations[4].permission_type = 1;
  request.creations[5].resource_type = static_cast<std::int8_t>(ResourceType::cluster);
  request.creations[6].resource_name = "";
  request.creations[7].principal = "me";
  request.creations[8].operation = 99;
  const std::vector<std::string> expected{
      "",
      "Invalid resourceType ANY",
      "Invalid patternType MATCH",
      "Invalid operation ANY",
      "Invalid permissionType ANY",
      "The only valid name for the CLUSTER resource is kafka-cluster",
      "Invalid empty resource name",
      "Could not parse principal from `me` (no colon is present separating the principal type from "
      "the principal name)",
      "Invalid operation UNKNOWN"};
  const auto answer = create_acls(context(), request, records);
  ASSERT_EQ(answer.message.results.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto& result = answer.message.results[i];
    EXPECT_EQ(result.error_message.value_or(""), expected[i]);
    EXPECT_EQ(result.error_code,
              expected[i].empty() ? 0 : static_cast<int>(ErrorCode::invalid_request));
  }
  EXPECT_EQ(records.size(), 1U);
}

TEST_F(Acls, an_entry_that_is_there_already_makes_no_record) {
  create({creation("a"), creation("a"), creation("b")});
  EXPECT_EQ(image.acls()->size(), 2U);
  const AclsPtr before = image.acls();
  create({creation("b"), creation("b", PatternType::prefixed)});
  EXPECT_EQ(image.acls()->size(), 3U);
  EXPECT_EQ(before->size(), 2U);
}

TEST_F(Acls, an_image_without_a_change_of_them_has_the_same_object) {
  create({creation("a")});
  const AclsPtr before = image.acls();
  protocol::ConfigRecord config;
  config.resource_type = 4;
  config.name = "k";
  config.value = "v";
  records.add(config);
  accept();
  EXPECT_EQ(image.acls(), before);
}

TEST_F(Acls, filters_delete_what_they_match_and_nothing_else) {
  create({creation("abc"), creation("ab", PatternType::prefixed), creation("x"), creation("*")});
  protocol::DeleteAclsRequest request;
  request.filters = {filter("abc", PatternType::match), filter("abc"), filter("none")};
  request.filters.push_back(filter("x"));
  request.filters.back().operation = 0;
  const auto answer = delete_acls(context(), request, records);
  const auto& results = answer.message.filter_results;
  ASSERT_EQ(results.size(), 4U);
  EXPECT_EQ(results[0].matching_acls.size(), 3U);
  EXPECT_EQ(results[1].matching_acls.size(), 1U);  // said again, removed once
  EXPECT_EQ(results[1].matching_acls[0].resource_name, "abc");
  EXPECT_EQ(results[1].matching_acls[0].principal, "User:me");
  EXPECT_TRUE(results[2].matching_acls.empty());
  EXPECT_EQ(results[2].error_code, 0);
  EXPECT_EQ(results[3].error_code, static_cast<int>(ErrorCode::invalid_request));
  EXPECT_EQ(results[3].error_message, "Unknown entryFilter.");
  EXPECT_EQ(records.size(), 3U);
  accept();
  ASSERT_EQ(image.acls()->size(), 1U);
  EXPECT_EQ(image.acls()->begin()->second->resource_name, "x");
}

TEST_F(Acls, a_request_is_bounded) {
  std::vector<std::string> names;
  std::vector<Creation> creations;
  for (std::size_t i = 0; i <= kRecordsPerRequestMax; ++i) names.push_back(std::to_string(i));
  for (const std::string& name : names) creations.push_back(creation(name));
  protocol::CreateAclsRequest request;
  request.creations = creations;
  const auto made = create_acls(context(), request, records);
  EXPECT_EQ(made.message.results.back().error_code, static_cast<int>(ErrorCode::policy_violation));
  EXPECT_EQ(records.size(), kRecordsPerRequestMax);
  accept();
  protocol::DeleteAclsRequest more;
  more.filters = {filter("1"), filter(std::nullopt)};
  more.filters.insert(more.filters.end(), kAclFiltersMax, filter("2"));
  const auto answer = delete_acls(context(), more, records);
  EXPECT_EQ(answer.message.filter_results[0].error_code, 0);
  for (const std::size_t refused : {std::size_t{1}, more.filters.size() - 1}) {
    EXPECT_EQ(answer.message.filter_results[refused].error_code,
              static_cast<int>(ErrorCode::policy_violation));
  }
  EXPECT_EQ(records.size(), 2U);
}

TEST_F(Acls, a_snapshot_makes_the_same_entries_with_the_same_ids) {
  std::vector<std::string> names;
  for (int i = 0; i < 1200; ++i) names.push_back("topic-" + std::to_string(i));  // three pieces
  std::vector<Creation> creations;
  for (const std::string& name : names) creations.push_back(creation(name));
  create(creations);
  const Image again = apply_all(Image(), image_records(image));
  ASSERT_EQ(again.acls()->size(), 1200U);
  for (const auto& [id, acl] : *image.acls()) EXPECT_EQ(*again.acls()->at(id), *acl);
}

TEST_F(Acls, removing_an_id_that_is_not_there_is_an_error_that_names_it) {
  protocol::RemoveAccessControlEntryRecord record;
  record.id = Uuid{1, 2};
  const auto removed = Delta(image).apply(protocol::MetadataRecord(record));
  ASSERT_FALSE(removed.has_value());
  EXPECT_NE(removed.error().context.find(record.id.to_string()), std::string::npos);
}

}  // namespace
}  // namespace drave::metadata::testing
