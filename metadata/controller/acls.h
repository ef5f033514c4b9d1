#pragma once
// What the controller answers to CreateAcls and DeleteAcls, as Kafka's does: each entry and each
// filter succeeds or fails by itself. An entry that exists already is no error and makes no record.
// Answers borrow text of the request.

#include "metadata/controller/context.h"
#include "metadata/record_list.h"
#include "protocol/messages/create_acls.h"
#include "protocol/messages/delete_acls.h"
#include "protocol/owned_message.h"

namespace drave::metadata {

// Of a DeleteAcls request: each is compared with all entries. What is behind is refused.
inline constexpr std::size_t kAclFiltersMax = 1000;

protocol::OwnedMessage<protocol::CreateAclsResponse> create_acls(
    const ControllerContext& context, const protocol::CreateAclsRequest& request,
    RecordList& records);

// What matched is answered also where another filter of the request matched it, too; a filter after
// which the request would have matched more than kRecordsPerRequestMax times is refused.
protocol::OwnedMessage<protocol::DeleteAclsResponse> delete_acls(
    const ControllerContext& context, const protocol::DeleteAclsRequest& request,
    RecordList& records);

}  // namespace drave::metadata
