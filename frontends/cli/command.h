// The commands of the `modellib` program, one file each. A command adds its options to the parser,
// which calls it back with them; what went wrong is a Status.
#ifndef MODELLIB_FRONTENDS_CLI_COMMAND_H_
#define MODELLIB_FRONTENDS_CLI_COMMAND_H_

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "modellib/graph/dim.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's
class App;
class Validator;
}  // namespace CLI

namespace modellib::cli {

// What the command that was chosen came to.
using Outcome = absl::Status;

void add_run_command(CLI::App& app, Outcome& outcome);
void add_compile_command(CLI::App& app, Outcome& outcome);
void add_inspect_command(CLI::App& app, Outcome& outcome);
void add_bench_command(CLI::App& app, Outcome& outcome);
void add_profile_command(CLI::App& app, Outcome& outcome);
void add_diff_command(CLI::App& app, Outcome& outcome);
// completion, man and markdown: what program.h derives from the parser.
void add_document_commands(CLI::App& app, Outcome& outcome);

// For options that have no effect on what they are given with: wrong usage that only a look at the
// files can find. The rest of it is found by the parser.
absl::Status wrong_usage(absl::string_view message);

// 0 for OK; 2 for wrong usage; 3 for Unimplemented: something in the input is not supported; 1 for
// any other: the input is at fault.
int exit_code(const absl::Status& status);

// Refuses what is no number from `min` to `max`, both included: NaN and infinity, too.
CLI::Validator finite_number(double min, double max = std::numeric_limits<double>::max());

// Adds "--dim", which may be given several times: "batch=8" or "batch=1..1000".
void add_dim_option(CLI::App& command, DimRanges& dims);

// Lines that a user could type, shown by the help, the manual page and docs/cli.md, whose test runs
// them, all in their order, in a folder with model.mltxt and x.npy.
void set_examples(CLI::App& command, const std::vector<std::string>& examples);

// Adds an option that names a pass to leave out, or "all": every one that a plan can be made
// without. It may be given several times.
void add_disable_option(CLI::App& command, const std::string& name, const std::string& description,
                        std::vector<std::string>& disabled);

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_COMMAND_H_
