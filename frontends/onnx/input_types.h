// Types of a model's inputs and outputs.
#ifndef MODELLIB_FRONTENDS_ONNX_INPUT_TYPES_H_
#define MODELLIB_FRONTENDS_ONNX_INPUT_TYPES_H_

#include <set>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "modellib/frontends/onnx/importer.h"
#include "modellib/frontends/onnx/item.h"
#include "modellib/graph/dim.h"
#include "modellib/graph/op_def.h"
#include "modellib/third_party/onnx/onnx_generated.h"

namespace modellib::onnx {

// Names of the initializers, but for defaults of inputs that are overridden (importer.h).
absl::flat_hash_set<std::string> constants_of(const onnx_proto::GraphProto& graph,
                                              const std::set<std::string>& overridden);

// Gives free dimensions names that the graph can print: one symbol for each dim_param, whatever its
// letters.
class SymbolNames {
 public:
  Dim of_param(const std::string& param);
  Dim anonymous(const std::string& input, int axis);

 private:
  std::string unique(std::string wanted);
  absl::flat_hash_map<std::string, std::string> by_param_;
  absl::flat_hash_set<std::string> taken_;
};

// Unimplemented for what holds no tensors (maps, strings); InvalidArgument for what makes no sense.
absl::StatusOr<ModelInput> declared_input(const onnx_proto::ValueInfoProto& info,
                                          SymbolNames& symbols);

// The type of a tensor of the input: `given`, which may be null, or what the model declares.
// InvalidArgument if one is not the other; Unimplemented where the rank is not known.
absl::StatusOr<TensorType> tensor_type(const ModelInput& declared, const TensorType* given);

// InvalidArgument if the model declares another kind or another element type than the item has.
absl::Status check_output_type(const onnx_proto::ValueInfoProto& info, const Item& item);

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_INPUT_TYPES_H_
