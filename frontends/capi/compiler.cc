#include "modellib/compiler.h"

#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "modellib/executors/cpu/backend/cpu_backend.h"
#include "modellib/executors/runtime/floating_point.h"
#include "modellib/executors/runtime/fork_guard.h"
#include "modellib/formats/detect.h"
#include "modellib/formats/native_model.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/formats/text_model.h"
#include "modellib/frontends/capi/handles.h"
#include "modellib/frontends/capi/status.h"
#include "modellib/frontends/onnx/importer.h"
#include "modellib/graph/assemble.h"
#include "modellib/graph/text.h"
#include "modellib/ops/registry.h"
#include "modellib/passes/compile.h"

namespace modellib::capi {
namespace {

absl::StatusOr<Model> read_file(const std::string& path, const ContainerOptions& options) {
  MODELLIB_ASSIGN_OR_RETURN(const FileFormat format, detect_file_format(path));
  switch (format) {
    case FileFormat::kModel:
      return read_model(path, builtin_ops(), options);
    case FileFormat::kText:
      return read_text_model(path, builtin_ops(), options);
    case FileFormat::kPlan:
      return absl::InvalidArgumentError(absl::StrCat(path, " is a plan already"));
    default:
      // Of what has no form at all, the importer can say where it goes wrong.
      if (format == FileFormat::kOnnx || absl::EndsWith(path, ".onnx")) {
        return onnx::import_model(path);
      }
      return absl::InvalidArgumentError(
          absl::StrCat(path, " is no model: neither ONNX, native nor text"));
  }
}

absl::StatusOr<Model> read_memory(absl::Span<const std::byte> bytes, ContainerOptions options) {
  const absl::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  switch (detect_format(bytes.first(std::min<size_t>(bytes.size(), 4096)))) {
    case FileFormat::kModel: {
      options.copy = true;  // constants of the plan go on to lie where the model has them
      MODELLIB_ASSIGN_OR_RETURN(const auto container,
                                Container::open(SharedBytes{bytes, nullptr}, options));
      return read_model(*container, builtin_ops());
    }
    case FileFormat::kText: {
      Model model;
      MODELLIB_ASSIGN_OR_RETURN(model.program, parse_program(text, builtin_ops()));
      return model;
    }
    case FileFormat::kPlan:
      return absl::InvalidArgumentError("the bytes are a plan already");
    default:
      return onnx::import_model_bytes(text);
  }
}

// The graph with the values that `names` holds as further outputs; takes note of those found.
absl::StatusOr<GraphRef> with_outputs(const GraphRef& graph, const std::set<std::string>& names,
                                      std::set<std::string>& found) {
  GraphParts parts = disassemble(*graph);
  std::set<std::string> known;
  for (const Graph::Output& output : graph->outputs()) known.insert(output.name);
  for (size_t id = 0; id < graph->values().size(); ++id) {
    const std::string& name = graph->values()[id].name;
    if (names.count(name) == 0) continue;
    found.insert(name);
    if (known.insert(name).second) parts.outputs.push_back({name, static_cast<ValueId>(id)});
  }
  if (parts.outputs.size() == graph->outputs().size()) return graph;
  return assemble(std::move(parts));
}

absl::Status keep_values(const modellib_compile_options& options, Program& program) {
  std::set<std::string> names, found;
  for (size_t i = 0; i < options.keep_count; ++i) {
    MODELLIB_RETURN_IF_ERROR(require(options.keep[i] != nullptr, absl::StrCat("keep[", i, "]")));
    names.insert(options.keep[i]);
  }
  for (Program::Entry& entry : program.entries) {
    MODELLIB_ASSIGN_OR_RETURN(entry.graph, with_outputs(entry.graph, names, found));
  }
  std::vector<std::string> missing;
  for (const std::string& name : names) {
    if (found.count(name) == 0) missing.push_back(name);
  }
  if (missing.empty()) return absl::OkStatus();
  return absl::NotFoundError(
      absl::StrCat("the model has no values named ", absl::StrJoin(missing, ", ")));
}

absl::StatusOr<CompileOptions> translate(const modellib_compile_options& options) {
  MODELLIB_RETURN_IF_ERROR(require(options.dims != nullptr || options.dim_count == 0, "dims"));
  MODELLIB_RETURN_IF_ERROR(require(options.keep != nullptr || options.keep_count == 0, "keep"));
  MODELLIB_RETURN_IF_ERROR(require(
      options.disabled_passes != nullptr || options.disabled_pass_count == 0, "disabled_passes"));
  CompileOptions compile;
  for (size_t i = 0; i < options.dim_count; ++i) {
    const modellib_dim_range& dim = options.dims[i];
    MODELLIB_RETURN_IF_ERROR(require(dim.name != nullptr, absl::StrCat("dims[", i, "].name")));
    if (dim.min < 0 || dim.max < dim.min) {
      return absl::InvalidArgumentError(
          absl::StrCat("dimension '", dim.name, "' cannot be ", dim.min, " to ", dim.max));
    }
    if (!compile.dims.emplace(dim.name, DimRange{dim.min, dim.max}).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("dims[", i, "]: dimension '", dim.name, "' is given twice"));
    }
  }
  for (size_t i = 0; i < options.disabled_pass_count; ++i) {
    const char* const name = options.disabled_passes[i];
    MODELLIB_RETURN_IF_ERROR(require(name != nullptr, absl::StrCat("disabled_passes[", i, "]")));
    if (find_pass(name) == nullptr) {
      return absl::NotFoundError(absl::StrCat("no pass '", name, "'"));
    }
    compile.pipeline.disabled.push_back(name);
  }
  return compile;
}

absl::StatusOr<std::unique_ptr<modellib_plan>> compile_model(
    Model model, const modellib_compile_options& options, const Log& log) {
  MODELLIB_ASSIGN_OR_RETURN(const CompileOptions compile_options, translate(options));
  MODELLIB_RETURN_IF_ERROR(keep_values(options, model.program));
  MODELLIB_ASSIGN_OR_RETURN(CompileResult result, compile(model.program, builtin_ops(),
                                                          cpu::cpu_backend(), compile_options));
  for (size_t i = 0; log.wants(MODELLIB_LOG_DEBUG) && i < result.runs.size(); ++i) {
    for (const PassRun& run : result.runs[i]) {
      log.write(MODELLIB_LOG_DEBUG,
                absl::StrFormat("entry '%s': %s made %d rewrites in %.2f ms, %d nodes to %d",
                                model.program.entries[i].name, run.name, run.rewrites,
                                run.milliseconds, run.nodes_before, run.nodes_after));
    }
  }
  add_variable_contents(model.variables, result.lowered);
  MODELLIB_ASSIGN_OR_RETURN(auto file, make_plan_file(result.lowered));
  return load_plan(std::move(file), log);
}

// What the functions that compile have in common. `read` gives the model.
template <class Read>
modellib_status compile_with(const modellib_compile_options* given, modellib_plan** plan,
                             const Read& read) {
  if (plan != nullptr) *plan = nullptr;
  return guarded([&]() -> absl::Status {
    MODELLIB_RETURN_IF_ERROR(require(plan != nullptr, "plan"));
    MODELLIB_ASSIGN_OR_RETURN(const auto options, in_full(given, "modellib_compile_options"));
    MODELLIB_ASSIGN_OR_RETURN(const Log log, Log::create(options.log));
    // Passes and oneDNN have static variables and caches with locks.
    const runtime::ForkBarrier barrier;
    // Constants that are folded are the same bits on every thread.
    const runtime::FloatingPointScope floating_point;
    const auto start = std::chrono::steady_clock::now();
    ContainerOptions container;
    container.trusted = options.untrusted == 0;
    MODELLIB_ASSIGN_OR_RETURN(Model model, read(container));
    MODELLIB_ASSIGN_OR_RETURN(std::unique_ptr<modellib_plan> made,
                              compile_model(std::move(model), options, log));
    if (log.wants(MODELLIB_LOG_INFO)) {
      const std::chrono::duration<double, std::milli> took =
          std::chrono::steady_clock::now() - start;
      log.write(MODELLIB_LOG_INFO, absl::StrFormat("model compiled in %.0f ms", took.count()));
    }
    *plan = made.release();
    return absl::OkStatus();
  });
}

}  // namespace
}  // namespace modellib::capi

