#include "tools/cli/context.h"

#include <fmt/format.h>

#include <map>

#include "tools/cli/quorum_view.h"

namespace drave::cli {

namespace {
// Whoever waits for longer is told why, if it is for want of a controller.
constexpr client::Milliseconds kSlowAfter{1500};
constexpr int kWhyWaitsMs = 5000;
}  // namespace

Outcome<client::Client> Context::connect() const {
  TRY(auto endpoints, client::parse_endpoints(bootstrap));
  TRY(auto client, client::Client::connect(std::move(endpoints), client::Milliseconds(timeout_ms)));
  client.follow_controller();
  client.on_slow(kSlowAfter, [asked = client.endpoint().to_string(), most = timeout_ms] {
    const auto view = view_quorum(asked, kWhyWaitsMs);
    if (view && !view->is_led)
      fmt::print(stderr, "drave: {} (waiting for up to {} ms)\n", no_leader(*view).what, most);
  });
  return client;
}

CLI::App* add_noun(CLI::App& parent, const std::string& name, const std::string& description) {
  CLI::App* noun = parent.add_subcommand(name, description);
  noun->require_subcommand(1);
  noun->fallthrough();
  return noun;
}

void declare_app(CLI::App& app, Context& context) {
  app.description("drave: topics, records and files of a Kafka-protocol broker");
  app.set_version_flag("--version", std::string("drave ") + DRAVE_VERSION);
  app.set_help_all_flag("--help-all", "The help of every verb");
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("-b,--bootstrap-server", context.bootstrap, "Brokers, HOST:PORT[,HOST:PORT...]")
      ->envname("DRAVE_BOOTSTRAP")
      ->capture_default_str();
  app.add_option("-o,--output", context.output, "How to answer: table or json")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, OutputFormat>{{"table", OutputFormat::table},
                                              {"json", OutputFormat::json}},
          CLI::ignore_case))
      ->option_text("table|json");
  app.add_option("--timeout", context.timeout_ms, "Milliseconds that a broker may take to answer")
      ->check(CLI::Range(1, 3'600'000))
      ->capture_default_str();
  app.footer(
      "Exit codes: 0 ok, 1 failed, 2 usage, 3 no broker reached, 4 not found, 5 timed out, "
      "6 damaged files.");
  add_topic(app, context);
  add_config(app, context);
  add_acl(app, context);
  add_features(app, context);
  add_produce(app, context);
  add_consume(app, context);
  add_log(app, context);
  add_bench(app, context);
  add_quorum(app, context);
  add_metadata(app, context);
  add_format(app, context);
  add_completion(app, context);
}

}  // namespace drave::cli
