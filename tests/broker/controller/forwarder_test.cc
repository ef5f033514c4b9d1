#include "broker/controller/forwarder.h"

#include <gtest/gtest.h>

#include "protocol/messages/create_topics.h"

namespace drave::broker {
namespace {

// What Kafka's DefaultKafkaPrincipalBuilder writes: a version, then DefaultPrincipalData.
TEST(Principal, is_written_as_kafka_writes_it) {
  Caller caller;
  caller.principal_name = "ANONYMOUS";
  EXPECT_EQ(encode_principal(caller),
            (std::vector<std::uint8_t>{0, 0, 5, 'U', 's', 'e', 'r', 10, 'A', 'N', 'O', 'N', 'Y',
                                       'M', 'O', 'U', 'S', 0, 0}));
}

TEST(Principal, is_read_as_it_was_written) {
  Caller caller;
  caller.principal_type = "User";
  caller.principal_name = "alice";
  caller.token_authenticated = true;
  const auto read = decode_principal(encode_principal(caller));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->principal_name, "alice");
  EXPECT_TRUE(read->token_authenticated);
  std::vector<std::uint8_t> bytes = encode_principal(caller);
  for (std::size_t size = 0; size + 1 < bytes.size(); ++size)
    EXPECT_FALSE(decode_principal(ByteView(bytes).first(size)).has_value()) << size;
  bytes[1] = 9;
  EXPECT_FALSE(decode_principal(bytes).has_value());
}

TEST(ClientAddress, is_four_or_sixteen_bytes) {
  EXPECT_EQ(encode_address("10.1.2.3"), (std::vector<std::uint8_t>{10, 1, 2, 3}));
  EXPECT_EQ(encode_address("::1").size(), 16u);
  EXPECT_EQ(*decode_address(encode_address("10.1.2.3")), "10.1.2.3");
  EXPECT_EQ(*decode_address(encode_address("fe80::1")), "fe80::1");
  EXPECT_FALSE(decode_address(std::vector<std::uint8_t>(5)).has_value());
}

TEST(ControllerRequests, say_how_long_their_client_waits) {
  protocol::CreateTopicsRequest request;
  request.timeout_ms = 1'500;
  EXPECT_EQ(client_wait(request).most, milliseconds(1'500));
  request.timeout_ms = -1;
  EXPECT_EQ(client_wait(request).most, Duration{});
  request.timeout_ms = 100'000;
  EXPECT_EQ(client_wait(request).most, kClientWaitMax);
  EXPECT_EQ(client_wait(protocol::CreateAclsRequest()).most, kClientWaitMax);
  // Who wants to see the quorum wants to see that nobody leads it.
  EXPECT_EQ(client_wait(protocol::DescribeQuorumRequest()).leaderless, kQuorumViewWait.leaderless);
  // What is not for the controller, or only from nodes, is in no Envelope.
  EXPECT_NE(find_controller_request(protocol::ApiKey::create_topics), nullptr);
  EXPECT_EQ(find_controller_request(protocol::ApiKey::produce), nullptr);
  EXPECT_EQ(find_controller_request(protocol::ApiKey::broker_heartbeat), nullptr);
}

}  // namespace
}  // namespace drave::broker
