// What the C API's pointers point to.
#ifndef MODELLIB_FRONTENDS_CAPI_HANDLES_H_
#define MODELLIB_FRONTENDS_CAPI_HANDLES_H_

#include <memory>

#include "absl/status/statusor.h"
#include "modellib/executors/runtime/executable.h"
#include "modellib/executors/runtime/run_options.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/executors/runtime/variable_store.h"
#include "modellib/formats/plan_file.h"
#include "modellib/frontends/capi/host.h"
#include "modellib/modellib.h"

// NOLINTBEGIN(readability-identifier-naming): the names of a C library
struct modellib_plan {
  std::shared_ptr<const modellib::PlanFile> file;
  std::shared_ptr<const modellib::runtime::Executable> executable;
};

struct modellib_variables {
  std::shared_ptr<modellib::runtime::VariableStore> store;
};

struct modellib_session {
  std::unique_ptr<modellib::runtime::Session> session;
};

struct modellib_cancel {
  modellib::runtime::CancelToken token;
};
// NOLINTEND(readability-identifier-naming)

namespace modellib::capi {

// Loads the plan on this library's kernels.
absl::StatusOr<std::unique_ptr<modellib_plan>> load_plan(std::shared_ptr<const PlanFile> file,
                                                         const Log& log);

}  // namespace modellib::capi

#endif  // MODELLIB_FRONTENDS_CAPI_HANDLES_H_
