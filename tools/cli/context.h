#pragma once
// What all verbs share: the options that stand before or behind any of them, and the registration
// of a verb.

#include <algorithm>
#include <functional>
#include <memory>
#include <string>

#include "tools/cli/cli11.h"
#include "tools/cli/outcome.h"
#include "tools/cli/output.h"
#include "tools/client/client.h"

namespace drave::cli {

struct Context {
  std::string bootstrap = "127.0.0.1:9092";
  OutputFormat output = OutputFormat::table;
  int timeout_ms = 15'000;
  // What a broker is given that says itself when the time is up: it has to be heard.
  int broker_timeout_ms() const { return timeout_ms - std::min(timeout_ms / 10, 500); }
  Outcome<> outcome;  // of the verb that ran

  bool json() const { return output == OutputFormat::json; }
  // Where an answer waits because the quorum has no leader, stderr says so meanwhile.
  Outcome<client::Client> connect() const;
};

// Adds a verb below `parent`. `run` is called when the whole command line has been read.
template <class Options>
CLI::App* add_verb(CLI::App& parent, Context& context, const std::string& name,
                   const std::string& description, Outcome<> (*run)(Context&, const Options&),
                   const std::function<void(CLI::App&, Options&)>& declare) {
  CLI::App* verb = parent.add_subcommand(name, description);
  auto options = std::make_shared<Options>();
  declare(*verb, *options);
  verb->fallthrough();
  verb->callback([&context, run, options] { context.outcome = run(context, *options); });
  return verb;
}

// A noun: a folder of verbs, one of which must be given.
CLI::App* add_noun(CLI::App& parent, const std::string& name, const std::string& description);

void add_topic(CLI::App& app, Context& context);
void add_config(CLI::App& app, Context& context);
void add_acl(CLI::App& app, Context& context);
void add_features(CLI::App& app, Context& context);
void add_produce(CLI::App& app, Context& context);
void add_consume(CLI::App& app, Context& context);
void add_log(CLI::App& app, Context& context);
void add_bench(CLI::App& app, Context& context);
void add_bench_quorum(CLI::App& bench, Context& context);
void add_quorum(CLI::App& app, Context& context);
void add_metadata(CLI::App& app, Context& context);
void add_format(CLI::App& app, Context& context);
void add_completion(CLI::App& app, Context& context);

// The script that completes `app` in "bash", "zsh" or "fish".
std::string completion_script(const CLI::App& app, const std::string& shell);

// The whole command line.
void declare_app(CLI::App& app, Context& context);

}  // namespace drave::cli
