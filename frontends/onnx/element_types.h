// ONNX's numbers of element types and ours.
#ifndef MODELLIB_FRONTENDS_ONNX_ELEMENT_TYPES_H_
#define MODELLIB_FRONTENDS_ONNX_ELEMENT_TYPES_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "modellib/graph/dtype.h"

namespace modellib::onnx {

// Unimplemented for a type of the standard that we do not have (complex, 4-bit floats, strings),
// InvalidArgument for a number that is none of the standard's.
absl::StatusOr<DType> dtype_of_onnx(int64_t data_type);
// TensorProto::UNDEFINED (0) for kInvalid.
int32_t onnx_of_dtype(DType dtype);
// "FLOAT", "complex64"...: for messages.
std::string onnx_type_name(int64_t data_type);

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_ELEMENT_TYPES_H_
