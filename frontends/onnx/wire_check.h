// Where a serialised ONNX message goes wrong. Protobuf's parser says only that it does.
#ifndef MODELLIB_FRONTENDS_ONNX_WIRE_CHECK_H_
#define MODELLIB_FRONTENDS_ONNX_WIRE_CHECK_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace modellib::onnx {

enum class WireMessage { kModel, kTensor };

// InvalidArgument naming the byte offset and the field that is malformed: a length beyond the end
// of its message, an unknown wire type, a number cut short, messages nested too deeply. Ok if the
// bytes have the form of such a message (the content of its fields is not looked at).
absl::Status check_wire(absl::string_view bytes, WireMessage message);

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_WIRE_CHECK_H_
