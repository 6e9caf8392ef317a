// modellib: runs, compiles, inspects, measures and compares models from the command line.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>

#include "modellib/frontends/cli/command.h"
#include "modellib/frontends/cli/output.h"
#include "modellib/frontends/cli/program.h"

namespace {

void complain(const std::string& message) {
  std::fprintf(stderr, "modellib: %s\n", message.c_str());
}

int parse_and_run(int argc, char** argv) {
  modellib::cli::Outcome outcome;
  const std::unique_ptr<CLI::App> program = modellib::cli::make_program(outcome);
  // The parser tells of wrong usage, and of a wish for help, by throwing; nothing else does.
  try {
    program->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program->exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    complain(error.what());
    return 1;
  }
  if (!outcome.ok()) complain(std::string(outcome.message()));
  return modellib::cli::exit_code(outcome);
}

}  // namespace

int main(int argc, char** argv) {
  modellib::cli::prepare_output();
  const int code = parse_and_run(argc, argv);
  const absl::Status written = modellib::cli::finish_output();
  if (written.ok()) return code;
  complain(std::string(written.message()));
  return code == 0 ? 1 : code;
}
