// modellib: runs, compiles, inspects, measures and compares models from the command line.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>

#include "modellib/frontends/cli/command.h"
#include "modellib/frontends/cli/program.h"

int main(int argc, char** argv) {
  modellib::cli::Outcome outcome;
  const std::unique_ptr<CLI::App> program = modellib::cli::make_program(outcome);
  // The parser tells of wrong usage, and of a wish for help, by throwing; nothing else does.
  try {
    program->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program->exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "modellib: %s\n", error.what());
    return 1;
  }
  if (!outcome.ok()) {
    std::fprintf(stderr, "modellib: %s\n", std::string(outcome.message()).c_str());
  }
  return modellib::cli::exit_code(outcome);
}
