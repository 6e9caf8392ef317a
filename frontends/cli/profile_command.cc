#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "modellib/formats/file_bytes.h"
#include "modellib/frontends/cli/command.h"
#include "modellib/frontends/cli/cpu_device.h"
#include "modellib/frontends/cli/describe.h"
#include "modellib/frontends/cli/dims.h"
#include "modellib/frontends/cli/load_file.h"
#include "modellib/frontends/cli/output.h"
#include "modellib/frontends/cli/profile.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cli {
namespace {

struct Options {
  std::string model, trace;
  ProfileOptions profile;
  int top = 30;
  bool json = false;
};

// The steps that take longest, for people.
void keep_longest(Json& description, int top) {
  Json& steps = description["steps"];
  std::stable_sort(steps.begin(), steps.end(), [](const Json& a, const Json& b) {
    return a["milliseconds"].get<double>() > b["milliseconds"].get<double>();
  });
  if (top > 0 && steps.size() > static_cast<size_t>(top)) {
    steps.erase(steps.begin() + top, steps.end());
  }
}

absl::Status profile(Options options) {
  MODELLIB_ASSIGN_OR_RETURN(const LoadedFile file, load_file(options.model, /*trusted=*/true));
  MODELLIB_RETURN_IF_ERROR(check_dims(file, options.profile.dims));
  MODELLIB_ASSIGN_OR_RETURN(auto plan,
                            plan_for_cpu(file, options.profile.entry, options.profile.dims));
  options.profile.trace = !options.trace.empty();
  MODELLIB_ASSIGN_OR_RETURN(const Profile result, profile_plan(std::move(plan), options.profile));
  if (!options.trace.empty()) {
    MODELLIB_RETURN_IF_ERROR(
        write_file(options.trace, json_text(chrome_trace(result), /*indent=*/-1)));
  }
  Json description = describe_profile(result);
  if (!options.json) keep_longest(description, options.top);
  print_text((options.json ? json_text(description) : as_text(description)) + "\n");
  return absl::OkStatus();
}

}  // namespace

void add_profile_command(CLI::App& app, Outcome& outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "profile",
      "Tells where the time goes, step by step, beside what the machine can do, on made-up inputs. "
      "The file is trusted, and mapped");
  command->add_option("MODEL", options->model, "ONNX, native or text model, or plan")->required();
  add_dim_option(*command, options->profile.dims);
  command->add_option("--entry", options->profile.entry, "Of a program with several")
      ->type_name("NAME");
  command->add_option("--threads", options->profile.threads, "0: one for each core")
      ->check(CLI::Range(0, 1024))
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--runs", options->profile.runs, "Runs to take medians of")
      ->check(CLI::Range(1, 1000000))
      ->type_name("N")
      ->capture_default_str();
  command
      ->add_option("--trace", options->trace,
                   "Writes one run in the format of Chrome's tracing (Perfetto reads it)")
      ->type_name("FILE.json");
  CLI::Option* const top =
      command->add_option("--top", options->top, "Prints so many steps, the longest; 0: all")
          ->check(CLI::Range(0, 1000000))
          ->type_name("N")
          ->capture_default_str();
  command->add_flag("--json", options->json, "For programs to read: all steps, in order")
      ->excludes(top);
  set_examples(*command,
               {"modellib profile model.mlplan",
                "modellib profile model.mltxt --dim batch=4 --runs 5 --trace trace.json"});
  command->callback([options, &outcome] { outcome = profile(*options); });
}

}  // namespace modellib::cli
