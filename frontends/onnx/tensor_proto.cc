#include "modellib/frontends/onnx/tensor_proto.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/formats/file_bytes.h"
#include "modellib/frontends/onnx/element_types.h"
#include "modellib/frontends/onnx/external_data.h"
#include "modellib/frontends/onnx/wire_check.h"
#include "modellib/graph/status_macros.h"
#include "modellib/third_party/onnx/onnx_data_generated.h"

namespace modellib::onnx {
namespace {

using onnx_proto::OptionalProto;
using onnx_proto::SequenceProto;
using onnx_proto::TensorProto;

absl::Status wrong_count(int64_t have, int64_t want, absl::string_view unit) {
  return absl::InvalidArgumentError(
      absl::StrCat("it holds ", have, " ", unit, ", its shape says ", want));
}

absl::StatusOr<Tensor> from_bytes(DType dtype, absl::Span<const int64_t> shape, const void* bytes,
                                  size_t size) {
  MODELLIB_ASSIGN_OR_RETURN(Tensor t, Tensor::copy_of(dtype, shape, bytes, size));
  if (dtype == DType::kBool) {
    for (int64_t i = 0; i < t.elements(); ++i) {
      std::byte& b = t.mutable_data()[i];
      b = static_cast<std::byte>(b != std::byte{0});
    }
  }
  return t;
}

// Narrow types stand in int32_data, one element to a number.
absl::StatusOr<Tensor> from_int32(DType dtype, absl::Span<const int64_t> shape,
                                  const TensorProto& proto) {
  const auto& data = proto.int32_data();
  if (dtype == DType::kI32) {
    return from_bytes(dtype, shape, data.data(), static_cast<size_t>(data.size()) * 4);
  }
  std::vector<uint8_t> narrow;
  const auto size = static_cast<size_t>(std::max(1, bits_of(dtype) / 8));
  narrow.reserve(static_cast<size_t>(data.size()) * size);
  for (int32_t n : data) {
    for (size_t b = 0; b < size; ++b) narrow.push_back(static_cast<uint8_t>(n >> (8 * b)));
  }
  return from_bytes(dtype, shape, narrow.data(), narrow.size());
}

bool parse(google::protobuf::MessageLite& proto, const std::string& bytes) {
  return bytes.size() <= static_cast<size_t>(std::numeric_limits<int>::max()) &&
         proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

bool has_data(const TensorProto& proto) {
  return proto.has_raw_data() || proto.float_data_size() + proto.int32_data_size() +
                                         proto.string_data_size() + proto.int64_data_size() +
                                         proto.double_data_size() + proto.uint64_data_size() +
                                         proto.external_data_size() >
                                     0;
}

absl::Status check_size(const std::string& path, int64_t bytes) {
  if (bytes <= std::numeric_limits<int>::max() / 2) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat(path, ": ", bytes, " bytes are too many for one message"));
}

absl::StatusOr<SequenceProto> sequence_of(const std::string& path,
                                          absl::Span<const Tensor> tensors) {
  SequenceProto sequence;
  sequence.set_elem_type(SequenceProto::TENSOR);
  int64_t bytes = 0;
  for (const Tensor& tensor : tensors) {
    bytes += tensor.bytes();
    MODELLIB_RETURN_IF_ERROR(check_size(path, bytes));
    *sequence.add_tensor_values() = proto_of(tensor, "");
  }
  return sequence;
}

// What the message holds beside tensors, read as an optional or as a sequence: both have the same
// fields, and what elem_type says agrees with the field that is there. Empty: nothing of that.
absl::string_view other_content(const OptionalProto& held) {
  switch (held.elem_type()) {
    case OptionalProto::SPARSE_TENSOR:
      return held.has_sparse_tensor_value() ? "a sparse tensor" : "";
    case OptionalProto::SEQUENCE:
      return held.has_sequence_value() ? "a sequence" : "";
    case OptionalProto::MAP:
      return held.has_map_value() ? "a map" : "";
    case OptionalProto::OPTIONAL:
      return held.has_optional_value() ? "an optional" : "";
    default:
      return "";
  }
}

bool holds_tensors(const SequenceProto& sequence) {
  return sequence.sparse_tensor_values().empty() && sequence.sequence_values().empty() &&
         sequence.map_values().empty() && sequence.optional_values().empty();
}

absl::StatusOr<std::vector<Tensor>> tensors_of(const SequenceProto& sequence) {
  std::vector<Tensor> tensors;
  for (int i = 0; i < sequence.tensor_values_size(); ++i) {
    auto tensor = tensor_of(sequence.tensor_values(i), nullptr);
    if (!tensor.ok()) {
      return absl::Status(tensor.status().code(),
                          absl::StrCat("tensor ", i, ": ", tensor.status().message()));
    }
    tensors.push_back(*std::move(tensor));
  }
  return tensors;
}

// OptionalProto and SequenceProto have the same fields, and where they have tensors TensorProto has
// segments, which nobody writes.
absl::StatusOr<std::vector<Tensor>> read_as_tensors(const std::string& bytes) {
  TensorProto proto;
  if (!parse(proto, bytes)) {
    const absl::Status where = check_wire(bytes, WireMessage::kTensor);
    return where.ok() ? absl::InvalidArgumentError("no TensorProto") : where;
  }
  auto tensor = tensor_of(proto, nullptr);
  if (tensor.ok()) return std::vector<Tensor>{*std::move(tensor)};
  SequenceProto sequence;
  if (!parse(sequence, bytes)) return tensor.status();
  if (proto.has_segment()) return tensors_of(sequence);
  // An empty sequence or optional has no more than a name, which stands where a tensor has extents.
  const bool without_shape = proto.dims().empty() || sequence.has_name();
  if (without_shape && !has_data(proto)) return std::vector<Tensor>();
  return tensor.status();
}

// What is no tensor for having other content is told so, and not how it fails to be one.
absl::StatusOr<std::vector<Tensor>> read_as_any(const std::string& bytes) {
  auto tensors = read_as_tensors(bytes);
  OptionalProto held;
  if (tensors.ok() || !parse(held, bytes)) return tensors;
  const absl::string_view other = other_content(held);
  if (other.empty()) return tensors;
  SequenceProto outer;
  if (parse(outer, bytes) && outer.sequence_values_size() == 1 &&
      holds_tensors(outer.sequence_values(0))) {
    return tensors_of(outer.sequence_values(0));
  }
  return absl::UnimplementedError(
      absl::StrCat("it holds ", other, " in an optional or a sequence; inputs hold tensors"));
}

}  // namespace

absl::StatusOr<Tensor> tensor_of(const TensorProto& proto, ExternalData* external) {
  MODELLIB_ASSIGN_OR_RETURN(const DType dtype, dtype_of_onnx(proto.data_type()));
  const std::vector<int64_t> shape(proto.dims().begin(), proto.dims().end());
  constexpr size_t kMaxRank = 64;
  if (shape.size() > kMaxRank) {
    return absl::InvalidArgumentError(absl::StrCat("a tensor of rank ", shape.size()));
  }
  const auto counted = checked_elements(dtype, shape);
  if (!counted.ok()) return absl::InvalidArgumentError(counted.status().message());
  const int64_t elements = *counted, bytes = bytes_of(dtype, elements);
  if (proto.has_segment()) return absl::UnimplementedError("tensors in segments are not supported");

  if (proto.data_location() == TensorProto::EXTERNAL) {
    MODELLIB_ASSIGN_OR_RETURN(const ExternalLocation location, external_location(proto));
    if (external == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          "external data '", location.location, "' cannot be found: the tensor is in no model"));
    }
    return external->read(location, dtype, shape);
  }
  if (proto.has_raw_data()) {
    const std::string& raw = proto.raw_data();
    if (static_cast<int64_t>(raw.size()) != bytes) {
      return wrong_count(static_cast<int64_t>(raw.size()), bytes, "bytes");
    }
    return from_bytes(dtype, shape, raw.data(), raw.size());
  }
  const auto typed = [&](const auto& data, int64_t wanted) -> absl::StatusOr<Tensor> {
    if (data.size() != wanted) return wrong_count(data.size(), wanted, "elements");
    return from_bytes(dtype, shape, data.data(), static_cast<size_t>(bytes));
  };
  switch (dtype) {
    case DType::kF32:
      return typed(proto.float_data(), elements);
    case DType::kF64:
      return typed(proto.double_data(), elements);
    case DType::kI64:
      return typed(proto.int64_data(), elements);
    case DType::kU64:
      return typed(proto.uint64_data(), elements);
    case DType::kU32: {
      const auto& data = proto.uint64_data();
      if (data.size() != elements) return wrong_count(data.size(), elements, "elements");
      const std::vector<uint32_t> narrow(data.begin(), data.end());
      return from_bytes(dtype, shape, narrow.data(), static_cast<size_t>(bytes));
    }
    default: {
      // Two elements of four bits share a number.
      const int64_t numbers = bits_of(dtype) == 4 ? bytes : elements;
      if (proto.int32_data_size() != numbers) {
        return wrong_count(proto.int32_data_size(), numbers, "numbers");
      }
      return from_int32(dtype, shape, proto);
    }
  }
}

