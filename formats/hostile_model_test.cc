// Native models that are whole by every checksum and mean harm: one thing wrong in each, said by a
// Status.
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "modellib/formats/container_writer.h"
#include "modellib/formats/model_generated.h"
#include "modellib/formats/native_model.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/testing_ops.h"

namespace modellib {
namespace {

using model_fb::AttributeKind;
using model_fb::GraphT;
using model_fb::ModelT;

constexpr int32_t kHuge = std::numeric_limits<int32_t>::max();

// relu(x) + w, w a variable with content; part = split(w)[1]; a node with each kind of attribute.
std::vector<std::byte> honest_bytes() {
  const OpRegistry& ops = testing::ops();
  const TensorType row{DType::kF32, {Dim::symbol("batch"), 4}};
  GraphBuilder inner(ops, "body");
  inner.output("out0", inner.emit_one("relu", {inner.input("in0", row)}));
  testing::EverythingAttributes a;
  a.table = *Tensor::of<double>({2}, {1, 2});
  a.body = *inner.build();
  a.sizes = {1, 2};
  a.extents = {Dim::symbol("batch")};
  GraphBuilder b(ops, "main");
  b.set_range("batch", {1, 8});
  const Value x = b.input("x", row), y = b.input("y", {DType::kF32, {Dim::symbol("m"), 4}});
  const Variable w{"w", {DType::kF32, {6}}};
  const Value h = b.emit_one("relu", {b.emit_one("everything", {x}, Attributes::of(a))});
  b.output("sum", b.emit_one("add", {h, y}));
  b.output("part", b.emit("split", {b.variable(w)})[1]);
  b.assign(w, b.constant(*Tensor::zeros(DType::kF32, {6})));
  Model model;
  model.program.entries.push_back({"main", *b.build()});
  model.variables["w"] = *Tensor::zeros(DType::kF32, {6});
  return *model_bytes(model);
}

struct Hostile {
  const char* name;
  std::function<void(ModelT&)> spoil;
};
void PrintTo(const Hostile& h, std::ostream* out) { *out << h.name; }

GraphT& graph(ModelT& m) { return *m.entries[0]->graph; }
model_fb::NodeT& node(ModelT& m, const char* op) {
  for (auto& n : graph(m).nodes) {
    if (n->op == op) return *n;
  }
  ADD_FAILURE() << "no node " << op;
  return *graph(m).nodes[0];
}
int32_t first_output(ModelT& m, const char* op) {
  for (size_t i = 0; i < graph(m).nodes.size(); ++i) {
    if (graph(m).nodes[i]->op == op) return graph(m).first_outputs[i];
  }
  return -1;
}
model_fb::AttributeT& attribute(ModelT& m, AttributeKind kind) {
  for (auto& a : node(m, "everything").attributes) {
    if (a->kind == kind) return *a;
  }
  ADD_FAILURE() << "no such attribute";
  return *node(m, "everything").attributes[0];
}
// One that nothing reads.
void add_input(ModelT& m, std::vector<int64_t> extents, std::vector<std::string> expressions) {
  auto value = std::make_unique<model_fb::ValueT>();
  value->name = "z";
  value->type = std::make_unique<model_fb::TypeT>();
  value->type->dtype = static_cast<uint8_t>(DType::kF32);
  value->type->extents = std::move(extents);
  value->type->expressions = std::move(expressions);
  graph(m).inputs.push_back(static_cast<int32_t>(graph(m).values.size()));
  graph(m).values.push_back(std::move(value));
}
GraphT& region(ModelT& m) { return *attribute(m, AttributeKind::kGraph).graph; }

std::vector<Hostile> hostile_models() {
  return {
      // Values and nodes.
      {"a_node_reads_its_own_output",
       [](ModelT& m) { node(m, "add").inputs[0] = first_output(m, "add"); }},
      {"two_nodes_read_each_other",
       [](ModelT& m) { node(m, "everything").inputs[0] = first_output(m, "relu"); }},
      {"an_operand_beyond_all_values", [](ModelT& m) { node(m, "add").inputs[0] = kHuge; }},
      {"a_negative_operand", [](ModelT& m) { node(m, "add").inputs[0] = -7; }},
      {"an_operand_that_is_absent", [](ModelT& m) { node(m, "add").inputs[0] = -1; }},
      {"too_few_operands", [](ModelT& m) { node(m, "add").inputs.resize(1); }},
      {"a_million_operands", [](ModelT& m) { node(m, "add").inputs.assign(1000000, 0); }},
      {"outputs_beyond_all_values", [](ModelT& m) { graph(m).first_outputs[0] = kHuge; }},
      {"negative_outputs", [](ModelT& m) { graph(m).first_outputs[0] = -1; }},
      {"four_billion_outputs", [](ModelT& m) { node(m, "add").outputs = 0xffffffff; }},
      {"no_outputs", [](ModelT& m) { node(m, "add").outputs = 0; }},
      {"two_nodes_with_one_output",
       [](ModelT& m) { graph(m).first_outputs[1] = graph(m).first_outputs[0]; }},
      {"fewer_places_than_nodes", [](ModelT& m) { graph(m).first_outputs.pop_back(); }},
      {"an_input_that_a_node_computes",
       [](ModelT& m) { graph(m).inputs[0] = first_output(m, "add"); }},
      {"an_input_beyond_all_values", [](ModelT& m) { graph(m).inputs[0] = kHuge; }},
      {"one_value_as_two_inputs", [](ModelT& m) { graph(m).inputs[1] = graph(m).inputs[0]; }},
      {"a_value_that_nothing_defines", [](ModelT& m) { graph(m).inputs.pop_back(); }},
      {"an_output_beyond_all_values", [](ModelT& m) { graph(m).outputs[0]->value = kHuge; }},
      {"an_absent_output", [](ModelT& m) { graph(m).outputs[0]->value = -1; }},
      {"two_outputs_of_one_name",
       [](ModelT& m) { graph(m).outputs[1]->name = graph(m).outputs[0]->name; }},
      {"no_op_of_this_name", [](ModelT& m) { node(m, "add").op = "format_disk"; }},
      {"a_scope_that_is_none", [](ModelT& m) { node(m, "add").scope = 0x80000001; }},
      {"no_scopes", [](ModelT& m) { graph(m).scopes.clear(); }},
      // Types.
      {"an_unknown_element_type", [](ModelT& m) { graph(m).values[0]->type->dtype = 200; }},
      {"a_missing_type", [](ModelT& m) { graph(m).values[0]->type.reset(); }},
      {"a_negative_extent",
       [](ModelT& m) {
         graph(m).values[0]->type->expressions.clear();
         graph(m).values[0]->type->extents = {-1, 4};
       }},
      {"a_negative_extent_as_an_expression", [](ModelT& m) { add_input(m, {0}, {"2 - 5"}); }},
      {"an_input_of_2_to_the_124",
       [](ModelT& m) {
         add_input(m, {int64_t{1} << 62, int64_t{1} << 62}, {});
       }},
      {"a_type_that_inference_contradicts",
       [](ModelT& m) {
         auto& type = *graph(m).values[static_cast<size_t>(first_output(m, "add"))]->type;
         type.expressions.clear();
         type.extents = {int64_t{1} << 62, int64_t{1} << 62};
       }},
      {"a_thousand_dimensions",
       [](ModelT& m) {
         graph(m).values[0]->type->expressions.clear();
         graph(m).values[0]->type->extents.assign(1000, 1);
       }},
      {"an_expression_that_is_none",
       [](ModelT& m) { graph(m).values[0]->type->expressions[0] = "batch +* 2"; }},
      {"an_expression_of_brackets",
       [](ModelT& m) { graph(m).values[0]->type->expressions[0] = std::string(1000, '('); }},
      {"an_expression_without_end",
       [](ModelT& m) { graph(m).values[0]->type->expressions[0] = std::string(100000, '9'); }},
      {"a_division_by_zero",
       [](ModelT& m) { graph(m).values[0]->type->expressions[0] = "batch//0"; }},
      {"a_product_that_overflows",
       [](ModelT& m) {
         graph(m).values[0]->type->expressions[0] = "9223372036854775807*9223372036854775807*batch";
       }},
      {"an_empty_range", [](ModelT& m) { graph(m).ranges[0]->min = 9; }},
      {"a_constraint_that_is_no_expression",
       [](ModelT& m) {
         graph(m).constraints.push_back(std::make_unique<model_fb::ConstraintT>());
         graph(m).constraints.back()->left = "((";
         graph(m).constraints.back()->right = "1";
       }},
      // Tensors.
      {"a_tensor_of_2_to_the_124",
       [](ModelT& m) {
         m.tensors[0]->extents = {int64_t{1} << 62, int64_t{1} << 62};
       }},
      {"a_tensor_with_a_negative_extent", [](ModelT& m) { m.tensors[0]->extents = {-6}; }},
      {"a_tensor_larger_than_its_bytes", [](ModelT& m) { m.tensors[0]->extents = {1000}; }},
      {"a_tensor_beyond_its_segment",
       [](ModelT& m) { m.tensors[0]->bytes = std::numeric_limits<uint64_t>::max(); }},
      {"a_tensor_before_its_segment", [](ModelT& m) { m.tensors[0]->offset = ~uint64_t{0} - 63; }},
      {"a_tensor_between_elements", [](ModelT& m) { m.tensors[0]->offset = 1; }},
      {"a_tensor_in_no_segment", [](ModelT& m) { m.tensors[0]->segment = 0xffffffff; }},
      {"many_tensors_of_the_same_bytes",
       [](ModelT& m) {
         for (int i = 0; i < 100; ++i) {
           m.tensors.push_back(std::make_unique<model_fb::TensorT>(*m.tensors[0]));
         }
       }},
      {"a_tensor_of_no_type", [](ModelT& m) { m.tensors[0]->dtype = 255; }},
      // Attributes.
      {"an_attribute_of_no_kind",
       [](ModelT& m) { attribute(m, AttributeKind::kInt).kind = static_cast<AttributeKind>(77); }},
      {"an_attribute_of_another_kind",
       [](ModelT& m) { attribute(m, AttributeKind::kInt).kind = AttributeKind::kString; }},
      {"an_attribute_that_the_op_lacks",
       [](ModelT& m) { attribute(m, AttributeKind::kInt).name = "surprise"; }},
      {"a_tensor_attribute_that_is_none",
       [](ModelT& m) { attribute(m, AttributeKind::kTensor).integer = 1 << 30; }},
      {"an_element_type_that_is_none",
       [](ModelT& m) { attribute(m, AttributeKind::kDType).integer = -1; }},
      {"an_attribute_of_an_op_without",
       [](ModelT& m) {
         node(m, "relu").attributes.push_back(std::make_unique<model_fb::AttributeT>());
       }},
      {"regions_in_regions_in_regions",
       [](ModelT& m) {
         // Of one node each, 40 deep.
         GraphT nested = region(m);
         for (int depth = 0; depth < 40; ++depth) {
           GraphT around = region(m);
           auto attribute = std::make_unique<model_fb::AttributeT>();
           attribute->name = "body";
           attribute->kind = AttributeKind::kGraph;
           attribute->graph = std::make_unique<GraphT>(std::move(nested));
           around.nodes[0]->op = "everything";
           around.nodes[0]->attributes.clear();
           around.nodes[0]->attributes.push_back(std::move(attribute));
           nested = std::move(around);
         }
         region(m) = std::move(nested);
       }},
      {"a_region_that_reads_beyond_its_values",
       [](ModelT& m) { region(m).nodes[0]->inputs[0] = 100; }},
      {"a_region_with_a_variable",
       [](ModelT& m) {
         region(m).variables.push_back(std::make_unique<model_fb::VariableUseT>());
         region(m).variables.back()->variable = 7;
       }},
      // Variables and entries.
      {"a_use_of_no_variable", [](ModelT& m) { graph(m).variables[0]->variable = 99; }},
      {"a_variable_as_no_value", [](ModelT& m) { graph(m).variables[0]->value = kHuge; }},
      {"a_variable_that_becomes_no_value",
       [](ModelT& m) { graph(m).variables[0]->assigned = kHuge; }},
      {"a_variable_that_becomes_another_type",
       [](ModelT& m) { graph(m).variables[0]->assigned = graph(m).inputs[0]; }},
      {"a_variable_of_an_unknown_kind", [](ModelT& m) { m.variables[0]->kind = 9; }},
      {"a_variable_with_the_content_of_another_type",
       [](ModelT& m) { m.variables[0]->type->extents = {7}; }},
      {"a_variable_with_no_content_of_that_number",
       [](ModelT& m) { m.variables[0]->content = kHuge; }},
      {"an_entry_without_a_graph", [](ModelT& m) { m.entries[0]->graph.reset(); }},
      {"two_entries_of_one_name",
       [](ModelT& m) { m.entries.push_back(std::make_unique<model_fb::EntryT>(*m.entries[0])); }},
      {"a_newer_version", [](ModelT& m) { m.version = static_cast<model_fb::FormatVersion>(2); }},
  };
}

// The honest model, spoilt, in a container with the honest one's segments.
absl::StatusOr<Model> read_spoilt(const std::function<void(ModelT&)>& spoil) {
  const std::vector<std::byte> honest = honest_bytes();
  const auto container = *Container::open(SharedBytes{honest, nullptr}, {});
  ModelT model;
  model_fb::GetModel(container->metadata().data())->UnPackTo(&model);
  spoil(model);
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(model_fb::Model::Pack(builder, &model));
  const auto writer = ContainerWriter::in_memory(ContainerKind::kModel);
  for (uint32_t i = 0; i < container->segment_count(); ++i) {
    EXPECT_TRUE(writer->add_segment(container->segment(i)->bytes).ok());
  }
  EXPECT_TRUE(writer
                  ->finish({reinterpret_cast<const std::byte*>(builder.GetBufferPointer()),
                            builder.GetSize()})
                  .ok());
  const std::vector<std::byte> bytes(writer->bytes().begin(), writer->bytes().end());
  const auto again = Container::open(SharedBytes{bytes, nullptr}, {});
  if (!again.ok()) return again.status();
  return read_model(**again, testing::ops());
}

TEST(HostileModel, TheHonestOneIsRead) {
  const auto model = read_spoilt([](ModelT&) {});
  EXPECT_TRUE(model.ok()) << model.status();
}

class HostileModel : public ::testing::TestWithParam<Hostile> {};

TEST_P(HostileModel, IsRefused) {
  const auto model = read_spoilt(GetParam().spoil);
  ASSERT_FALSE(model.ok());
  EXPECT_NE(model.status().code(), absl::StatusCode::kInternal) << model.status();
  EXPECT_FALSE(model.status().message().empty());
}

INSTANTIATE_TEST_SUITE_P(Table, HostileModel, ::testing::ValuesIn(hostile_models()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace modellib
