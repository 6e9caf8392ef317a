#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "modellib/frontends/cli/program.h"

namespace modellib::cli {
namespace {

// Text of a roff page: no character of it is taken for a command.
std::string roff(absl::string_view text) {
  std::string out = absl::StrReplaceAll(text, {{"\\", "\\e"}, {"-", "\\-"}});
  if (!out.empty() && (out[0] == '.' || out[0] == '\'')) out.insert(0, "\\&");
  return out;
}

std::string sentence(absl::string_view description) {
  return absl::StrCat(description, description.empty() || description.back() == '.' ? "" : ".");
}

// What an option means, which values it may have and which it has where none is given.
std::string explanation(const OptionSpec& option) {
  std::string out = sentence(option.description);
  if (!option.choices.empty()) {
    absl::StrAppend(&out, " One of: ", absl::StrJoin(option.choices, ", "), ".");
  }
  if (!option.default_value.empty()) {
    absl::StrAppend(&out, " Default: ", option.default_value, ".");
  }
  return out;
}

void add_items(const std::vector<OptionSpec>& options, std::string& out) {
  for (const OptionSpec& option : options) {
    std::string head;
    for (const std::string& name : option.names) {
      absl::StrAppend(&head, head.empty() ? "" : ", ", "\\fB", roff(name), "\\fR");
    }
    if (!option.value.empty() && option.names[0][0] == '-') {
      absl::StrAppend(&head, " \\fI", roff(option.value), "\\fR");
    }
    absl::StrAppend(&out, ".TP\n", head, "\n", roff(explanation(option)), "\n");
  }
}

// A cell of a table: a bar would end it.
std::string cell(absl::string_view text) { return absl::StrReplaceAll(text, {{"|", "\\|"}}); }

void add_rows(const std::vector<OptionSpec>& options, std::string& out) {
  for (const OptionSpec& option : options) {
    const bool is_option = option.names[0][0] == '-';
    absl::StrAppend(&out, "| `", absl::StrJoin(option.names, ", "),
                    is_option && !option.value.empty() ? absl::StrCat(" ", option.value) : "",
                    "` | ", cell(explanation(option)), " |\n");
  }
}

}  // namespace

std::string manual_page(const ProgramSpec& program) {
  std::string out = absl::StrCat(".\\\" As `", program.name, " man` prints it.\n.TH ",
                                 absl::AsciiStrToUpper(program.name),
                                 " 1 \"\" \"ModelLib\" \"User Commands\"\n.SH NAME\n", program.name,
                                 " \\- ", roff(program.description), "\n.SH SYNOPSIS\n");
  for (const CommandSpec& command : program.commands) {
    absl::StrAppend(&out, ".B ", program.name, "\n", roff(usage(command)), "\n.br\n");
  }
  absl::StrAppend(&out, ".SH DESCRIPTION\n");
  for (const std::string& note : program.notes) absl::StrAppend(&out, ".PP\n", roff(note), "\n");
  absl::StrAppend(&out, ".SH COMMANDS\n");
  for (const CommandSpec& command : program.commands) {
    absl::StrAppend(&out, ".SS ", roff(usage(command)), "\n", roff(sentence(command.description)),
                    "\n");
    add_items(command.positionals, out);
    add_items(command.options, out);
  }
  absl::StrAppend(&out, ".SH EXAMPLES\n.nf\n");
  for (const CommandSpec& command : program.commands) {
    for (const std::string& example : command.examples) absl::StrAppend(&out, roff(example), "\n");
  }
  return absl::StrCat(out, ".fi\n");
}

std::string markdown(const ProgramSpec& program) {
  std::string out = absl::StrCat("<!-- Written by `", program.name,
                                 " markdown`; a test compares them. -->\n# The command line\n\n",
                                 program.description, "\n");
  for (const std::string& note : program.notes) absl::StrAppend(&out, "\n", note, "\n");
  absl::StrAppend(&out,
                  "\nCompletion for bash: `source <(modellib completion bash)`. A manual page: "
                  "`modellib man | man -l -`.\n");
  for (const CommandSpec& command : program.commands) {
    absl::StrAppend(&out, "\n## ", command.name, "\n\n", sentence(command.description), "\n\n```\n",
                    program.name, " ", usage(command), "\n```\n\n| | |\n|---|---|\n");
    add_rows(command.positionals, out);
    add_rows(command.options, out);
    if (command.examples.empty()) continue;
    absl::StrAppend(&out, "\n```sh\n", absl::StrJoin(command.examples, "\n"), "\n```\n");
  }
  return out;
}

}  // namespace modellib::cli
