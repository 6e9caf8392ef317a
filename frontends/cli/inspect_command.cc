#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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
#include "modellib/graph/free_dims.h"
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

// `bounds` for the dimensions that neither the model nor `given` bounds.
DimRanges assumed_dims(const Model& model, const DimRanges& given, const DimRange& bounds) {
  DimRanges assumed;
  for (const Program::Entry& entry : model.program.entries) {
    for (const auto& [symbol, range] : bounds_of_free_dims(*entry.graph, bounds)) {
      if (!given.contains(symbol)) assumed[symbol] = range;
    }
  }
  return assumed;
}

// The plan in the file, or that of the model in it. Free dimensions without a maximum are no fault:
// they can be bounded when it is compiled, and some size is assumed here.
PlanToDescribe plan_of(const LoadedFile& file, const DimRanges& dims) {
  if (file.plan != nullptr) return {file.plan, load_on_cpu(file.plan).status(), {}};
  std::optional<PlanToDescribe> first;
  for (const DimRange& bounds : kAssumedBounds) {
    PlanToDescribe tried;
    tried.assumed = assumed_dims(*file.model, dims, bounds);
    DimRanges all = dims;
    all.insert(tried.assumed.begin(), tried.assumed.end());
    auto plan = plan_for_cpu(file, all);
    tried.runs = plan.ok() ? load_on_cpu(*plan).status() : plan.status();
    if (plan.ok()) tried.plan = *std::move(plan);
    if (tried.runs.ok() || tried.assumed.empty()) return tried;
    if (!first.has_value()) first = std::move(tried);
  }
  return *std::move(first);
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
  const PlanToDescribe plan = plan_of(file, options.dims);
  print(file.plan != nullptr ? describe_plan(plan, cpu::cpu_kernel_table())
                             : describe_model(*file.model, plan, cpu::cpu_kernel_table()),
        options.json);
  MODELLIB_RETURN_IF_ERROR(will_not_run(plan, !options.dims.empty()));
  if (!options.memory.empty()) MODELLIB_RETURN_IF_ERROR(draw_memory(*plan.plan, options));
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
