// Models for which inputs are at hand: what they hold and how large they are decides what the
// model's file leaves open.
#ifndef MODELLIB_FRONTENDS_CLI_LOAD_WITH_INPUTS_H_
#define MODELLIB_FRONTENDS_CLI_LOAD_WITH_INPUTS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/frontends/cli/load_file.h"
#include "modellib/graph/dim.h"

namespace modellib::cli {

// load_file; but an ONNX model whose shapes depend on what small inputs hold is imported for what
// they hold now, one with sequences or without ranks for the tensors that are given, and defaults
// of its inputs that are given by name are inputs. `inputs` are arguments as read_inputs takes
// them.
absl::StatusOr<LoadedFile> load_with_inputs(const std::string& path,
                                            const std::vector<std::string>& inputs);

// The extents of these inputs for the free dimensions that have no maximum; nothing for a plan.
absl::StatusOr<DimRanges> dims_of_inputs(const LoadedFile& file, const std::string& entry,
                                         const std::vector<std::string>& inputs);

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_LOAD_WITH_INPUTS_H_
