// The commands of the `modellib` program, one file each. A command adds its options to the parser,
// which calls it back with them; what went wrong is a Status.
#ifndef MODELLIB_FRONTENDS_CLI_COMMAND_H_
#define MODELLIB_FRONTENDS_CLI_COMMAND_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "modellib/graph/dim.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's
class App;
}  // namespace CLI

namespace modellib::cli {

// What the command that was chosen came to.
using Outcome = absl::Status;

void add_run_command(CLI::App& app, Outcome& outcome);
void add_compile_command(CLI::App& app, Outcome& outcome);
void add_inspect_command(CLI::App& app, Outcome& outcome);
void add_bench_command(CLI::App& app, Outcome& outcome);

// 0 for OK; 3 for Unimplemented: something in the input is not supported; 1 for any other: the
// input is at fault. Wrong usage, 2, is found by the parser.
int exit_code(const absl::Status& status);

// Adds "--dim", which may be given several times: "batch=8" or "batch=1..1000".
void add_dim_option(CLI::App& command, DimRanges& dims);

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_COMMAND_H_
