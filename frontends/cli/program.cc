#include "modellib/frontends/cli/program.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "modellib/passes/pipeline.h"

namespace modellib::cli {
namespace {

constexpr char kNotes[] =
    "MODEL is an ONNX model, a native model (.mlmodel), a text model (.mltxt) or a compiled plan "
    "(.mlplan). Files are told apart by their content.\n"
    "Exit codes: 0 fine; 1 the input is at fault, or diff found a difference; 2 wrong usage; 3 "
    "something in the input is not supported. What is wrong is said on the error output.";

OptionSpec describe_option(const CLI::Option& option) {
  OptionSpec spec;
  if (option.get_positional()) {
    spec.names = {option.get_name(/*positional=*/true)};
  } else {
    for (const std::string& name : option.get_snames()) spec.names.push_back("-" + name);
    for (const std::string& name : option.get_lnames()) spec.names.push_back("--" + name);
  }
  spec.description = option.get_description();
  spec.required = option.get_required();
  spec.many = option.get_expected_max() > 1;
  if (option.get_items_expected_max() == 0) return spec;  // a flag
  spec.default_value = option.get_default_str();
  // "FORMAT:{npy,pb}": the type, then what validators say of themselves.
  const std::string type = option.get_type_name();
  const std::pair<std::string, std::string> parts = absl::StrSplit(type, absl::MaxSplits(':', 1));
  spec.value = parts.first;
  if (absl::StartsWith(parts.second, "{") && absl::EndsWith(parts.second, "}")) {
    spec.choices = absl::StrSplit(parts.second.substr(1, parts.second.size() - 2), ',');
  }
  if (spec.value == "PASS") {
    spec.choices = default_pipeline();
    spec.choices.push_back("all");
  }
  return spec;
}

}  // namespace

std::unique_ptr<CLI::App> make_program(Outcome& outcome) {
  auto program = std::make_unique<CLI::App>(
      "Runs, compiles, inspects, measures and compares models.", "modellib");
  program->footer(kNotes);
  program->require_subcommand(1);
  add_run_command(*program, outcome);
  add_compile_command(*program, outcome);
  add_inspect_command(*program, outcome);
  add_bench_command(*program, outcome);
  add_profile_command(*program, outcome);
  add_diff_command(*program, outcome);
  add_document_commands(*program, outcome);
  return program;
}

ProgramSpec describe_program(const CLI::App& program) {
  ProgramSpec spec;
  spec.name = program.get_name();
  spec.description = program.get_description();
  spec.notes = absl::StrSplit(program.get_footer(), '\n');
  for (const CLI::App* command : program.get_subcommands([](const CLI::App*) { return true; })) {
    CommandSpec& c = spec.commands.emplace_back();
    c.name = command->get_name();
    c.description = command->get_description();
    for (const CLI::Option* option : command->get_options()) {
      (option->get_positional() ? c.positionals : c.options).push_back(describe_option(*option));
    }
    // See set_examples.
    const std::vector<std::string> lines = absl::StrSplit(command->get_footer(), '\n');
    for (size_t i = 1; i < lines.size(); ++i) {
      c.examples.push_back(std::string(absl::StripLeadingAsciiWhitespace(lines[i])));
    }
  }
  return spec;
}

std::string usage(const CommandSpec& command) {
  std::string out = command.name;
  for (const OptionSpec& p : command.positionals) {
    const std::string name = absl::StrCat(p.names[0], p.many ? "..." : "");
    absl::StrAppend(&out, " ", p.required ? name : absl::StrCat("[", name, "]"));
  }
  for (const OptionSpec& o : command.options) {
    if (o.required) absl::StrAppend(&out, " ", o.names.back(), " ", o.value);
  }
  return absl::StrCat(out, " [OPTIONS]");
}

}  // namespace modellib::cli
