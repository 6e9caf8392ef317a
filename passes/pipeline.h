// The pass pipeline: a list of names that a user can read, print, cut and extend.
//
// The runner is strict: it verifies the graph after each pass that changed it, and compares hashes
// to catch a pass that changed it and says that it did not. It times each pass, can write the text
// of the graph after each, leave passes out by name, and stop after a number of rewrites, so that a
// wrong result can be traced to one rewrite by bisection.
#ifndef MODELLIB_PASSES_PIPELINE_H_
#define MODELLIB_PASSES_PIPELINE_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "modellib/passes/pass.h"

namespace modellib {

// Every pass that can be named in a pipeline, in the order in which they belong.
absl::Span<const Pass> all_passes();
// Null if there is none of this name.
const Pass* find_pass(absl::string_view name);
// Whether no plan can be made without it.
bool is_mandatory_pass(absl::string_view name);

// The default: names in order.
std::vector<std::string> default_pipeline();
// The default with optional passes, each in its place: {"autocast-f16"}.
std::vector<std::string> default_pipeline(absl::Span<const std::string> optional);

struct PipelineOptions {
  std::vector<std::string> passes = default_pipeline();
  std::vector<std::string> disabled;  // names left out
  std::vector<Pass> custom;           // the caller's own, found by name before the built-in ones
  // Rewrites in all, over the passes in order; the rest of the graph stays as it is. Passes without
  // which no plan can be made ("legalize", "widen", "stride-scans") are not counted.
  int64_t max_rewrites = std::numeric_limits<int64_t>::max();
  // Called after each pass with its number (from 1), name and result.
  std::function<void(int, absl::string_view, const Graph&)> dump;
  bool explain = false;
  // What the passes take of when they compute constants; null: a new one. Those who run pipelines
  // for several graphs of one program share it.
  std::shared_ptr<ComputeBudget> compute = nullptr;
};

struct PassRun {
  std::string name;
  double milliseconds = 0;
  int64_t nodes_before = 0, nodes_after = 0;
  int64_t rewrites = 0;
  std::vector<std::string> remarks;  // when explanations are asked for
};

struct PipelineResult {
  GraphRef graph;
  std::vector<PassRun> runs;
};

// InvalidArgument for an unknown name; a pass's own failure names the pass; Internal if a pass
// breaks the IR's rules or changes the graph and reports no rewrite. The message ends with the text
// of the graph that the pass was given, if it is not large.
absl::StatusOr<PipelineResult> run_pipeline(GraphRef graph, const OpRegistry& registry,
                                            const Backend* backend,
                                            const PipelineOptions& options = {});

}  // namespace modellib

#endif  // MODELLIB_PASSES_PIPELINE_H_
