#include "modellib/frontends/onnx/element_types.h"

#include "absl/strings/str_cat.h"
#include "modellib/third_party/onnx/onnx_generated.h"

namespace modellib::onnx {
namespace {

using onnx_proto::TensorProto;

struct Row {
  TensorProto::DataType onnx;
  DType ours;
};
constexpr Row kRows[] = {
    {TensorProto::FLOAT, DType::kF32},         {TensorProto::DOUBLE, DType::kF64},
    {TensorProto::FLOAT16, DType::kF16},       {TensorProto::BFLOAT16, DType::kBF16},
    {TensorProto::INT4, DType::kI4},           {TensorProto::INT8, DType::kI8},
    {TensorProto::INT16, DType::kI16},         {TensorProto::INT32, DType::kI32},
    {TensorProto::INT64, DType::kI64},         {TensorProto::UINT4, DType::kU4},
    {TensorProto::UINT8, DType::kU8},          {TensorProto::UINT16, DType::kU16},
    {TensorProto::UINT32, DType::kU32},        {TensorProto::UINT64, DType::kU64},
    {TensorProto::BOOL, DType::kBool},         {TensorProto::FLOAT8E4M3FN, DType::kF8E4M3},
    {TensorProto::FLOAT8E5M2, DType::kF8E5M2},
};

}  // namespace

std::string onnx_type_name(int64_t data_type) {
  const auto n = static_cast<int>(data_type);
  if (n != data_type || !TensorProto::DataType_IsValid(n)) return absl::StrCat(data_type);
  return TensorProto::DataType_Name(static_cast<TensorProto::DataType>(n));
}

absl::StatusOr<DType> dtype_of_onnx(int64_t data_type) {
  for (const Row& row : kRows) {
    if (row.onnx == data_type) return row.ours;
  }
  const auto n = static_cast<int>(data_type);
  if (n != data_type || !TensorProto::DataType_IsValid(n) || n == TensorProto::UNDEFINED) {
    return absl::InvalidArgumentError(absl::StrCat(data_type, " is no element type of ONNX"));
  }
  return absl::UnimplementedError(
      absl::StrCat("element type ", onnx_type_name(data_type), " is not supported"));
}

int32_t onnx_of_dtype(DType dtype) {
  for (const Row& row : kRows) {
    if (row.ours == dtype) return row.onnx;
  }
  return TensorProto::UNDEFINED;
}

}  // namespace modellib::onnx
