// Conversions that no model of tests/onnx needs: what they compute.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "modellib/executors/reference/reference_executor.h"
#include "modellib/frontends/onnx/importer.h"
#include "modellib/frontends/onnx/run_model.h"
#include "modellib/frontends/onnx/test_model.h"
#include "modellib/graph/constant.h"
#include "modellib/graph/status_macros.h"

namespace modellib::onnx {
namespace {

using onnx_proto::SparseTensorProto;
using onnx_proto::TensorProto;
using testing::ElementsAre;
using testing::HasSubstr;

std::string message(const TestModel& m) { return std::string(graph_of(m).status().message()); }

// The first output, of whatever type.
absl::StatusOr<Tensor> result_of(const TestModel& m, const std::vector<Tensor>& inputs) {
  MODELLIB_ASSIGN_OR_RETURN(const GraphRef graph, graph_of(m));
  MODELLIB_ASSIGN_OR_RETURN(const ReferenceResult result, run_reference(graph, inputs));
  return result.outputs[0];
}
Tensor integers_of(DType dtype, const std::vector<int64_t>& values) {
  Tensor t = *Tensor::zeros(dtype, {static_cast<int64_t>(values.size())});
  for (size_t i = 0; i < values.size(); ++i) t.set_int(static_cast<int64_t>(i), values[i]);
  return t;
}

// ---- Arithmetic

struct HyperbolicCase {
  const char* op;
  double (*function)(double);
  std::vector<float> values;
};

// Near zero, near the end of f32 and beyond.
TEST(Hyperbolic, FunctionsOverflowNoEarlierThanTheirResults) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const HyperbolicCase cases[] = {
      {"Sinh", std::sinh, {0, 1e-6f, -1e-3f, 0.5f, -3, 40, 88.8f, -89.3f, 89.5f, -kInfinity}},
      {"Cosh", std::cosh, {0, 1e-3f, 0.5f, -3, 40, 88.8f, -89.3f, 89.5f, -kInfinity}},
      {"Asinh", std::asinh, {0, 1e-6f, -1e-3f, 0.5f, -3, 1e9f, 2e9f, 1.9e19f, -3e38f, kInfinity}},
      {"Acosh", std::acosh, {1, 1.001f, 1.5f, 30, 1e9f, 2e9f, 1.9e19f, 3e38f, kInfinity}}};
  for (const HyperbolicCase& c : cases) {
    const auto count = static_cast<int64_t>(c.values.size());
    TestModel m;
    m.input("x", {std::to_string(count)});
    m.node(c.op, {"x"}, {"y"});
    m.output("y");
    const auto y = run(m, {floats({count}, c.values)});
    ASSERT_TRUE(y.ok()) << y.status();
    for (size_t i = 0; i < c.values.size(); ++i) {
      const auto expected = static_cast<float>(c.function(static_cast<double>(c.values[i])));
      if (std::isinf(expected)) {
        EXPECT_EQ(y->at(i), expected) << c.op << " of " << c.values[i];
      } else {
        EXPECT_NEAR(y->at(i), expected, 2e-6 * std::fabs(expected))
            << c.op << " of " << c.values[i];
      }
    }
  }
}

TEST(Unsigned, NumbersHaveAMagnitudeAndASign) {
  for (const auto& [op, expected] : {std::pair{"Abs", std::vector<int64_t>{0, 1, 255}},
                                     std::pair{"Sign", std::vector<int64_t>{0, 1, 1}}}) {
    TestModel m;
    m.input("x", {"3"}, TensorProto::UINT8);
    m.node(op, {"x"}, {"y"});
    m.output("y");
    const auto y = result_of(m, {integers_of(DType::kU8, {0, 1, 255})});
    ASSERT_TRUE(y.ok()) << y.status();
    EXPECT_TRUE(y->identical(integers_of(DType::kU8, expected))) << op;
  }
}

// 1001 cubed has more digits than f32.
TEST(Pow, OfIntegersToAFloatIsExact) {
  TestModel m;
  m.input("x", {"3"}, TensorProto::INT32);
  m.constant("exponent", {1}, {3});
  m.node("Pow", {"x", "exponent"}, {"y"});
  m.output("y");
  const auto y = result_of(m, {integers_of(DType::kI32, {1001, -7, 1290})});
  ASSERT_TRUE(y.ok()) << y.status();
  ASSERT_EQ(y->dtype(), DType::kI32);
  EXPECT_EQ(y->int_at(0), 1003003001);
  EXPECT_EQ(y->int_at(1), -343);
  EXPECT_EQ(y->int_at(2), 2146689000);
}

// ---- Range

TEST(Range, CountsToAnExtentThatWasCastToAFloat) {
  TestModel m;
  m.input("x", {"n"});
  m.constant("zero", {}, {0});
  m.constant("one", {}, {1});
  m.node("Size", {"x"}, {"size"});
  set_attribute(m.node("Cast", {"size"}, {"limit"}), "to", TensorProto::FLOAT);
  m.node("Range", {"zero", "limit", "one"}, {"y"});
  m.output("y");
  for (const int64_t n : {1, 4}) {
    const auto y = run(m, {*Tensor::zeros(DType::kF32, {n})});
    ASSERT_TRUE(y.ok()) << y.status();
    ASSERT_EQ(static_cast<int64_t>(y->size()), n);
    EXPECT_EQ(y->back(), static_cast<float>(n - 1));
  }
}

TEST(Range, OfFloatsNeedNotBeWhole) {
  TestModel m;
  m.constant("start", {}, {0.5});
  m.constant("limit", {}, {-1});
  m.constant("delta", {}, {-0.5});
  m.node("Range", {"start", "limit", "delta"}, {"y"});
  m.output("y");
  const auto y = run(m, {});
  ASSERT_TRUE(y.ok()) << y.status();
  EXPECT_THAT(*y, ElementsAre(0.5, 0, -0.5));
}

// ---- Quantisation

TEST(Quantization, GivesTheTypeThatIsAskedFor) {
  TestModel m(23);
  m.input("q", {"2"}, TensorProto::UINT8);
  m.constant("scale", {}, {0.5});
  set_attribute(m.node("DequantizeLinear", {"q", "scale"}, {"y"}), "output_dtype",
                TensorProto::FLOAT16);
  m.output("y");
  const auto y = result_of(m, {integers_of(DType::kU8, {3, 255})});
  ASSERT_TRUE(y.ok()) << y.status();
  EXPECT_EQ(y->dtype(), DType::kF16);
  EXPECT_EQ(y->at(0), 1.5);
  EXPECT_EQ(y->at(1), 127.5);
}

// 2049 is no number of f16: it is rounded to an even one.
TEST(Quantization, DividesInThePrecisionThatIsAskedFor) {
  for (const bool in_f16 : {false, true}) {
    TestModel m(23);
    m.input("x", {"1"});
    m.constant("scale", {}, {1});
    auto& node = m.node("QuantizeLinear", {"x", "scale"}, {"y"});
    set_attribute(node, "output_dtype", TensorProto::INT16);
    if (in_f16) set_attribute(node, "precision", TensorProto::FLOAT16);
    m.output("y");
    const auto y = result_of(m, {floats({1}, {2049})});
    ASSERT_TRUE(y.ok()) << y.status();
    EXPECT_EQ(y->dtype(), DType::kI16);
    EXPECT_EQ(y->int_at(0), in_f16 ? 2048 : 2049);
  }
}

TEST(Quantization, TakesIntegersOf32Bits) {
  TestModel m;
  m.input("x", {"4"}, TensorProto::INT32);
  m.constant("scale", {}, {2});
  m.node("QuantizeLinear", {"x", "scale"}, {"y"});
  m.output("y");
  const auto y = result_of(m, {integers_of(DType::kI32, {5, 7, -3, 1000})});
  ASSERT_TRUE(y.ok()) << y.status();
  // Halves go to the even neighbour.
  EXPECT_TRUE(y->identical(integers_of(DType::kU8, {2, 4, 0, 255})));
}

TEST(Quantization, OfZerosHasAScale) {
  TestModel m;
  m.input("x", {"2"});
  m.node("DynamicQuantizeLinear", {"x"}, {"q", "scale", "zero"});
  m.output("scale");
  const auto scale = result_of(m, {floats({2}, {0, 0})});
  ASSERT_TRUE(scale.ok()) << scale.status();
  EXPECT_EQ(scale->at(0), double{1.0F / 255});
}

TEST(Quantization, RefusesAZeroPointOfAnotherType) {
  TestModel m(23);
  m.input("x", {"1"});
  m.input("zero", {}, TensorProto::UINT8);
  m.constant("scale", {}, {1});
  set_attribute(m.node("QuantizeLinear", {"x", "scale", "zero"}, {"y"}), "output_dtype",
                TensorProto::INT8);
  m.output("y");
  EXPECT_THAT(message(m), HasSubstr("output_dtype i8 with a zero point of u8"));
}

// ---- Extents of 0, and limits that are not given

// Of x: f32[2, 0], or of another shape.
absl::StatusOr<Tensor> of_nothing(const char* op, const std::vector<int64_t>& axes,
                                  bool integers = false) {
  TestModel m(18);
  m.input("x", {"2", "0"}, integers ? TensorProto::INT32 : TensorProto::FLOAT);
  std::vector<std::string> operands = {"x"};
  if (!axes.empty()) {
    *m.graph().add_initializer() = make_integers("axes", {1}, axes);
    operands.push_back("axes");
  }
  m.node(op, operands, {"y"});
  m.output("y");
  return result_of(m, {*Tensor::zeros(integers ? DType::kI32 : DType::kF32, {2, 0})});
}

TEST(OfNothing, ReductionsHaveTheirNeutralElement) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const auto& [op, expected] :
       {std::pair{"ReduceMax", -kInfinity}, std::pair{"ReduceMin", kInfinity},
        std::pair{"ReduceLogSumExp", -kInfinity}}) {
    const auto y = of_nothing(op, {1});
    ASSERT_TRUE(y.ok()) << op << ": " << y.status();
    EXPECT_EQ(y->shape(), (std::vector<int64_t>{2, 1}));
    EXPECT_EQ(y->at(1), expected) << op;
  }
  const auto least = of_nothing("ReduceMax", {1}, true);
  ASSERT_TRUE(least.ok()) << least.status();
  EXPECT_EQ(least->int_at(0), std::numeric_limits<int32_t>::min());
  const auto most = of_nothing("ReduceMin", {1}, true);
  ASSERT_TRUE(most.ok()) << most.status();
  EXPECT_EQ(most->int_at(0), std::numeric_limits<int32_t>::max());
}

