#include "modellib/frontends/onnx/wire_check.h"

#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"

namespace modellib::onnx {
namespace {

enum Message : uint8_t {
  kNone,  // a number, a string, or a message into which nobody looks
  kModelProto,
  kGraphProto,
  kNodeProto,
  kAttributeProto,
  kTensorProto,
  kFunctionProto,
};
constexpr const char* kNames[] = {
    "", "ModelProto", "GraphProto", "NodeProto", "AttributeProto", "TensorProto", "FunctionProto"};

// The fields that hold messages, of the messages that nest.
struct Field {
  Message message;
  uint64_t number;
  Message holds;
};
constexpr Field kFields[] = {
    {kModelProto, 7, kGraphProto},      {kModelProto, 25, kFunctionProto},
    {kGraphProto, 1, kNodeProto},       {kGraphProto, 5, kTensorProto},
    {kNodeProto, 5, kAttributeProto},   {kAttributeProto, 5, kTensorProto},
    {kAttributeProto, 6, kGraphProto},  {kAttributeProto, 10, kTensorProto},
    {kAttributeProto, 11, kGraphProto}, {kFunctionProto, 7, kNodeProto},
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
    if (!varint(frame.end, tag)) return fail(start, name, "the tag of a field is cut short");
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
