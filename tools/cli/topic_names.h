#pragma once
// Kept by several verbs: asking for one topic.

#include "protocol/messages/metadata.h"
#include "tools/cli/context.h"

namespace drave::cli {

using MetadataAnswer = client::Answer<protocol::MetadataResponse>;

// The metadata of one topic that exists, its partitions in order; a failure says that it does not.
inline Outcome<MetadataAnswer> metadata_of(client::Client& client, const std::string& topic) {
  TRY(MetadataAnswer answer, client.metadata({topic}));
  if (answer.message.topics.size() != 1)
    return fail(ExitCode::failed, "topic " + topic + ": the broker answered about something else");
  auto& found = answer.message.topics.front();
  const auto code = static_cast<protocol::ErrorCode>(found.error_code);
  if (code != protocol::ErrorCode::none)
    return std::unexpected(kafka_failure(code, "topic " + topic));
  std::ranges::sort(found.partitions, {},
                    &protocol::MetadataResponse::MetadataResponsePartition::partition_index);
  return answer;
}

}  // namespace drave::cli
