#include "modellib/passes/pipeline.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/graph/text.h"
#include "modellib/graph/verifier.h"
#include "modellib/passes/attention_layout.h"
#include "modellib/passes/autocast.h"
#include "modellib/passes/canonical_order.h"
#include "modellib/passes/canonicalize.h"
#include "modellib/passes/control_flow.h"
#include "modellib/passes/epilogue.h"
#include "modellib/passes/fold_batch_norm.h"
#include "modellib/passes/fold_constants.h"
#include "modellib/passes/fusion.h"
#include "modellib/passes/layout.h"
#include "modellib/passes/legalize.h"
#include "modellib/passes/recognise.h"
#include "modellib/passes/regions.h"
#include "modellib/passes/widen.h"

namespace modellib {
namespace {

constexpr Pass kPasses[] = {
    {"order", "Numbers nodes canonically, so that plans do not depend on how they were written.",
     canonical_order},
    {"canonicalize", "Rewrites nodes to one simplest form and drops what does nothing.",
     canonicalize},
    {"fold-batch-norm", "Folds constant batch norms into the convolutions before them.",
     fold_batch_norm},
    {"fold-constants", "Computes what depends on constants alone.", fold_constants},
    {"recognise", "Puts composites in the place of the primitives that spell them out.", recognise},
    {"autocast-f16", "Carries out products in f16, with f32 for all else.", autocast_f16, true},
    {"autocast-bf16", "Carries out products in bf16, with f32 for all else.", autocast_bf16, true},
    {"sink-constants", "Moves constants into the regions of control flow that use them.",
     sink_constants},
    {"stride-scans", "Gives scans a form in which fixed strides lead from slice to slice.",
     stride_scans},
    {"epilogue", "Takes bias, residual and activation into the product they follow.",
     fuse_epilogues},
    {"attention-layout", "Lets attention read and write what is transposed around it.",
     choose_attention_layout},
    {"legalize", "Decomposes composites that the backend has no kernel for.", legalize},
    {"widen", "Computes in a wider type what the backend has no kernel for.", widen},
    {"fold-casts", "Computes what other precisions have made of constants.", fold_constants},
    {"simplify", "Canonicalises again what decomposition brought.", canonicalize},
    {"layout", "Chooses channels-first or channels-last for all images at once.", choose_layout},
    {"simplify-layout", "Canonicalises what copies between layouts have met.", canonicalize},
    {"fusion", "Groups pointwise ops and row reductions into regions.", fuse_regions},
};

const Pass* find_pass(absl::string_view name, absl::Span<const Pass> custom) {
  for (const Pass& pass : custom) {
    if (name == pass.name) return &pass;
  }
  return modellib::find_pass(name);
}

// A failure of a pass on `graph`, for people.
absl::Status failure(absl::StatusCode code, absl::string_view what, const Graph& graph) {
  constexpr size_t kLargest = 200;
  if (graph.nodes().size() > kLargest) return absl::Status(code, what);
  return absl::Status(code, absl::StrCat(what, "\nin\n", print(graph)));
}

}  // namespace

absl::Span<const Pass> all_passes() { return kPasses; }

const Pass* find_pass(absl::string_view name) {
  for (const Pass& pass : kPasses) {
    if (name == pass.name) return &pass;
  }
  return nullptr;
}

// A budget of rewrites does not hold them back.
bool is_mandatory_pass(absl::string_view name) {
  return name == "legalize" || name == "widen" || name == "stride-scans";
}

std::vector<std::string> default_pipeline() { return default_pipeline({}); }

std::vector<std::string> default_pipeline(absl::Span<const std::string> optional) {
  std::vector<std::string> names;
  for (const Pass& pass : kPasses) {
    const bool wanted = std::find(optional.begin(), optional.end(), pass.name) != optional.end();
    if (!pass.optional || wanted) names.emplace_back(pass.name);
  }
  return names;
}

absl::StatusOr<PipelineResult> run_pipeline(GraphRef graph, const OpRegistry& registry,
                                            const Backend* backend,
                                            const PipelineOptions& options) {
  for (const auto* names : {&options.passes, &options.disabled}) {
    for (const std::string& name : *names) {
      if (find_pass(name, options.custom) == nullptr) {
        return absl::InvalidArgumentError(absl::StrCat("there is no pass '", name, "'"));
      }
    }
  }
  PipelineResult result;
  int64_t budget = options.max_rewrites;
  ComputeBudget own_compute;
  int number = 0;
  for (const std::string& name : options.passes) {
    ++number;
    if (std::find(options.disabled.begin(), options.disabled.end(), name) !=
        options.disabled.end()) {
      continue;
    }
    const Pass& pass = *find_pass(name, options.custom);
    PassContext context(registry, backend);
    context.set_explaining(options.explain);
    context.share_compute(options.compute == nullptr ? &own_compute : options.compute.get());
    if (!is_mandatory_pass(name)) context.set_max_rewrites(budget);
    PassRun run{.name = name, .nodes_before = static_cast<int64_t>(graph->nodes().size())};
    const auto start = std::chrono::steady_clock::now();
    absl::StatusOr<GraphRef> next = run_with_regions(pass, graph, context);
    run.milliseconds =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    if (!next.ok()) {
      return failure(next.status().code(),
                     absl::StrCat("pass ", name, ": ", next.status().message()), *graph);
    }
    if (absl::Status s = verify(**next); !s.ok()) {
      return failure(absl::StatusCode::kInternal,
                     absl::StrCat("after pass ", name, ": ", s.message()), *graph);
    }
    run.rewrites = context.rewrites();
    if (run.rewrites == 0 && structural_hash(**next) != structural_hash(*graph)) {
      return failure(absl::StatusCode::kInternal,
                     absl::StrCat("pass ", name, " changed the graph and reported no rewrite"),
                     *graph);
    }
    if (!is_mandatory_pass(name)) budget -= run.rewrites;
    run.nodes_after = static_cast<int64_t>((*next)->nodes().size());
    run.remarks = context.remarks();
    graph = *std::move(next);
    if (options.dump) options.dump(number, name, *graph);
    result.runs.push_back(std::move(run));
  }
  result.graph = std::move(graph);
  return result;
}

}  // namespace modellib
