// One entry of a plan, in the form that sessions walk.
#ifndef MODELLIB_EXECUTORS_RUNTIME_ENTRY_LOADER_H_
#define MODELLIB_EXECUTORS_RUNTIME_ENTRY_LOADER_H_

#include "absl/status/status.h"
#include "modellib/executors/runtime/program_image.h"
#include "modellib/formats/plan_generated.h"

namespace modellib::runtime {

// Translates and checks. The variables of `program` are loaded already.
absl::Status load_entry(const fb::Plan& plan, const fb::Entry& source, const KernelTable& kernels,
                        ProgramImage& program, EntryImage& entry);

}  // namespace modellib::runtime

#endif  // MODELLIB_EXECUTORS_RUNTIME_ENTRY_LOADER_H_
