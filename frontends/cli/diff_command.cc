#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "modellib/frontends/cli/command.h"
#include "modellib/frontends/cli/diff.h"
#include "modellib/frontends/cli/output.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cli {
namespace {

struct Options {
  DiffOptions diff;
  bool json = false;
};

absl::Status compare(const Options& options) {
  MODELLIB_ASSIGN_OR_RETURN(const DiffReport report, diff(options.diff));
  if (options.json) {
    print_text(json_text(describe_diff(report)) + "\n");
  } else {
    print_text(diff_text(report, options.diff.tolerance));
  }
  if (report.differences.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("they part at '", report.differences.front().value, "'"));
}

}  // namespace

void add_diff_command(CLI::App& app, Outcome& outcome) {
  auto options = std::make_shared<Options>();
  DiffOptions& diff = options->diff;
  CLI::App* command = app.add_subcommand(
      "diff",
      "Runs two models or plans on the same inputs and tells where their values part first, and "
      "where the first NaN is. Values are compared by name");
  command->add_option("A", diff.a.file, "ONNX, native or text model, or plan")->required();
  command->add_option("B", diff.b.file, "The same model, or one to compare it with")->required();
  CLI::Option* const inputs = command->add_option(
      "INPUT", diff.inputs,
      "FILE, in the order of A's inputs, or NAME=FILE; .npy or .pb, as for run. "
      "Without: random numbers");
  for (const bool is_a : {true, false}) {
    DiffSide& side = is_a ? diff.a : diff.b;
    const std::string suffix = is_a ? "-a" : "-b";
    const std::string name = is_a ? "A" : "B";
    command->add_option("--device" + suffix, side.device, "What runs " + name)
        ->check(CLI::IsMember({"cpu", "reference"}))
        ->type_name("DEVICE")
        ->capture_default_str();
    add_disable_option(*command, "--disable" + suffix, "Leaves a pass out for " + name,
                       side.disabled);
  }
  add_dim_option(*command, diff.dims);
  command->add_option("--rtol", diff.tolerance.relative, "How far apart, relative to the value")
      ->check(finite_number(0))
      ->type_name("X")
      ->capture_default_str();
  command->add_option("--atol", diff.tolerance.absolute, "How far apart beside that")
      ->check(finite_number(0))
      ->type_name("X")
      ->capture_default_str();
  command->add_option("--seed", diff.samples.seed, "Of the random inputs")
      ->type_name("N")
      ->capture_default_str()
      ->excludes(inputs);
  diff.samples.largest_integer = 1;
  command
      ->add_option("--largest-integer", diff.samples.largest_integer,
                   "Random integers are drawn from 0 to it")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 31))
      ->type_name("N")
      ->capture_default_str()
      ->excludes(inputs);
  command->add_option("--threads", diff.threads, "0: one for each core")
      ->check(CLI::Range(0, 1024))
      ->type_name("N")
      ->default_str("0");
  command->add_option("--entry", diff.entry, "Of a program with several")->type_name("NAME");
  command->add_flag("--json", options->json, "For programs to read: all that part");
  set_examples(*command, {"modellib diff model.mltxt model.mlplan",
                          "modellib diff model.mltxt model.mltxt x.npy --disable-b all",
                          "modellib diff model.mltxt model.mltxt --device-b reference --json"});
  command->callback([options, &outcome] { outcome = compare(*options); });
}

}  // namespace modellib::cli
