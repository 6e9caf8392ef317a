#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "modellib/formats/file_bytes.h"
#include "modellib/frontends/cli/command.h"
#include "modellib/frontends/cli/cpu_device.h"
#include "modellib/frontends/cli/dims.h"
#include "modellib/frontends/cli/load_file.h"
#include "modellib/frontends/cli/output.h"
#include "modellib/graph/status_macros.h"
#include "modellib/graph/text.h"
#include "modellib/passes/pipeline.h"

namespace modellib::cli {
namespace {

struct Options {
  std::string model, output, dump_folder;
  std::vector<std::string> disabled;
  int64_t stop_after = -1;
  DimRanges dims;
  bool explain = false;
};

// Other characters as "%2F": no two names become one.
std::string file_name(absl::string_view text) {
  std::string out;
  for (char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_') {
      out += c;
    } else {
      absl::StrAppendFormat(&out, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string explanation(const CompiledModel& compiled) {
  std::string out;
  for (const CompiledModel::Entry& entry : compiled.entries) {
    absl::StrAppend(&out, "entry ", entry.name, "\n");
    for (const PassRun& run : entry.runs) {
      absl::StrAppend(&out, "  ", run.name, ": ", run.rewrites, " rewrites, from ",
                      run.nodes_before, " nodes to ", run.nodes_after, "\n");
      for (const std::string& remark : run.remarks) absl::StrAppend(&out, "    ", remark, "\n");
    }
  }
  return out;
}

// Those that a budget of rewrites does not hold back.
std::string mandatory_passes() {
  std::vector<std::string> names = default_pipeline();
  std::erase_if(names, [](const std::string& name) { return !is_mandatory_pass(name); });
  return absl::StrJoin(names, ", ");
}

absl::Status compile_model(const Options& options) {
  MODELLIB_ASSIGN_OR_RETURN(const LoadedFile file, load_file(options.model));
  if (!file.model.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(options.model, " is a plan already"));
  }
  MODELLIB_RETURN_IF_ERROR(check_dims(file, options.dims));
  CompileOptions compile;
  compile.dims = options.dims;
  compile.pipeline.explain = options.explain;
  compile.pipeline.disabled = options.disabled;
  if (options.stop_after >= 0) compile.pipeline.max_rewrites = options.stop_after;
  absl::Status dumped;
  if (!options.dump_folder.empty()) {
    std::error_code error;
    std::filesystem::create_directories(options.dump_folder, error);
    if (error) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot make folder ", options.dump_folder, ": ", error.message()));
    }
    compile.dump = [&](absl::string_view entry, int number, absl::string_view pass,
                       const Graph& graph) {
      dumped.Update(write_file(absl::StrCat(options.dump_folder, "/", file_name(entry),
                                            absl::StrFormat("-%02d-", number), pass, ".mltxt"),
                               print(graph)));
    };
  }
  MODELLIB_ASSIGN_OR_RETURN(const CompiledModel compiled, compile_for_cpu(*file.model, compile));
  MODELLIB_RETURN_IF_ERROR(dumped);
  if (options.explain) print_text(explanation(compiled));
  // A plan that would be refused when it is run is none to write.
  MODELLIB_RETURN_IF_ERROR(load_on_cpu(compiled.plan).status());
  return compiled.plan->write(options.output);
}

}  // namespace

void add_compile_command(CLI::App& app, Outcome& outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("compile", "Compiles a model to a plan, .mlplan");
  command->add_option("MODEL", options->model, "ONNX, native or text model")->required();
  command->add_option("-o,--output", options->output, "The plan")->required()->type_name("FILE");
  add_dim_option(*command, options->dims);
  command
      ->add_option("--dump-passes", options->dump_folder,
                   "Writes the graph after each pass, ENTRY-NUMBER-PASS.mltxt")
      ->type_name("DIR");
  command->add_flag("--explain", options->explain,
                    "Tells what each pass did, and why it left alone what it nearly took");
  add_disable_option(*command, "--disable", "Leaves a pass out", options->disabled);
  command
      ->add_option("--stop-after", options->stop_after,
                   absl::StrCat("Makes N rewrites in each entry at most, to bisect; those of ",
                                mandatory_passes(), " are all made and not counted"))
      ->type_name("N")
      ->check(finite_number(0));
  set_examples(*command,
               {"modellib compile model.mltxt -o model.mlplan",
                "modellib compile model.mltxt -o fixed.mlplan --dim batch=2",
                "modellib compile model.mltxt -o plain.mlplan --disable all --dump-passes passes",
                "modellib compile model.mltxt -o model.mlplan --explain"});
  command->callback([options, &outcome] { outcome = compile_model(*options); });
}

}  // namespace modellib::cli
