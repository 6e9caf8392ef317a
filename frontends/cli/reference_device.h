// The reference executor as the command line uses it.
#ifndef MODELLIB_FRONTENDS_CLI_REFERENCE_DEVICE_H_
#define MODELLIB_FRONTENDS_CLI_REFERENCE_DEVICE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/formats/native_model.h"
#include "modellib/frontends/cli/load_file.h"
#include "modellib/frontends/cli/tensors_in_files.h"
#include "modellib/graph/tensor.h"

namespace modellib::cli {

// The model in the file at `path`. Unimplemented for a plan: it runs on the device that it was
// compiled for.
absl::StatusOr<const Model*> model_for_reference(const LoadedFile& file, const std::string& path);

// The entry that is meant (see choose_entry).
absl::StatusOr<Program::Entry> entry_of(const Model& model, const std::string& wanted);
std::vector<InputSlot> input_slots(const Graph& graph);

// Runs the graph, an entry of the model. Variables hold what the model's file says, else what the
// entry "initialize" gives for the seed 0; those of a session begin as zeros.
absl::StatusOr<ReferenceResult> run_on_reference(const Model& model, GraphRef graph,
                                                 const std::vector<Tensor>& inputs,
                                                 ReferenceOptions options = {});

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_REFERENCE_DEVICE_H_
