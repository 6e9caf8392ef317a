// Inputs of a run from files, outputs to files.
#ifndef MODELLIB_FRONTENDS_CLI_TENSORS_IN_FILES_H_
#define MODELLIB_FRONTENDS_CLI_TENSORS_IN_FILES_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "modellib/frontends/onnx/importer.h"
#include "modellib/graph/dtype.h"
#include "modellib/graph/tensor.h"

namespace modellib::cli {

struct InputSlot {
  std::string name;
  DType dtype;
};

// `arguments` are FILE, for the next input that has none, or NAME=FILE. One tensor for each slot.
// A file is .npy, or .pb with a message of ONNX (tensor_proto.h). It holds one tensor, or all that
// follow each other in the slots as one input of the `signature`, which is empty where each slot is
// an input. An input of no tensors needs no file. InvalidArgument names the input that is missing,
// given twice, unknown, or of another type or number of tensors.
absl::StatusOr<std::vector<Tensor>> read_inputs(absl::Span<const std::string> arguments,
                                                absl::Span<const InputSlot> slots,
                                                const onnx::Signature& signature);

// The same for a model that is not imported yet: what is in the file of each input, however many
// tensors. Nothing for an empty optional, which needs no file.
absl::StatusOr<std::vector<std::optional<std::vector<Tensor>>>> read_declared_inputs(
    absl::Span<const std::string> arguments, absl::Span<const onnx::ModelInput> inputs);

enum class TensorFormat { kNpy, kOnnx };

// Writes output_0.npy (.pb), output_1.npy ... into the folder, which is made if it is not there. A
// sequence of the signature is one .pb, or output_0_0.npy, output_0_1.npy and so on; an empty
// optional is a .pb that says so, or no .npy.
absl::Status write_outputs(absl::Span<const Tensor> outputs, const onnx::Signature& signature,
                           const std::string& folder, TensorFormat format);

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_TENSORS_IN_FILES_H_