TEST(OfNothing, SoftmaxIsNothing) {
  for (const char* op : {"Softmax", "LogSoftmax"}) {
    const auto y = of_nothing(op, {});
    ASSERT_TRUE(y.ok()) << op << ": " << y.status();
    EXPECT_EQ(y->shape(), (std::vector<int64_t>{2, 0}));
  }
}

TEST(OfNothing, ASliceThatRunsBackwardsIsNothing) {
  TestModel m;
  m.input("x", {"0", "3"});
  *m.graph().add_initializer() = make_integers("start", {1}, {-1});
  *m.graph().add_initializer() = make_integers("end", {1}, {std::numeric_limits<int64_t>::min()});
  *m.graph().add_initializer() = make_integers("axis", {1}, {0});
  *m.graph().add_initializer() = make_integers("step", {1}, {-1});
  m.node("Slice", {"x", "start", "end", "axis", "step"}, {"y"});
  m.output("y");
  const auto y = result_of(m, {*Tensor::zeros(DType::kF32, {0, 3})});
  ASSERT_TRUE(y.ok()) << y.status();
  EXPECT_EQ(y->shape(), (std::vector<int64_t>{0, 3}));
}

TEST(Clip, OfVersion6NeedsNoLimits) {
  TestModel m(10);
  m.input("x", {"2"});
  m.node("Clip", {"x"}, {"y"});
  m.output("y");
  const auto y = result_of(m, {floats({2}, {-1e30F, 5})});
  ASSERT_TRUE(y.ok()) << y.status();
  EXPECT_TRUE(y->identical(floats({2}, {-1e30F, 5})));
}

