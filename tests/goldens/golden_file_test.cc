#include "modellib/tests/goldens/golden_file.h"

#include <cmath>
#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/status/status.h"

namespace modellib::goldens {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kFolder[] = "tests/goldens/ops";

std::string golden_with_case(const std::string& body) {
  return R"({"op":"f","reference":"torch.f","cases":[{"name":"one",)" + body + "}]}";
}

std::string error_of(const std::string& text) {
  return std::string(parse_op_golden(text, "f.json").status().message());
}

TEST(GoldenFileTest, ReadsWhatACaseHolds) {
  const absl::StatusOr<OpGolden> golden = parse_op_golden(golden_with_case(R"(
      "attrs":{"dim":-1,"eps":0.5,"keep":true,"mode":"same","pads":[1,2]},
      "inputs":[{"name":"x","dtype":"f32","shape":[2,1],"data":[0.5,"-inf"]},
                {"name":"i","dtype":"i64","shape":[],"data":[7]}],
      "outputs":[{"name":"y","dtype":"f32","shape":[0],"data":[]}],
      "upstream":[],
      "input_grads":[{"name":"x","dtype":"f32","shape":[2,1],"data":["nan",-0.0]}])"),
                                                          "f.json");
  ASSERT_TRUE(golden.ok()) << golden.status();
  EXPECT_EQ(golden->op, "f");
  EXPECT_EQ(golden->reference, "torch.f");
  ASSERT_EQ(golden->cases.size(), 1u);
  const OpCase& c = golden->cases[0];
  EXPECT_EQ(c.attrs.integer("dim").value(), -1);
  EXPECT_EQ(c.attrs.real("eps").value(), 0.5);
  EXPECT_EQ(c.attrs.real("dim").value(), -1.0);
  EXPECT_EQ(c.attrs.flag("keep").value(), true);
  EXPECT_EQ(c.attrs.text("mode").value(), "same");
  EXPECT_THAT(c.attrs.integers("pads").value(), ElementsAre(1, 2));
  EXPECT_THAT(c.attrs.integers("dim").value(), ElementsAre(-1));
  EXPECT_EQ(c.attrs.integer("axis").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(c.attrs.integer("eps").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(c.input("x")->shape, ElementsAre(2, 1));
  EXPECT_THAT(c.input("x")->floats(), ElementsAre(0.5f, -INFINITY));
  EXPECT_THAT(c.input("i")->integers(), ElementsAre(7));
  EXPECT_EQ(c.output("x"), nullptr);
  EXPECT_EQ(c.upstream_of("y"), nullptr);
  EXPECT_TRUE(std::isnan(c.grad_of("x")->data[0]));
  EXPECT_TRUE(std::signbit(c.grad_of("x")->data[1]));
}

TEST(GoldenFileTest, RefusesWithThePlaceAndTheReason) {
  EXPECT_THAT(error_of("{\"op\":"), HasSubstr("f.json: is not JSON"));
  EXPECT_THAT(error_of("[]"), HasSubstr("f.json: expected an object, got array"));
  EXPECT_THAT(error_of(golden_with_case(R"("attrs":{})")),
              HasSubstr("f.json.cases[0]: has no member \"inputs\""));
  EXPECT_THAT(error_of(golden_with_case(R"("attrs":{"dim":null})")),
              HasSubstr("f.json.cases[0].attrs.dim: expected an array, got null"));
  const std::string rest = R"(],"outputs":[],"upstream":[],"input_grads":[])";
  EXPECT_THAT(
      error_of(golden_with_case(
          R"("attrs":{},"inputs":[{"name":"x","dtype":"f32","shape":[3],"data":[1,2]})" + rest)),
      HasSubstr("inputs[0]: expected as many elements as the shape says (it has 2)"));
  EXPECT_THAT(
      error_of(golden_with_case(
          R"("attrs":{},"inputs":[{"name":"x","dtype":"f32","shape":[-1],"data":[]})" + rest)),
      HasSubstr("inputs[0]: expected extents that are not negative"));
  EXPECT_THAT(
      error_of(golden_with_case(
          R"("attrs":{},"inputs":[{"name":"x","dtype":"f32","shape":[1],"data":["one"]})" + rest)),
      HasSubstr("inputs[0].data[0]: expected a number, got string"));
  EXPECT_THAT(error_of(golden_with_case(
                  R"("attrs":{},"inputs":[],"outputs":[],"upstream":[],"input_grads":[
                     {"name":"x","dtype":"f32","shape":[],"data":[1]}])")),
              HasSubstr("the gradient \"x\" to belong to a tensor"));
  EXPECT_EQ(load_op_golden("tests/goldens/ops/none.json").status().code(),
            absl::StatusCode::kNotFound);
}

TEST(GoldenFileTest, EveryCommittedFileLoads) {
  int files = 0, cases = 0, gradients = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    SCOPED_TRACE(entry.path().string());
    const absl::StatusOr<OpGolden> golden = load_op_golden(entry.path().string());
    ASSERT_TRUE(golden.ok()) << golden.status();
    EXPECT_EQ(golden->op, entry.path().stem().string());
    EXPECT_FALSE(golden->cases.empty());
    ++files;
    for (const OpCase& c : golden->cases) {
      EXPECT_FALSE(c.outputs.empty()) << c.name;
      EXPECT_EQ(c.upstream.empty(), c.input_grads.empty()) << c.name;
      for (const GoldenTensor& x : c.inputs) {
        if (x.dtype != "f32") continue;
        for (const double value : x.data) {
          if (std::isnan(value)) continue;
          EXPECT_EQ(static_cast<double>(static_cast<float>(value)), value)
              << c.name << " " << x.name;
        }
      }
      ++cases;
      gradients += !c.input_grads.empty();
    }
  }
  EXPECT_GE(files, 100);
  EXPECT_GE(cases, 350);
  EXPECT_GE(gradients, 250);
}

// Softmax and its gradient by hand: the inputs, outputs and gradients of a case belong together.
TEST(GoldenFileTest, SoftmaxAgreesWithItsDefinition) {
  const absl::StatusOr<OpGolden> golden = load_op_golden("tests/goldens/ops/softmax.json");
  ASSERT_TRUE(golden.ok()) << golden.status();
  int checked = 0;
  for (const OpCase& c : golden->cases) {
    if (c.attrs.integer("dim").value() != -1 || c.grad_of("x") == nullptr) continue;
    const GoldenTensor& x = *c.input("x");
    const std::vector<double>& y = c.output("y")->data;
    const std::vector<double>& upstream = c.upstream_of("y")->data;
    const std::vector<double>& grad = c.grad_of("x")->data;
    const int64_t n = x.shape.back();
    for (size_t row = 0; row < x.data.size(); row += n) {
      double largest = x.data[row], sum = 0, dot = 0;
      for (int64_t i = 0; i < n; ++i) largest = std::max(largest, x.data[row + i]);
      for (int64_t i = 0; i < n; ++i) sum += std::exp(x.data[row + i] - largest);
      for (int64_t i = 0; i < n; ++i) dot += upstream[row + i] * y[row + i];
      for (int64_t i = 0; i < n; ++i) {
        EXPECT_NEAR(y[row + i], std::exp(x.data[row + i] - largest) / sum, 1e-9);
        EXPECT_NEAR(grad[row + i], y[row + i] * (upstream[row + i] - dot), 1e-8);
      }
      ++checked;
    }
  }
  EXPECT_GE(checked, 4);
}

}  // namespace
}  // namespace modellib::goldens
