#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/frontends/cli/program.h"

namespace modellib::cli {
namespace {

// The reply of a `case` branch: what may stand for the value of an option.
std::string reply_for(const OptionSpec& option) {
  if (!option.choices.empty()) {
    return absl::StrCat("_modellib_words '", absl::StrJoin(option.choices, " "), "'");
  }
  if (absl::StartsWith(option.value, "FILE")) return "_modellib_files";
  if (option.value == "DIR") return "_modellib_folders";
  return ":";  // a number or a name: nothing to offer
}

std::string command_case(const CommandSpec& command) {
  std::string out = absl::StrCat("    ", command.name, ")\n");
  std::vector<std::string> words;
  std::string values;
  for (const OptionSpec& option : command.options) {
    words.insert(words.end(), option.names.begin(), option.names.end());
    if (option.value.empty()) continue;
    absl::StrAppend(&values, "        ", absl::StrJoin(option.names, " | "), ")\n          ",
                    reply_for(option), "\n          return\n          ;;\n");
  }
  if (!values.empty()) {
    absl::StrAppend(&out, "      case $previous in\n", values, "      esac\n");
  }
  absl::StrAppend(&out, "      if [[ $current == -* ]]; then\n        _modellib_words '",
                  absl::StrJoin(words, " "), "'\n");
  if (!command.positionals.empty()) {
    const OptionSpec& first = command.positionals.front();
    absl::StrAppend(&out, "      else\n        ",
                    first.choices.empty() ? "_modellib_files" : reply_for(first), "\n");
  }
  absl::StrAppend(&out, "      fi\n      ;;\n");
  return out;
}

}  // namespace

std::string bash_completion(const ProgramSpec& program) {
  std::vector<std::string> names;
  for (const CommandSpec& command : program.commands) names.push_back(command.name);
  std::string out = absl::StrCat(
      "# Completion of ", program.name, " for bash, as `", program.name,
      " completion bash` prints it.\n\n"
      "_modellib_words() {\n"
      "  mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$current\")\n"
      "}\n"
      "_modellib_files() {\n"
      "  mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
      "  compopt -o filenames 2>/dev/null\n"
      "}\n"
      "_modellib_folders() {\n"
      "  mapfile -t COMPREPLY < <(compgen -d -- \"$current\")\n"
      "  compopt -o filenames 2>/dev/null\n"
      "}\n\n"
      "_modellib() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
      "  local command='' i\n"
      "  COMPREPLY=()\n"
      "  # Bash cuts NAME=FILE and --option=value into three words.\n"
      "  if [[ $current == = ]]; then\n"
      "    current=''\n"
      "  elif [[ $previous == = ]]; then\n"
      "    previous=${COMP_WORDS[COMP_CWORD - 2]}\n"
      "  fi\n"
      "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
      "    if [[ ${COMP_WORDS[i]} != -* ]]; then\n"
      "      command=${COMP_WORDS[i]}\n"
      "      break\n"
      "    fi\n"
      "  done\n"
      "  case $command in\n"
      "    '')\n"
      "      _modellib_words '",
      absl::StrJoin(names, " "),
      " --help'\n"
      "      ;;\n");
  for (const CommandSpec& command : program.commands) {
    absl::StrAppend(&out, command_case(command));
  }
  absl::StrAppend(&out, "  esac\n}\n\ncomplete -F _modellib ", program.name, "\n");
  return out;
}

}  // namespace modellib::cli