TEST(Pad, CutsOffBeforeItAdds) {
  for (const auto& [mode, expected] : {std::pair{"reflect", std::vector<float>{2, 3, 4, 5, 4, 3}},
                                       std::pair{"edge", std::vector<float>{2, 3, 4, 5, 5, 5}}}) {
    TestModel m;
    m.input("x", {"5"});
    *m.graph().add_initializer() = make_integers("pads", {2}, {-1, 2});
    set_attribute(m.node("Pad", {"x", "pads"}, {"y"}), "mode", mode);
    m.output("y");
    const auto y = result_of(m, {floats({5}, {1, 2, 3, 4, 5})});
    ASSERT_TRUE(y.ok()) << y.status();
    EXPECT_TRUE(y->identical(floats({6}, expected))) << mode;
  }
}

// Of 1, 2, 3 by a filter of three ones with a hole between each: 1 2 4 2 4 2 3.
TEST(ConvTranspose, OutputPaddingMayReachTheStride) {
  const auto result = [](int64_t pad, int64_t output_padding) {
    TestModel m;
    m.input("x", {"1", "1", "3"});
    m.constant("w", {1, 1, 3}, {1, 1, 1});
    auto& node = m.node("ConvTranspose", {"x", "w"}, {"y"});
    set_attribute(node, "dilations", std::vector<int64_t>{2});
    set_attribute(node, "pads", std::vector<int64_t>{pad, pad});
    set_attribute(node, "output_padding", std::vector<int64_t>{output_padding});
    m.output("y");
    const auto y = run(m, {floats({1, 1, 3}, {1, 2, 3})});
    EXPECT_TRUE(y.ok()) << y.status();
    return y.ok() ? *y : std::vector<float>();
  };
  EXPECT_THAT(result(0, 1), ElementsAre(1, 2, 4, 2, 4, 2, 3, 0));
  EXPECT_THAT(result(2, 1), ElementsAre(4, 2, 4, 2));
  EXPECT_THAT(result(1, 2), ElementsAre(2, 4, 2, 4, 2, 3, 0));
}

