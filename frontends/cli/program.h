// The `modellib` program as a whole: its parser with all commands, from which the help, the
// completion, the manual page and docs/cli.md come.
#ifndef MODELLIB_FRONTENDS_CLI_PROGRAM_H_
#define MODELLIB_FRONTENDS_CLI_PROGRAM_H_

#include <memory>
#include <string>
#include <vector>

#include "modellib/frontends/cli/command.h"

namespace modellib::cli {

// Parsing calls the command that was chosen back, which sets `outcome`. Both must outlive it.
std::unique_ptr<CLI::App> make_program(Outcome& outcome);

// The same as plain data.
struct OptionSpec {
  std::vector<std::string> names;    // {"-o", "--output"}; of a positional: {"MODEL"}
  std::string value;                 // what stands behind it: "FILE"; "" for a flag
  std::vector<std::string> choices;  // of the value, if it has few
  std::string description;
  std::string default_value;  // as it would be typed; "" where there is none
  bool required = false;
  bool many = false;  // may be given several times
};
struct CommandSpec {
  std::string name, description;
  std::vector<OptionSpec> positionals, options;
  std::vector<std::string> examples;
};
struct ProgramSpec {
  std::string name, description;
  std::vector<std::string> notes;  // paragraphs: which models, exit codes
  std::vector<CommandSpec> commands;
};
ProgramSpec describe_program(const CLI::App& program);

// "run MODEL [INPUT...] --output DIR [OPTIONS]"
std::string usage(const CommandSpec& command);

// A script that bash reads.
std::string bash_completion(const ProgramSpec& program);
// A page of section 1, in roff with the macros of man(7).
std::string manual_page(const ProgramSpec& program);
// docs/cli.md.
std::string markdown(const ProgramSpec& program);

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_PROGRAM_H_
