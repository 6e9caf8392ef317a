// Commands that print what the program says of itself, in forms that other programs read.
#include <CLI/CLI.hpp>
#include <string>

#include "modellib/frontends/cli/command.h"
#include "modellib/frontends/cli/output.h"
#include "modellib/frontends/cli/program.h"

namespace modellib::cli {

void add_document_commands(CLI::App& app, Outcome& outcome) {
  const auto add = [&](const char* name, const char* description,
                       std::string (*write)(const ProgramSpec&)) {
    CLI::App* command = app.add_subcommand(name, description);
    command->callback([&app, &outcome, write] {
      print_text(write(describe_program(app)));
      outcome = absl::OkStatus();
    });
    return command;
  };
  CLI::App* completion =
      add("completion", "Prints a script that completes commands, options and files in a shell",
          bash_completion);
  // There is one shell so far: what it is called is checked, and nothing hangs on it.
  completion
      ->add_option_function<std::string>(
          "SHELL", [](const std::string&) {}, "The shell that reads it")
      ->required()
      ->check(CLI::IsMember({"bash"}));
  set_examples(*completion, {"modellib completion bash > modellib.bash"});
  set_examples(*add("man", "Prints the manual page", manual_page), {"modellib man > modellib.1"});
  set_examples(*add("markdown", "Prints what docs/cli.md holds", markdown),
               {"modellib markdown > cli.md"});
}

}  // namespace modellib::cli
