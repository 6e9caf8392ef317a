#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/executors/cpu/kernels/registry.h"
#include "modellib/formats/file_bytes.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/frontends/cli/command.h"
#include "modellib/frontends/cli/cpu_device.h"
#include "modellib/frontends/cli/describe.h"
#include "modellib/frontends/cli/dims.h"
#include "modellib/frontends/cli/graphviz.h"
#include "modellib/frontends/cli/load_file.h"
#include "modellib/frontends/cli/output.h"
#include "modellib/frontends/cli/plan_timeline.h"
#include "modellib/graph/drawing.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cli {
namespace {

struct Options {
  std::string file, memory, graph, entry;
  DimRanges dims;
  bool json = false;
};

absl::Status draw_memory(const PlanFile& plan, const Options& options) {
  std::vector<std::string> names;
  if (plan.plan().entries() != nullptr) {
    for (const fb::Entry* entry : *plan.plan().entries()) {
      names.push_back(entry->name() == nullptr ? "" : entry->name()->str());
    }
  }
  MODELLIB_ASSIGN_OR_RETURN(const std::string entry, choose_entry(names, options.entry));
  MODELLIB_ASSIGN_OR_RETURN(const std::string svg, plan_timeline_svg(plan, entry));
  return write_file(options.memory, svg);
}

void print(const Json& description, bool json) {
  print_text((json ? json_text(description) : as_text(description)) + "\n");
}

// Why a model will not run, or the plan of it. Free dimensions without a maximum are no fault: they
// can be bounded when it is compiled, and `assumed` says how large they are taken to be here.
absl::StatusOr<std::shared_ptr<const PlanFile>> plan_of(const LoadedFile& file,
                                                        const DimRanges& dims, DimRanges& assumed) {
  if (file.plan != nullptr) return file.plan;
  const auto with = [&](const DimRanges& more) {
    DimRanges all = dims;
    for (const auto& [symbol, range] : more) all[symbol] = range;
    return plan_for_cpu(file, all);
  };
  assumed = assumed_dims(*file.model, dims);
  auto plan = with(assumed);
  if (plan.ok() || assumed.empty()) return plan;
  // Not all models take the smallest images.
  DimRanges largest = assumed;
  for (auto& [symbol, range] : largest) range.min = range.max;
  auto again = with(largest);
  if (!again.ok()) return plan;
  assumed = std::move(largest);
  return again;
}

absl::Status inspect(const Options& options) {
  const auto loaded = load_file(options.file);
  if (loaded.status().code() == absl::StatusCode::kUnimplemented) {
    print({{"will_not_run", lines_of(loaded.status())}}, options.json);
    return loaded.status();
  }
  MODELLIB_RETURN_IF_ERROR(loaded.status());
  const LoadedFile& file = *loaded;
  if (file.plan != nullptr && !options.dims.empty()) {
    return wrong_usage("--dim: dimensions of a plan were bound when it was compiled");
  }
  MODELLIB_RETURN_IF_ERROR(check_dims(file, options.dims));
  DimRanges assumed;
  const auto plan = plan_of(file, options.dims, assumed);
  // Sizes that the model refuses are no lack of ours.
  if (!options.dims.empty() && plan.status().code() == absl::StatusCode::kInvalidArgument) {
    return plan.status();
  }
  const Json description =
      file.plan != nullptr ? describe_plan(*file.plan, cpu::cpu_kernel_table())
                           : describe_model(*file.model, plan, assumed, cpu::cpu_kernel_table());
  print(description, options.json);
  if (const size_t count = description["will_not_run"].size(); count > 0) {
    return absl::UnimplementedError(
        absl::StrCat("it will not run here: ", description["will_not_run"][0].get<std::string>()));
  }
  if (!options.memory.empty()) MODELLIB_RETURN_IF_ERROR(draw_memory(**plan, options));
  if (!options.graph.empty()) {
    if (!file.model.has_value()) {
      return absl::UnimplementedError("a plan has no graph to draw; draw the model it came from");
    }
    MODELLIB_RETURN_IF_ERROR(write_svg(draw_dot(file.model->program), options.graph));
  }
  return absl::OkStatus();
}

}  // namespace

void add_inspect_command(CLI::App& app, Outcome& outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("inspect", "Tells what is in a plan, or in a model and in its plan");
  command->add_option("FILE", options->file, "ONNX, native or text model, or plan")->required();
  CLI::Option* const memory =
      command->add_option("--memory", options->memory, "Draws memory over time")
          ->type_name("FILE.svg");
  command->add_option("--graph", options->graph, "Draws the graphs of a model, by Graphviz")
      ->type_name("FILE.svg");
  command->add_option("--entry", options->entry, "Whose memory to draw, of a program with several")
      ->type_name("NAME")
      ->needs(memory);
  add_dim_option(*command, options->dims);
  command->add_flag("--json", options->json, "For programs to read");
  set_examples(*command, {"modellib inspect model.mltxt --dim batch=4",
                          "modellib inspect model.mlplan --json",
                          "modellib inspect model.mlplan --memory memory.svg"});
  command->callback([options, &outcome] { outcome = inspect(*options); });
}

}  // namespace modellib::cli
