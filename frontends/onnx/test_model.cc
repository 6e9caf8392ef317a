#include "modellib/frontends/onnx/test_model.h"

#include "absl/strings/numbers.h"

namespace modellib::onnx {

using onnx_proto::AttributeProto;
using onnx_proto::FunctionProto;
using onnx_proto::GraphProto;
using onnx_proto::NodeProto;
using onnx_proto::TensorProto;

namespace {

void declare(onnx_proto::TypeProto::Tensor& tensor, const std::vector<std::string>& extents,
             int32_t type) {
  tensor.set_elem_type(type);
  tensor.mutable_shape();
  for (const std::string& extent : extents) {
    auto& dim = *tensor.mutable_shape()->add_dim();
    int64_t number;
    if (absl::SimpleAtoi(extent, &number)) {
      dim.set_dim_value(number);
    } else if (!extent.empty()) {
      dim.set_dim_param(extent);
    }
  }
}

}  // namespace

void set_attribute(NodeProto& node, const std::string& name, int64_t value) {
  AttributeProto& a = *node.add_attribute();
  a.set_name(name);
  a.set_type(AttributeProto::INT);
  a.set_i(value);
}

void set_attribute(NodeProto& node, const std::string& name, const std::vector<int64_t>& values) {
  AttributeProto& a = *node.add_attribute();
  a.set_name(name);
  a.set_type(AttributeProto::INTS);
  for (int64_t v : values) a.add_ints(v);
}

void set_attribute(NodeProto& node, const std::string& name, const std::string& text) {
  AttributeProto& a = *node.add_attribute();
  a.set_name(name);
  a.set_type(AttributeProto::STRING);
  a.set_s(text);
}

void refer_attribute(NodeProto& node, const std::string& name, const std::string& of_call,
                     AttributeProto::AttributeType type) {
  AttributeProto& a = *node.add_attribute();
  a.set_name(name);
  a.set_type(type);
  a.set_ref_attr_name(of_call);
}

GraphProto& add_graph(NodeProto& node, const std::string& name) {
  auto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(AttributeProto::GRAPH);
  return *attribute.mutable_g();
}

NodeProto make_node(const std::string& op, const std::vector<std::string>& inputs,
                    const std::vector<std::string>& outputs) {
  NodeProto node;
  node.set_op_type(op);
  node.set_name(outputs.empty() ? op : op + "_" + outputs[0]);
  for (const std::string& name : inputs) node.add_input(name);
  for (const std::string& name : outputs) node.add_output(name);
  return node;
}

TensorProto make_tensor(const std::string& name, const std::vector<int64_t>& dims,
                        const std::vector<float>& values) {
  TensorProto t;
  t.set_name(name);
  t.set_data_type(TensorProto::FLOAT);
  for (int64_t d : dims) t.add_dims(d);
  t.set_raw_data(values.data(), values.size() * sizeof(float));
  return t;
}

TensorProto make_integers(const std::string& name, const std::vector<int64_t>& dims,
                          const std::vector<int64_t>& values) {
  TensorProto t;
  t.set_name(name);
  t.set_data_type(TensorProto::INT64);
  for (int64_t d : dims) t.add_dims(d);
  for (int64_t v : values) t.add_int64_data(v);
  return t;
}

TestModel::TestModel(int64_t opset) {
  proto_.set_ir_version(8);
  proto_.add_opset_import()->set_version(opset);
  graph().set_name("test");
}

FunctionProto& TestModel::function(const std::string& name, const std::vector<std::string>& inputs,
                                   const std::vector<std::string>& outputs) {
  const auto import = [](const char* domain, int64_t version, auto& into) {
    auto& opset = *into.add_opset_import();
    opset.set_domain(domain);
    opset.set_version(version);
  };
  if (proto_.functions().empty()) import("mine", 1, proto_);
  FunctionProto& f = *proto_.add_functions();
  f.set_name(name);
  f.set_domain("mine");
  for (const std::string& input : inputs) f.add_input(input);
  for (const std::string& output : outputs) f.add_output(output);
  import("", 17, f);
  import("mine", 1, f);
  return f;
}

void TestModel::input(const std::string& name, const std::vector<std::string>& extents,
                      int32_t type) {
  auto& info = *graph().add_input();
  info.set_name(name);
  declare(*info.mutable_type()->mutable_tensor_type(), extents, type);
}

void TestModel::sequence(const std::string& name, const std::vector<std::string>& extents,
                         int32_t type) {
  auto& info = *graph().add_input();
  info.set_name(name);
  auto& held = *info.mutable_type()->mutable_sequence_type()->mutable_elem_type();
  declare(*held.mutable_tensor_type(), extents, type);
}

void TestModel::optional(const std::string& name, const std::vector<std::string>& extents) {
  auto& info = *graph().add_input();
  info.set_name(name);
  auto& held = *info.mutable_type()->mutable_optional_type()->mutable_elem_type();
  declare(*held.mutable_tensor_type(), extents, TensorProto::FLOAT);
}

void TestModel::output(const std::string& name) { graph().add_output()->set_name(name); }

NodeProto& TestModel::node(const std::string& op, const std::vector<std::string>& inputs,
                           const std::vector<std::string>& outputs) {
  NodeProto& node = *graph().add_node();
  node = make_node(op, inputs, outputs);
  return node;
}

void TestModel::constant(const std::string& name, const std::vector<int64_t>& dims,
                         const std::vector<float>& values) {
  *graph().add_initializer() = make_tensor(name, dims, values);
}

void TestModel::integers(const std::string& name, const std::vector<int64_t>& values) {
  *graph().add_initializer() = make_integers(name, {static_cast<int64_t>(values.size())}, values);
}

}  // namespace modellib::onnx
