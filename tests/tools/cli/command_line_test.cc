#include <gtest/gtest.h>

#include "tools/cli/context.h"

namespace drave::cli {
namespace {

void each_verb(const CLI::App& app, const std::function<void(const CLI::App&)>& f) {
  const auto below = app.get_subcommands([](const CLI::App*) { return true; });
  if (below.empty()) f(app);
  for (const CLI::App* one : below) each_verb(*one, f);
}

TEST(CommandLine, every_verb_is_described_and_takes_the_shared_options) {
  CLI::App app;
  Context context;
  declare_app(app, context);
  std::vector<std::string> names;
  each_verb(app, [&](const CLI::App& verb) {
    names.push_back(verb.get_name());
    EXPECT_FALSE(verb.get_description().empty()) << verb.get_name();
    EXPECT_TRUE(verb.get_fallthrough()) << verb.get_name();
  });
  const std::vector<std::string> expected{
      "create",    "list",    "describe", "alter",     "delete",       "describe",
      "alter",     "list",    "create",   "delete",    "describe",     "upgrade",
      "downgrade", "produce", "consume",  "dump",      "produce",      "consume",
      "latency",   "quorum",  "status",   "add-voter", "remove-voter", "transfer",
      "ls",        "cat",     "find",     "format",    "random-uuid",  "completion"};
  EXPECT_EQ(names, expected);
}

TEST(CommandLine, offsets_that_begin_with_a_minus_are_values) {
  CLI::App app;
  Context context;
  context.bootstrap = "";
  declare_app(app, context);
  for (const char* offset : {"-1h", "-5", "-5:-1"}) {
    EXPECT_NO_THROW(app.parse(std::string("consume t --offset ") + offset + " -b x:0 -o json"));
    EXPECT_EQ(context.output, OutputFormat::json);
    ASSERT_FALSE(context.outcome.has_value());
    EXPECT_EQ(context.outcome.error().code, ExitCode::usage) << "the port makes no sense";
  }
}

TEST(CommandLine, completion_names_every_verb_and_its_options) {
  CLI::App app;
  Context context;
  declare_app(app, context);
  const std::string bash = completion_script(app, "bash");
  EXPECT_NE(bash.find("\"topic create\") words=\"\" options=\""), std::string::npos);
  EXPECT_NE(bash.find("--replication-factor"), std::string::npos);
  EXPECT_NE(bash.find("\"topic create\" | \"topic list\""), std::string::npos);
  EXPECT_EQ(bash.find("PATHS"), std::string::npos);
  EXPECT_EQ(bash.find("GLOBAL"), std::string::npos);
  EXPECT_TRUE(completion_script(app, "zsh").starts_with("#compdef drave\n"));
  EXPECT_NE(completion_script(app, "fish").find("-l replication-factor"), std::string::npos);
}

TEST(CommandLine, failures_have_their_exit_codes) {
  EXPECT_EQ(Failure(Error{Errc::closed, 111, "h:1"}).code, ExitCode::unreachable);
  EXPECT_EQ(Failure(Error{Errc::timed_out, 0, "h:1"}).code, ExitCode::timed_out);
  EXPECT_EQ(Failure(Error{Errc::corrupt, 0, "f"}).code, ExitCode::damaged);
  EXPECT_EQ(kafka_failure(protocol::ErrorCode::unknown_topic_or_partition, "topic t").code,
            ExitCode::not_found);
  EXPECT_EQ(kafka_failure(protocol::ErrorCode::invalid_config, "topic t", "why").what,
            "topic t: why (INVALID_CONFIG)");
}

}  // namespace
}  // namespace drave::cli
