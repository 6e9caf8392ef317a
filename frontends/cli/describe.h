// What `inspect` tells, as JSON: one description, printed as it is or as text for people.
#ifndef MODELLIB_FRONTENDS_CLI_DESCRIBE_H_
#define MODELLIB_FRONTENDS_CLI_DESCRIBE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "modellib/executors/runtime/kernel_table.h"
#include "modellib/formats/native_model.h"
#include "modellib/formats/plan_file.h"
#include "modellib/frontends/cli/output.h"
#include "modellib/graph/dim.h"

namespace modellib::cli {

// Passes, variables, constants, entries with their steps; which kernels `kernels` lacks, which are
// plain and which may allocate.
Json describe_plan(const PlanFile& plan, const runtime::KernelTable& kernels);
// Entries with inputs, outputs and counts of ops; variables; and all that describe_plan tells of
// its plan, or why there is none. `assumed`: see below.
Json describe_model(const Model& model, const absl::StatusOr<std::shared_ptr<const PlanFile>>& plan,
                    const DimRanges& assumed, const runtime::KernelTable& kernels);

// Bounds for the free dimensions that neither the model nor `dims` bound: from their minimum to 64.
// Where that is no plan, the largest of them.
DimRanges assumed_dims(const Model& model, const DimRanges& dims);

// The lines of a status's message, for "will_not_run".
Json lines_of(const absl::Status& status);

// Tables and lists instead of brackets.
std::string as_text(const Json& description);

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_DESCRIBE_H_
