#include "broker/lifecycle/registration_refusal.h"

#include <gtest/gtest.h>

namespace drave::broker {
namespace {

using protocol::ErrorCode;

TEST(RegistrationRefusal, says_what_it_is_and_what_to_do) {
  struct Case {
    ErrorCode error;
    bool is_final;
    const char* name;
    const char* remedy;
  };
  for (const Case& each : {
           Case{ErrorCode::inconsistent_cluster_id, true, "INCONSISTENT_CLUSTER_ID",
                "controller.quorum.bootstrap.servers"},
           Case{ErrorCode::unsupported_version, true, "UNSUPPORTED_VERSION",
                "drave features describe"},
           Case{ErrorCode::invalid_registration, true, "INVALID_REGISTRATION", "data directory"},
           Case{ErrorCode::duplicate_broker_registration, false, "DUPLICATE_BROKER_REGISTRATION",
                "node.id=7"},
           Case{ErrorCode::cluster_authorization_failed, false, "CLUSTER_AUTHORIZATION_FAILED",
                "ClusterAction"},
           Case{ErrorCode::unknown_server_error, false, "UNKNOWN_SERVER_ERROR", "controller's log"},
       }) {
    const RegistrationRefusal refusal = registration_refusal(each.error, 7);
    EXPECT_EQ(refusal.is_final, each.is_final) << each.name;
    EXPECT_NE(refusal.why.find(each.name), std::string::npos) << refusal.why;
    EXPECT_NE(refusal.why.find(each.remedy), std::string::npos) << refusal.why;
  }
}

}  // namespace
}  // namespace drave::broker
