// Small ONNX models for tests, written down in C++.
//
//   TestModel m;
//   m.input("x", {"batch", "4"});
//   m.node("Relu", {"x"}, {"y"});
//   m.output("y");
#ifndef MODELLIB_FRONTENDS_ONNX_TEST_MODEL_H_
#define MODELLIB_FRONTENDS_ONNX_TEST_MODEL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "modellib/third_party/onnx/onnx_generated.h"

namespace modellib::onnx {

// One attribute of a node.
void set_attribute(onnx_proto::NodeProto& node, const std::string& name, int64_t value);
void set_attribute(onnx_proto::NodeProto& node, const std::string& name,
                   const std::vector<int64_t>& values);
void set_attribute(onnx_proto::NodeProto& node, const std::string& name, const std::string& text);
// The attribute `name` is that of the call which is named `of_call`.
void refer_attribute(onnx_proto::NodeProto& node, const std::string& name,
                     const std::string& of_call, onnx_proto::AttributeProto::AttributeType type);

// An attribute that is a subgraph.
onnx_proto::GraphProto& add_graph(onnx_proto::NodeProto& node, const std::string& name);

onnx_proto::NodeProto make_node(const std::string& op, const std::vector<std::string>& inputs,
                                const std::vector<std::string>& outputs);
onnx_proto::TensorProto make_tensor(const std::string& name, const std::vector<int64_t>& dims,
                                    const std::vector<float>& values);
onnx_proto::TensorProto make_integers(const std::string& name, const std::vector<int64_t>& dims,
                                      const std::vector<int64_t>& values);

class TestModel {
 public:
  explicit TestModel(int64_t opset = 17);

  // Extents are numbers, names, or "" for one without a name.
  void input(const std::string& name, const std::vector<std::string>& extents,
             int32_t type = onnx_proto::TensorProto::FLOAT);
  // A sequence of such tensors.
  void sequence(const std::string& name, const std::vector<std::string>& extents,
                int32_t type = onnx_proto::TensorProto::FLOAT);
  void optional(const std::string& name, const std::vector<std::string>& extents);
  void output(const std::string& name);
  onnx_proto::NodeProto& node(const std::string& op, const std::vector<std::string>& inputs,
                              const std::vector<std::string>& outputs);
  // A function of the domain "mine", which it may call others of.
  onnx_proto::FunctionProto& function(const std::string& name,
                                      const std::vector<std::string>& inputs,
                                      const std::vector<std::string>& outputs);
  void constant(const std::string& name, const std::vector<int64_t>& dims,
                const std::vector<float>& values);
  void integers(const std::string& name, const std::vector<int64_t>& values);

  onnx_proto::ModelProto& proto() { return proto_; }
  onnx_proto::GraphProto& graph() { return *proto_.mutable_graph(); }
  std::string bytes() const { return proto_.SerializeAsString(); }

 private:
  onnx_proto::ModelProto proto_;
};

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_TEST_MODEL_H_