TEST(ConvTranspose, KnowsItsWaysToPad) {
  TestModel m;
  m.input("x", {"1", "1", "3"});
  m.constant("w", {1, 1, 3}, {1, 1, 1});
  set_attribute(m.node("ConvTranspose", {"x", "w"}, {"y"}), "auto_pad", "SAME");
  m.output("y");
  EXPECT_THAT(message(m), HasSubstr("auto_pad 'SAME'"));
}

// ---- Types of results

TEST(Losses, HaveTheTypeOfTheScores) {
  for (const char* op : {"SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss"}) {
    TestModel m;
    m.input("scores", {"2", "3"}, TensorProto::FLOAT16);
    *m.graph().add_initializer() = make_integers("labels", {2}, {0, 2});
    m.node(op, {"scores", "labels"}, {"y"});
    m.output("y");
    const auto y = result_of(m, {*Tensor::zeros(DType::kF16, {2, 3})});
    ASSERT_TRUE(y.ok()) << op << ": " << y.status();
    EXPECT_EQ(y->dtype(), DType::kF16);
  }
}

TEST(LayerNormalization, HasStatisticsOfTheTypeThatIsAskedFor) {
  TestModel m;
  m.input("x", {"1", "2"}, TensorProto::DOUBLE);
  m.input("scale", {"2"}, TensorProto::DOUBLE);
  m.node("LayerNormalization", {"x", "scale"}, {"y", "mean", "rstd"});
  m.output("mean");
  Tensor x = *Tensor::zeros(DType::kF64, {1, 2});
  x.set(1, 3);
  const auto mean = result_of(m, {x, *Tensor::zeros(DType::kF64, {2})});
  ASSERT_TRUE(mean.ok()) << mean.status();
  EXPECT_EQ(mean->dtype(), DType::kF32);
  EXPECT_EQ(mean->at(0), 1.5);
}

