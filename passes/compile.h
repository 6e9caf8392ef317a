// Compiling a program: dimensions bound, passes run, entries lowered. The one door from graphs to
// plans.
#ifndef MODELLIB_PASSES_COMPILE_H_
#define MODELLIB_PASSES_COMPILE_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/program.h"
#include "modellib/passes/backend.h"
#include "modellib/passes/lower.h"
#include "modellib/passes/pipeline.h"

namespace modellib {

struct CompileOptions {
  // Numbers (min == max) or bounds for free dimensions; see bind_dims.h.
  DimRanges dims;
  PipelineOptions pipeline;
  // In the place of pipeline.dump, if it is set; the first argument is the entry's name.
  std::function<void(absl::string_view, int, absl::string_view, const Graph&)> dump;
};

struct CompileResult {
  LoweredPlan lowered;
  Program legal;                           // the graphs as they were lowered
  std::vector<std::vector<PassRun>> runs;  // by entry
};

// InvalidArgument for a program that breaks its rules, an unknown dimension, or a free one without
// bounds; Unimplemented, listing all nodes at once, for what the backend cannot do.
absl::StatusOr<CompileResult> compile(const Program& program, const OpRegistry& registry,
                                      const Backend& backend, const CompileOptions& options = {});

}  // namespace modellib

#endif  // MODELLIB_PASSES_COMPILE_H_
