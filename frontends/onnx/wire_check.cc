#include "modellib/frontends/onnx/wire_check.h"

#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"

namespace modellib::onnx {
namespace {

enum Message : uint8_t {
  kNone,  // a number or a string
  kModelProto,
  kGraphProto,
  kNodeProto,
  kAttributeProto,
  kTensorProto,
  kFunctionProto,
  kSparseTensorProto,
  kSegment,
  kAnnotation,
  kTrainingInfo,
  kEntryProto,
  kOpsetProto,
  kValueInfoProto,
  kTypeProto,
  kTensorType,
  kSparseType,
  kSequenceType,
  kMapType,
  kOptionalType,
  kOpaqueType,
  kShapeProto,
  kDimension,
  kConfiguration,
  kNodeConfiguration,
  kSharding,
  kGroupEntry,
  kShardedDim,
  kSimpleSharding,
  // Lists of numbers without tags between them ("packed").
  kVarints,
  kNumbers4,  // of 4 bytes each
  kNumbers8,
};
constexpr const char* kNames[] = {"",
                                  "ModelProto",
                                  "GraphProto",
                                  "NodeProto",
                                  "AttributeProto",
                                  "TensorProto",
                                  "FunctionProto",
                                  "SparseTensorProto",
                                  "TensorProto.Segment",
                                  "TensorAnnotation",
                                  "TrainingInfoProto",
                                  "StringStringEntryProto",
                                  "OperatorSetIdProto",
                                  "ValueInfoProto",
                                  "TypeProto",
                                  "TypeProto.Tensor",
                                  "TypeProto.SparseTensor",
                                  "TypeProto.Sequence",
                                  "TypeProto.Map",
                                  "TypeProto.Optional",
                                  "TypeProto.Opaque",
                                  "TensorShapeProto",
                                  "TensorShapeProto.Dimension",
                                  "DeviceConfigurationProto",
                                  "NodeDeviceConfigurationProto",
                                  "ShardingSpecProto",
                                  "IntIntListEntryProto",
                                  "ShardedDimProto",
                                  "SimpleShardedDimProto",
                                  "list of numbers",
                                  "list of numbers",
                                  "list of numbers"};

// The fields that hold messages, and lists of numbers, of every message of onnx-ml.proto.
struct Field {
  Message message;
  uint64_t number;
  Message holds;
};
constexpr Field kFields[] = {
    {kModelProto, 7, kGraphProto},
    {kModelProto, 8, kOpsetProto},
    {kModelProto, 14, kEntryProto},
    {kModelProto, 20, kTrainingInfo},
    {kModelProto, 25, kFunctionProto},
    {kModelProto, 26, kConfiguration},
    {kTrainingInfo, 1, kGraphProto},
    {kTrainingInfo, 2, kGraphProto},
    {kTrainingInfo, 3, kEntryProto},
    {kTrainingInfo, 4, kEntryProto},
    {kGraphProto, 1, kNodeProto},
    {kGraphProto, 5, kTensorProto},
    {kGraphProto, 11, kValueInfoProto},
    {kGraphProto, 12, kValueInfoProto},
    {kGraphProto, 13, kValueInfoProto},
    {kGraphProto, 14, kAnnotation},
    {kGraphProto, 15, kSparseTensorProto},
    {kGraphProto, 16, kEntryProto},
    {kFunctionProto, 7, kNodeProto},
    {kFunctionProto, 9, kOpsetProto},
    {kFunctionProto, 11, kAttributeProto},
    {kFunctionProto, 12, kValueInfoProto},
    {kFunctionProto, 14, kEntryProto},
    {kNodeProto, 5, kAttributeProto},
    {kNodeProto, 9, kEntryProto},
    {kNodeProto, 10, kNodeConfiguration},
    {kAttributeProto, 5, kTensorProto},
    {kAttributeProto, 6, kGraphProto},
    {kAttributeProto, 7, kNumbers4},
    {kAttributeProto, 8, kVarints},
    {kAttributeProto, 10, kTensorProto},
    {kAttributeProto, 11, kGraphProto},
    {kAttributeProto, 14, kTypeProto},
    {kAttributeProto, 15, kTypeProto},
    {kAttributeProto, 22, kSparseTensorProto},
    {kAttributeProto, 23, kSparseTensorProto},
    {kTensorProto, 1, kVarints},
    {kTensorProto, 3, kSegment},
    {kTensorProto, 4, kNumbers4},
    {kTensorProto, 5, kVarints},
    {kTensorProto, 7, kVarints},
    {kTensorProto, 10, kNumbers8},
    {kTensorProto, 11, kVarints},
    {kTensorProto, 13, kEntryProto},
    {kTensorProto, 16, kEntryProto},
    {kSparseTensorProto, 1, kTensorProto},
    {kSparseTensorProto, 2, kTensorProto},
    {kSparseTensorProto, 3, kVarints},
    {kAnnotation, 2, kEntryProto},
    {kValueInfoProto, 2, kTypeProto},
    {kValueInfoProto, 4, kEntryProto},
    {kTypeProto, 1, kTensorType},
    {kTypeProto, 4, kSequenceType},
    {kTypeProto, 5, kMapType},
    {kTypeProto, 7, kOpaqueType},
    {kTypeProto, 8, kSparseType},
    {kTypeProto, 9, kOptionalType},
    {kTensorType, 2, kShapeProto},
    {kSparseType, 2, kShapeProto},
    {kSequenceType, 1, kTypeProto},
    {kMapType, 2, kTypeProto},
    {kOptionalType, 1, kTypeProto},
    {kShapeProto, 1, kDimension},
    {kNodeConfiguration, 2, kSharding},
    {kSharding, 2, kVarints},
    {kSharding, 3, kGroupEntry},
    {kSharding, 4, kShardedDim},
    {kGroupEntry, 2, kVarints},
    {kShardedDim, 2, kSimpleSharding},
};

Message held_by(Message message, uint64_t number) {
  for (const Field& f : kFields) {
    if (f.message == message && f.number == number) return f.holds;
  }
  return kNone;
}

struct Frame {
  Message message;
  size_t end;
};

}  // namespace

absl::Status check_wire(absl::string_view bytes, WireMessage message) {
  constexpr size_t kDeepest = 100;  // as protobuf
  size_t at = 0;
  const auto varint = [&](size_t end, uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 70 && at < end; shift += 7) {
      const auto byte = static_cast<uint8_t>(bytes[at++]);
      if (shift < 64) value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  };
  const auto fail = [](size_t offset, absl::string_view in, absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("byte ", offset, " (in a ", in, "): ", what));
  };

