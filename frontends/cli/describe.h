// What `inspect` tells, as JSON: one description, printed as it is or as text for people.
#ifndef MODELLIB_FRONTENDS_CLI_DESCRIBE_H_
#define MODELLIB_FRONTENDS_CLI_DESCRIBE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "modellib/executors/runtime/kernel_table.h"
#include "modellib/formats/native_model.h"
#include "modellib/formats/plan_file.h"
#include "modellib/frontends/cli/output.h"
#include "modellib/graph/dim.h"

namespace modellib::cli {

struct PlanToDescribe {
  std::shared_ptr<const PlanFile> plan;  // null: there is none
  // Why there is no plan, or why it will not run here; its lines are "will_not_run".
  absl::Status runs;
  // For a model: sizes that nobody asked for, of dimensions that have no maximum.
  DimRanges assumed;
};

// Passes, variables, constants, entries with their steps; which kernels `kernels` lacks, which are
// plain and which may allocate. There is a plan.
Json describe_plan(const PlanToDescribe& plan, const runtime::KernelTable& kernels);
// Entries with inputs, outputs and counts of ops; variables; and all that describe_plan tells of
// its plan, or why there is none.
Json describe_model(const Model& model, const PlanToDescribe& plan,
                    const runtime::KernelTable& kernels);

// The error of a command on what will not run; OK if it will. Its code is that of the failure, as
// when it is compiled, but Unimplemented where the model refuses sizes that we assumed: nobody
// `gave_sizes`, and there was none to find.
absl::Status will_not_run(const PlanToDescribe& plan, bool gave_sizes);

// Where a variable's first value comes from: what is in the file goes before all else, and
// "initialize" gives session variables none.
std::string origin_of_content(bool in_file, bool of_session, bool initialized);

// The lines of an error's message, none of OK.
Json lines_of(const absl::Status& status);

// Tables and lists instead of brackets.
std::string as_text(const Json& description);

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_DESCRIBE_H_