// ---- GatherND, ScatterND

// Of 0, 1 … 5 in the shape [2, 3]: the element at these coordinates, or all, that one set to 1.
absl::StatusOr<std::vector<float>> at_coordinates(const char* op, const std::vector<int64_t>& at) {
  TestModel m;
  m.input("x", {"2", "3"});
  *m.graph().add_initializer() = make_integers("at", {1, 2}, at);
  m.constant("one", {1}, {1});
  std::vector<std::string> operands = {"x", "at"};
  if (std::string(op) == "ScatterND") operands.push_back("one");
  m.node(op, operands, {"y"});
  m.output("y");
  return run(m, {floats({2, 3}, {0, 1, 2, 3, 4, 5})});
}

TEST(IndexNd, CountsFromEitherEndOfEachAxis) {
  EXPECT_THAT(*at_coordinates("GatherND", {-1, -3}), ElementsAre(3));
  EXPECT_THAT(*at_coordinates("ScatterND", {-1, 2}), ElementsAre(0, 1, 2, 3, 4, 1));
}

// Some of these are the number of an element of another row.
TEST(IndexNd, EndsTheRunWhereACoordinateIsOutside) {
  for (const char* op : {"GatherND", "ScatterND"}) {
    for (const std::vector<int64_t>& at : std::vector<std::vector<int64_t>>{
             {0, 3}, {0, -4}, {1, -4}, {2, 0}, {2, -3}, {-3, 0}, {-3, 2}}) {
      EXPECT_EQ(at_coordinates(op, at).status().code(), absl::StatusCode::kOutOfRange)
          << op << " " << at[0] << " " << at[1];
    }
  }
}

TEST(IndexNd, KeepsToItsPlaceInTheBatch) {
  for (const int64_t second : {1, -2, 2, -3}) {
    TestModel m;
    m.input("x", {"2", "2"});
    *m.graph().add_initializer() = make_integers("at", {2, 1}, {second, 0});
    set_attribute(m.node("GatherND", {"x", "at"}, {"y"}), "batch_dims", 1);
    m.output("y");
    const auto y = run(m, {floats({2, 2}, {0, 1, 2, 3})});
    if (second < -2 || second > 1) {
      EXPECT_EQ(y.status().code(), absl::StatusCode::kOutOfRange) << second;
    } else {
      ASSERT_TRUE(y.ok()) << y.status();
      EXPECT_THAT(*y, ElementsAre(second == 1 ? 1 : 0, 2));
    }
  }
}

// ---- Dropout

TEST(Dropout, HasAMaskOfTheTypeOfItsVersion) {
  for (const int version : {7, 10, 13}) {
    TestModel m(version);
    m.input("x", {"2"});
    m.node("Dropout", {"x"}, {"y", "mask"});
    m.output("mask");
    const auto mask = result_of(m, {floats({2}, {3, 4})});
    ASSERT_TRUE(mask.ok()) << mask.status();
    EXPECT_EQ(mask->dtype(), version < 10 ? DType::kF32 : DType::kBool);
    EXPECT_EQ(mask->at(0), 1);
    EXPECT_EQ(mask->at(1), 1);
  }
}

// ---- Einsum

