// What of a model is not supported: found in part while it is imported, listed at once.
//
// The import finds what depends on types and contents, but it goes no further than what it has
// values for: not into what is fed by a node that is not supported, nor into the body of a Loop.
// So the list is made by a walk of its own over all that may run, which compares each node with the
// table of ops and adds what the import found.
#ifndef MODELLIB_FRONTENDS_ONNX_UNSUPPORTED_H_
#define MODELLIB_FRONTENDS_ONNX_UNSUPPORTED_H_

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "modellib/frontends/onnx/model_parts.h"
#include "modellib/frontends/onnx/scopes.h"
#include "modellib/third_party/onnx/onnx_generated.h"

namespace modellib::onnx {

class Unsupported {
 public:
  // A node, an input or an initializer of the model is not supported. `why` may be empty if it is
  // the table of ops that lacks the node. What is said first of a part stands.
  void add(const google::protobuf::MessageLite& part, absl::string_view why);
  bool empty() const { return why_.empty(); }

  // The condition of an If is known, and this is the branch that never runs; or the one that runs.
  // A branch that runs in one call of a function and not in another one runs.
  void leave_out(const onnx_proto::GraphProto& branch) { left_out_.insert(&branch); }
  void enter(const onnx_proto::GraphProto& branch) { entered_.insert(&branch); }
  bool is_left_out(const onnx_proto::GraphProto& branch) const;

  // Null if nothing was said of the part.
  const std::string* why(const google::protobuf::MessageLite& part) const;

  // Unimplemented: a line for each part, with the path to it through graphs and functions, its
  // operator set and the nearest thing that is supported. A function counts once, however often it
  // is called. After a MiB of lines only the ops of the rest are counted.
  absl::Status listed(const onnx_proto::ModelProto& model, const Functions& functions,
                      const Opsets& opsets) const;

 private:
  absl::flat_hash_map<const google::protobuf::MessageLite*, std::string> why_;
  absl::flat_hash_set<const onnx_proto::GraphProto*> left_out_;
  absl::flat_hash_set<const onnx_proto::GraphProto*> entered_;
};

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_UNSUPPORTED_H_