using modellib::Model;
using modellib::capi::compile_with;
using modellib::capi::guarded;
using modellib::capi::require;

modellib_status modellib_compile_file(const char* path, const modellib_compile_options* options,
                                      modellib_plan** plan) {
  return compile_with(options, plan, [&](const auto& container) -> absl::StatusOr<Model> {
    MODELLIB_RETURN_IF_ERROR(require(path != nullptr, "path"));
    return modellib::capi::read_file(path, container);
  });
}

modellib_status modellib_compile_memory(const void* data, size_t bytes,
                                        const modellib_compile_options* options,
                                        modellib_plan** plan) {
  return compile_with(options, plan, [&](const auto& container) -> absl::StatusOr<Model> {
    MODELLIB_RETURN_IF_ERROR(require(data != nullptr, "data"));
    return modellib::capi::read_memory({static_cast<const std::byte*>(data), bytes}, container);
  });
}

modellib_status modellib_plan_write(const modellib_plan* plan, const char* path) {
  return guarded([&]() -> absl::Status {
    MODELLIB_RETURN_IF_ERROR(require(plan != nullptr, "plan"));
    MODELLIB_RETURN_IF_ERROR(require(path != nullptr, "path"));
    return plan->file->write(path);
  });
}

modellib_status modellib_plan_serialize(const modellib_plan* plan,
                                        modellib_status (*write)(void* user, const void* data,
                                                                 size_t bytes),
                                        void* user) {
  return guarded([&]() -> absl::Status {
    MODELLIB_RETURN_IF_ERROR(require(plan != nullptr, "plan"));
    MODELLIB_RETURN_IF_ERROR(require(write != nullptr, "write"));
    MODELLIB_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, plan->file->serialize());
    const modellib_status status = write(user, bytes.data(), bytes.size());
    return status == MODELLIB_OK ? absl::OkStatus()
                                 : modellib::capi::callback_failed(status, "writer");
  });
}