// Operands of these shapes, filled with 1, 2, 3 …
absl::StatusOr<std::vector<float>> einsum(const std::string& equation,
                                          const std::vector<std::vector<int64_t>>& shapes) {
  TestModel m;
  std::vector<std::string> names;
  std::vector<Tensor> inputs;
  for (const std::vector<int64_t>& shape : shapes) {
    names.push_back("x" + std::to_string(names.size()));
    std::vector<std::string> extents;
    int64_t count = 1;
    for (int64_t extent : shape) {
      extents.push_back(std::to_string(extent));
      count *= extent;
    }
    m.input(names.back(), extents);
    std::vector<float> values;
    for (int64_t i = 1; i <= count; ++i) values.push_back(static_cast<float>(i));
    inputs.push_back(floats(shape, values));
  }
  set_attribute(m.node("Einsum", names, {"y"}), "equation", equation);
  m.output("y");
  return run(m, inputs);
}

struct EinsumCase {
  const char* equation;
  std::vector<std::vector<int64_t>> shapes;
  std::vector<float> result;  // as numpy.einsum gives it
};

TEST(Einsum, GivesWhatNumpyGives) {
  const EinsumCase cases[] = {
      {"ij,jk->ik", {{2, 2}, {2, 2}}, {7, 10, 15, 22}},
      {"ij,jk", {{2, 2}, {2, 2}}, {7, 10, 15, 22}},
      {"bij, bjk -> bik", {{2, 1, 2}, {2, 2, 1}}, {5, 25}},
      {"ij->ji", {{2, 3}}, {1, 4, 2, 5, 3, 6}},
      {"ba", {{2, 3}}, {1, 4, 2, 5, 3, 6}},
      {"ij->i", {{2, 3}}, {6, 15}},
      {"ij->", {{2, 3}}, {21}},
      {"ii->i", {{2, 2}}, {1, 4}},
      {"ii", {{2, 2}}, {5}},
      {"...ii->...i", {{2, 2, 2}}, {1, 4, 5, 8}},
      {"i,i", {{3}, {3}}, {14}},
      {"i,j->ij", {{2}, {3}}, {1, 2, 3, 2, 4, 6}},
      {"i,j->ji", {{2}, {3}}, {1, 2, 2, 4, 3, 6}},
      {",i->i", {{}, {2}}, {1, 2}},
      {"...ij,...jk->...ik", {{2, 1, 2}, {2, 1}}, {5, 11}},
      {"...i,i->...", {{2, 3}, {3}}, {14, 32}},
      {"i...,i...->...", {{2, 2}, {2}}, {7, 10}},
      {"ij,jk,kl->il", {{1, 2}, {2, 2}, {2, 1}}, {27}},
      {"ab,ab,ab->a", {{2, 2}, {2, 2}, {2, 2}}, {9, 91}},
      {"bhqd,bhkd->bhqk", {{1, 1, 2, 2}, {1, 1, 2, 2}}, {5, 11, 11, 25}},
      {"ijk,kl->jil", {{2, 2, 1}, {1, 2}}, {1, 2, 3, 6, 2, 4, 4, 8}},
  };
  for (const EinsumCase& c : cases) {
    const auto y = einsum(c.equation, c.shapes);
    ASSERT_TRUE(y.ok()) << c.equation << ": " << y.status();
    EXPECT_EQ(*y, c.result) << c.equation;
  }
}

TEST(Einsum, RefusesEquationsThatMakeNoSense) {
  for (const auto& [equation, shapes] :
       std::vector<std::pair<const char*, std::vector<std::vector<int64_t>>>>{
           {"", {{2}}},
           {"ij->ij", {{2}}},
           {"i,j->ij", {{2}}},
           {"i->j", {{2}}},
           {"i->ii", {{2}}},
           {"i->i->i", {{2}}},
           {"i..->i", {{2}}},
           {"......->", {{2}}},
           {"i1->i", {{2, 2}}},
           {"ij,jk->ik", {{2, 2}, {3, 2}}}}) {
    EXPECT_EQ(einsum(equation, shapes).status().code(), absl::StatusCode::kInvalidArgument)
        << equation;
  }
}

// ---- Sparse tensors

