// What `inspect` tells, as JSON: one description, printed as it is or as text for people.
#ifndef MODELLIB_FRONTENDS_CLI_DESCRIBE_H_
#define MODELLIB_FRONTENDS_CLI_DESCRIBE_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "modellib/executors/runtime/kernel_table.h"
#include "modellib/formats/native_model.h"
#include "modellib/formats/plan_file.h"

namespace modellib::cli {

using Json = nlohmann::ordered_json;

// Passes, variables, constants, entries with their steps; which kernels `kernels` lacks, which are
// plain and which may allocate.
Json describe_plan(const PlanFile& plan, const runtime::KernelTable& kernels);
// Entries with inputs, outputs and counts of ops; variables; which ops the CPU can't run.
Json describe_model(const Model& model);

// The lines of a status's message, for "will_not_run".
Json lines_of(const absl::Status& status);

// Tables and lists instead of brackets.
std::string as_text(const Json& description);

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_DESCRIBE_H_
