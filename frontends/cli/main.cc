// modellib: runs, compiles, inspects and measures models from the command line.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "modellib/frontends/cli/command.h"

int main(int argc, char** argv) {
  using modellib::cli::Outcome;
  CLI::App app("Runs, compiles, inspects and measures models.", "modellib");
  app.footer(
      "MODEL is a native model (.mlmodel), a text model (.mltxt) or a compiled plan (.mlplan);\n"
      "files are told apart by their content.\n"
      "Exit codes: 0 fine, 1 the input is at fault, 2 wrong usage, 3 not supported.");
  app.require_subcommand(1);
  Outcome outcome;
  modellib::cli::add_run_command(app, outcome);
  modellib::cli::add_compile_command(app, outcome);
  modellib::cli::add_inspect_command(app, outcome);
  modellib::cli::add_bench_command(app, outcome);
  // The parser tells of wrong usage, and of a wish for help, by throwing; nothing else does.
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "modellib: %s\n", error.what());
    return 1;
  }
  if (!outcome.ok()) {
    std::fprintf(stderr, "modellib: %s\n", std::string(outcome.message()).c_str());
  }
  return modellib::cli::exit_code(outcome);
}
