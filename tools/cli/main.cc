// drave: the command line.

#include "tools/cli/context.h"

int main(int argc, char** argv) {
  using drave::cli::ExitCode;
  CLI::App app;
  drave::cli::Context context;
  drave::cli::declare_app(app, context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : static_cast<int>(ExitCode::usage);
  }
  if (context.outcome) return static_cast<int>(ExitCode::ok);
  drave::cli::print_failure(context.outcome.error());
  return static_cast<int>(context.outcome.error().code);
}
