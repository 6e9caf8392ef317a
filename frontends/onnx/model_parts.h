// What the parts of an ONNX model are called in messages, and which operator sets and functions its
// nodes mean.
#ifndef MODELLIB_FRONTENDS_ONNX_MODEL_PARTS_H_
#define MODELLIB_FRONTENDS_ONNX_MODEL_PARTS_H_

#include <string>
#include <tuple>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "modellib/frontends/onnx/scopes.h"
#include "modellib/third_party/onnx/onnx_generated.h"

namespace modellib::onnx {

// The standard's own domain has two spellings: here it is "", in messages "ai.onnx".
std::string domain_of(const std::string& domain);
std::string shown_domain(const std::string& domain);
// "ai.onnx Conv"
std::string shown_op(const onnx_proto::NodeProto& node);

// "node #3 'conv1' (Conv)", "function mine.scaled", "input #0 'x'", "then_branch". Very long names
// are cut.
std::string label(int index, const onnx_proto::NodeProto& node);
std::string label(const onnx_proto::FunctionProto& function);
std::string label(absl::string_view what, int index, absl::string_view name);
std::string label(const onnx_proto::AttributeProto& attribute);

// InvalidArgument for versions that make no sense, Unimplemented for those that are too new.
absl::StatusOr<Opsets> opsets_of(
    const google::protobuf::RepeatedPtrField<onnx_proto::OperatorSetIdProto>& imports);
// The version of a node's operator set; 0 if none is imported for its domain.
int version_of(const onnx_proto::NodeProto& node, const Opsets& opsets);

// The functions of a model.
class Functions {
 public:
  explicit Functions(const onnx_proto::ModelProto& model);
  // The one that a node calls; null if it calls none.
  const onnx_proto::FunctionProto* find(const onnx_proto::NodeProto& node) const;

 private:
  using Key = std::tuple<std::string, std::string, std::string>;  // domain, name, overload
  absl::flat_hash_map<Key, const onnx_proto::FunctionProto*> by_name_;
};

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_MODEL_PARTS_H_