TensorProto proto_of(const Tensor& tensor, absl::string_view name) {
  TensorProto proto;
  for (int64_t extent : tensor.shape()) proto.add_dims(extent);
  proto.set_data_type(onnx_of_dtype(tensor.dtype()));
  proto.set_name(std::string(name));
  proto.set_raw_data(tensor.data(), static_cast<size_t>(tensor.bytes()));
  return proto;
}

absl::StatusOr<std::optional<std::vector<Tensor>>> parse_tensor_protos(const std::string& bytes,
                                                                       Declaration declared) {
  OptionalProto optional;
  SequenceProto sequence;
  const bool as_declared = (declared.optional || declared.sequence) && parse(optional, bytes) &&
                           parse(sequence, bytes) && sequence.unknown_fields().empty();
  if (as_declared && declared.optional && sequence.sequence_values_size() == 1 &&
      holds_tensors(sequence.sequence_values(0))) {
    return tensors_of(sequence.sequence_values(0));
  }
  if (as_declared && holds_tensors(sequence)) {
    // A sequence says that it is of tensors, an empty optional that it is of nothing.
    const bool is_list = declared.sequence && optional.elem_type() == OptionalProto::TENSOR;
    if (declared.optional && sequence.tensor_values().empty() && !is_list) return std::nullopt;
    return tensors_of(sequence);
  }
  auto tensors = read_as_any(bytes);
  if (tensors.ok() && tensors->empty() && declared.optional) return std::nullopt;
  return tensors;
}