SparseTensorProto sparse(const std::vector<int64_t>& dims, const std::vector<float>& values,
                         const std::vector<int64_t>& indices, bool by_axis) {
  SparseTensorProto proto;
  const auto count = static_cast<int64_t>(values.size());
  *proto.mutable_values() = make_tensor("w", {count}, values);
  std::vector<int64_t> shape = {count};
  if (by_axis) shape.push_back(static_cast<int64_t>(dims.size()));
  *proto.mutable_indices() = make_integers("", shape, indices);
  for (int64_t d : dims) proto.add_dims(d);
  return proto;
}

TEST(SparseTensors, BecomeDense) {
  for (const bool by_axis : {false, true}) {
    const SparseTensorProto w =
        sparse({2, 3}, {5, 7},
               by_axis ? std::vector<int64_t>{0, 1, 1, 2} : std::vector<int64_t>{1, 5}, by_axis);
    TestModel initializer;
    *initializer.graph().add_sparse_initializer() = w;
    initializer.node("Identity", {"w"}, {"y"});
    initializer.output("y");
    TestModel constant;
    auto& attribute = *constant.node("Constant", {}, {"y"}).add_attribute();
    attribute.set_name("sparse_value");
    attribute.set_type(onnx_proto::AttributeProto::SPARSE_TENSOR);
    *attribute.mutable_sparse_tensor() = w;
    constant.output("y");
    for (const TestModel* m : {&initializer, &constant}) {
      const auto y = run(*m, {});
      ASSERT_TRUE(y.ok()) << y.status();
      EXPECT_THAT(*y, ElementsAre(0, 5, 0, 0, 0, 7));
    }
  }
}

TEST(SparseTensors, OfPackedIntegersToo) {
  SparseTensorProto w = sparse({5}, {0, 0}, {1, 4}, false);
  w.mutable_values()->set_data_type(onnx_proto::TensorProto::INT4);
  w.mutable_values()->set_raw_data("\xD5");  // 5, then -3
  TestModel m(21);
  *m.graph().add_sparse_initializer() = w;
  m.node("Identity", {"w"}, {"y"});
  m.output("y");
  const auto model = import_model_bytes(m.bytes());
  ASSERT_TRUE(model.ok()) << model.status();
  const Graph& graph = *model->program.entries[0].graph;
  const Tensor* y = constant_value(graph, graph.outputs()[0].value);
  ASSERT_NE(y, nullptr);
  const int64_t expected[] = {0, 5, 0, 0, -3};
  for (int64_t i = 0; i < 5; ++i) EXPECT_EQ(y->int_at(i), expected[i]) << i;
}

TEST(SparseTensors, AreRefusedWhereTheyMakeNoSenseOrWouldFillTheMemory) {
  const auto why = [](const SparseTensorProto& w) {
    TestModel m;
    *m.graph().add_sparse_initializer() = w;
    m.node("Identity", {"w"}, {"y"});
    m.output("y");
    return message(m);
  };
  EXPECT_THAT(why(sparse({2, 3}, {5}, {6}, false)),
              HasSubstr("sparse initializer #0 'w': index #0"));
  EXPECT_THAT(why(sparse({2, 3}, {5}, {-1}, false)), HasSubstr("index #0"));
  EXPECT_THAT(why(sparse({2, 3}, {5}, {0, 3}, true)), HasSubstr("index #0"));
  EXPECT_THAT(why(sparse({2, 3}, {5, 6}, {3, 3}, false)), HasSubstr("index #1"));
  EXPECT_THAT(why(sparse({2, 3}, {5, 6}, {3}, false)), HasSubstr("it holds 1 elements"));
  EXPECT_THAT(why(sparse({2, 3, 1}, {5}, {0, 3}, true)), HasSubstr("it holds 2 elements"));
  EXPECT_THAT(why(sparse({-2}, {}, {}, false)), HasSubstr("negative"));
  EXPECT_THAT(why(sparse({1 << 20, 1 << 20}, {5}, {6}, false)), HasSubstr("bytes when dense"));
}

}  // namespace
}  // namespace modellib::onnx
