#include "modellib/passes/compile.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/passes/bind_dims.h"
#include "modellib/passes/pointwise_count.h"

namespace modellib {
namespace {

bool mentions(const Graph& graph, const std::string& symbol) {
  for (ValueId id : graph.inputs()) {
    for (const Dim& d : graph.type(id).shape) {
      const std::vector<std::string> names = d.symbols();
      if (std::find(names.begin(), names.end(), symbol) != names.end()) return true;
    }
  }
  return false;
}

absl::Status dims_are_known(const Program& program, const DimRanges& dims) {
  for (const auto& [symbol, range] : dims) {
    const bool known = std::any_of(
        program.entries.begin(), program.entries.end(),
        [&, &symbol = symbol](const Program::Entry& e) { return mentions(*e.graph, symbol); });
    if (!known) {
      return absl::InvalidArgumentError(absl::StrCat("no input has a dimension '", symbol, "'"));
    }
  }
  return absl::OkStatus();
}

// The records of the plan: each pass with its work over all entries.
void record_passes(const std::vector<std::vector<PassRun>>& runs, fb::PlanT& plan) {
  for (const std::vector<PassRun>& entry : runs) {
    for (size_t i = 0; i < entry.size(); ++i) {
      if (i == plan.passes.size()) {
        plan.passes.push_back(std::make_unique<fb::PassRecordT>());
        plan.passes.back()->name = entry[i].name;
      }
      fb::PassRecordT& record = *plan.passes[i];
      record.nodes_before += static_cast<uint32_t>(entry[i].nodes_before);
      record.nodes_after += static_cast<uint32_t>(entry[i].nodes_after);
      record.rewrites += static_cast<uint32_t>(entry[i].rewrites);
    }
  }
}

}  // namespace

absl::StatusOr<CompileResult> compile(const Program& program, const OpRegistry& registry,
                                      const Backend& backend, const CompileOptions& options) {
  MODELLIB_RETURN_IF_ERROR(program.verify());
  MODELLIB_RETURN_IF_ERROR(dims_are_known(program, options.dims));
  CompileResult result;
  // One for all entries: a program may have many.
  const std::shared_ptr<ComputeBudget> compute = options.pipeline.compute != nullptr
                                                     ? options.pipeline.compute
                                                     : std::make_shared<ComputeBudget>();
  for (const Program::Entry& entry : program.entries) {
    const auto in_entry = [&](const absl::Status& s) {
      return absl::Status(s.code(), absl::StrCat("entry '", entry.name, "': ", s.message()));
    };
    DimRanges dims;
    for (const auto& [symbol, range] : options.dims) {
      if (mentions(*entry.graph, symbol)) dims.emplace(symbol, range);
    }
    absl::StatusOr<GraphRef> bound = bind_dims(entry.graph, registry, dims);
    if (!bound.ok()) return in_entry(bound.status());
    PipelineOptions pipeline = options.pipeline;
    pipeline.compute = compute;
    if (options.dump) {
      pipeline.dump = [&](int number, absl::string_view pass, const Graph& graph) {
        options.dump(entry.name, number, pass, graph);
      };
    }
    absl::StatusOr<PipelineResult> passed =
        run_pipeline(*std::move(bound), registry, &backend, pipeline);
    if (!passed.ok()) return in_entry(passed.status());
    result.legal.entries.push_back({entry.name, std::move(passed->graph)});
    result.runs.push_back(std::move(passed->runs));
  }
  MODELLIB_ASSIGN_OR_RETURN(result.lowered, lower(result.legal, backend));
  for (size_t i = 0; i < result.legal.entries.size(); ++i) {
    const PointwiseCount count = count_pointwise(*result.legal.entries[i].graph);
    result.lowered.plan.entries[i]->pointwise =
        std::make_unique<fb::PointwiseCount>(count.in_regions, count.in_epilogues, count.outside);
  }
  record_passes(result.runs, result.lowered.plan);
  return result;
}

}  // namespace modellib