absl::StatusOr<std::optional<std::vector<Tensor>>> read_tensor_protos(const std::string& path,
                                                                      Declaration declared) {
  MODELLIB_ASSIGN_OR_RETURN(const std::string bytes, read_file(path));
  auto tensors = parse_tensor_protos(bytes, declared);
  if (tensors.ok()) return tensors;
  return absl::Status(tensors.status().code(),
                      absl::StrCat(path, ": ", tensors.status().message()));
}

absl::Status write_tensor_proto(const std::string& path, const Tensor& tensor) {
  MODELLIB_RETURN_IF_ERROR(check_size(path, tensor.bytes()));
  return write_file(path, proto_of(tensor, "").SerializeAsString());
}

absl::Status write_sequence_proto(const std::string& path, absl::Span<const Tensor> tensors) {
  MODELLIB_ASSIGN_OR_RETURN(const SequenceProto sequence, sequence_of(path, tensors));
  return write_file(path, sequence.SerializeAsString());
}

absl::Status write_optional_proto(const std::string& path, absl::Span<const Tensor> tensors,
                                  bool sequence) {
  OptionalProto optional;
  optional.set_elem_type(sequence          ? OptionalProto::SEQUENCE
                         : tensors.empty() ? OptionalProto::UNDEFINED
                                           : OptionalProto::TENSOR);
  MODELLIB_ASSIGN_OR_RETURN(SequenceProto held, sequence_of(path, tensors));
  if (sequence) {
    *optional.mutable_sequence_value() = std::move(held);
  } else if (!tensors.empty()) {
    *optional.mutable_tensor_value() = std::move(*held.mutable_tensor_values(0));
  }
  return write_file(path, optional.SerializeAsString());
}

}  // namespace modellib::onnx
