// Inputs of a run from files, outputs to files.
#ifndef MODELLIB_FRONTENDS_CLI_TENSORS_IN_FILES_H_
#define MODELLIB_FRONTENDS_CLI_TENSORS_IN_FILES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "modellib/graph/dtype.h"
#include "modellib/graph/tensor.h"

namespace modellib::cli {

struct InputSlot {
  std::string name;
  DType dtype;
};

// `arguments` are FILE, for the next input that has none, or NAME=FILE. One tensor for each slot.
// A file is .npy, or .pb with a message of ONNX that holds one tensor (tensor_proto.h).
// InvalidArgument names the input that is missing, given twice, unknown or of another type.
absl::StatusOr<std::vector<Tensor>> read_inputs(absl::Span<const std::string> arguments,
                                                absl::Span<const InputSlot> slots);

enum class TensorFormat { kNpy, kOnnx };

// Writes output_0.npy (.pb), output_1.npy ... into the folder, which is made if it is not there.
absl::Status write_outputs(absl::Span<const Tensor> outputs, const std::string& folder,
                           TensorFormat format);

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_TENSORS_IN_FILES_H_