  std::vector<Frame> stack = {
      {message == WireMessage::kModel ? kModelProto : kTensorProto, bytes.size()}};
  while (!stack.empty()) {
    const Frame frame = stack.back();
    if (at == frame.end) {
      stack.pop_back();
      continue;
    }
    const char* name = kNames[frame.message];
    const size_t start = at;
    uint64_t tag, length;
    if (frame.message == kVarints) {
      if (!varint(frame.end, length)) return fail(start, name, "a number is cut short");
      continue;
    }
    if (frame.message == kNumbers4 || frame.message == kNumbers8) {
      const size_t size = frame.message == kNumbers4 ? 4 : 8;
      if ((frame.end - at) % size != 0) {
        return fail(start, name,
                    absl::StrCat(frame.end - at, " bytes are no numbers of ", size, " bytes each"));
      }
      at = frame.end;
      continue;
    }
    if (!varint(frame.end, tag)) return fail(start, name, "the tag of a field is cut short");
    constexpr size_t kLongestTag = 5;
    if (at - start > kLongestTag) return fail(start, name, "the tag of a field is too long");
    const uint64_t number = tag >> 3;
    const auto left = [&] { return frame.end - at; };
    if (number == 0) return fail(start, name, "field 0 does not exist");
    switch (tag & 7) {
      case 0:
        if (!varint(frame.end, length)) return fail(start, name, "a number is cut short");
        break;
      case 1:
      case 5: {
        const size_t size = (tag & 7) == 1 ? 8 : 4;
        if (left() < size) return fail(start, name, "a number is cut short");
        at += size;
        break;
      }
      case 2: {
        if (!varint(frame.end, length)) return fail(start, name, "a length is cut short");
        if (length > left()) {
          return fail(start, name,
                      absl::StrCat("field ", number, " claims ", length, " bytes where ", left(),
                                   " are left"));
        }
        const Message inner = held_by(frame.message, number);
        if (inner == kNone) {
          at += length;
        } else if (stack.size() == kDeepest) {
          return fail(start, name, "messages are nested too deeply");
        } else {
          stack.push_back({inner, at + length});
        }
        break;
      }
      default:
        return fail(start, name,
                    absl::StrCat("wire type ", tag & 7, " of field ", number, " does not exist"));
    }
  }
  return absl::OkStatus();
}

}  // namespace modellib::onnx
