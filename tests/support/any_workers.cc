#include "modellib/tests/support/any_workers.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/graph/status_macros.h"
#include "modellib/tests/support/fine_chunks.h"
#include "modellib/tests/support/std_workers.h"
#include "modellib/tests/support/watched_kernels.h"

namespace modellib {
namespace {

// Which result differs; nothing if none does.
std::string other_bits(const CpuResult& one, const CpuResult& another) {
  for (size_t i = 0; i < one.outputs.size(); ++i) {
    if (!one.outputs[i].identical(another.outputs[i])) return absl::StrCat("output ", i);
  }
  for (const auto& [name, value] : one.assigned) {
    if (!value.identical(another.assigned.at(name))) return absl::StrCat("variable ", name);
  }
  return "";
}

bool main_has_work_for_helpers(const fb::PlanT& plan) {
  return std::any_of(plan.entries.begin(), plan.entries.end(), [](const auto& entry) {
    return entry->name == "main" && has_work_for_helpers(*entry);
  });
}

}  // namespace

absl::StatusOr<CpuResult> run_with_any_workers(CpuProgram& program,
                                               absl::Span<const Tensor> inputs) {
  const auto run = [&](runtime::SessionOptions options) {
    return run_once(program.executable, inputs, {}, std::move(options));
  };
  MODELLIB_ASSIGN_OR_RETURN(CpuResult as_compiled, run({.threads = 1}));
  cpu::cut_finely(program.compiled.lowered.plan);
  MODELLIB_ASSIGN_OR_RETURN(program.executable, load_watched(program.compiled.lowered));
  const bool shares = main_has_work_for_helpers(program.compiled.lowered.plan);
  for (const int threads : {1, 2, 4}) {
    take_chunks_of_helpers(/*linger=*/shares && threads > 1);
    MODELLIB_ASSIGN_OR_RETURN(
        const CpuResult cut,
        run({.threads = threads, .workers = std::make_shared<StdWorkers>(threads)}));
    if (const std::string other = other_bits(as_compiled, cut); !other.empty()) {
      return absl::InternalError(
          absl::StrCat(other, " has other bits with fine chunks and ", threads, " workers"));
    }
  }
  return as_compiled;
}

}  // namespace modellib
