#include "modellib/tests/op_table/golden_check.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/ops/gradients.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/shape.h"
#include "modellib/tests/op_table/samples.h"

namespace modellib {
namespace {

Tensor tensor_of(const goldens::GoldenTensor& t, DType real) {
  const DType dtype = t.dtype == "f32" ? real : *parse_dtype(t.dtype);
  Tensor tensor = *Tensor::zeros(dtype, t.shape);
  for (size_t i = 0; i < t.data.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    if (is_floating(dtype)) {
      tensor.set(at, t.data[i]);
    } else {
      tensor.set_int(at, static_cast<int64_t>(t.data[i]));
    }
  }
  return tensor;
}

template <class T>
T checked(const absl::StatusOr<T>& value) {
  EXPECT_TRUE(value.ok()) << value.status();
  return value.ok() ? *value : T();
}

}  // namespace

GoldenCall::GoldenCall(GraphBuilder& builder, const goldens::OpCase& golden, DType real)
    : builder_(builder), golden_(golden) {
  for (const goldens::GoldenTensor& t : golden.inputs) {
    const DType dtype = t.dtype == "f32" ? real : *parse_dtype(t.dtype);
    names_.push_back(t.name);
    values_.push_back(builder.input(t.name, {dtype, Shape(t.shape.begin(), t.shape.end())}));
  }
}

Value GoldenCall::in(const std::string& name) {
  const auto found = std::find(names_.begin(), names_.end(), name);
  return found == names_.end() ? Value() : values_[static_cast<size_t>(found - names_.begin())];
}
double GoldenCall::real(const std::string& name) const { return checked(attrs().real(name)); }
int64_t GoldenCall::integer(const std::string& name) const {
  return checked(attrs().integer(name));
}
bool GoldenCall::flag(const std::string& name) const { return checked(attrs().flag(name)); }
std::string GoldenCall::text(const std::string& name) const { return checked(attrs().text(name)); }
std::vector<int64_t> GoldenCall::integers(const std::string& name) const {
  return checked(attrs().integers(name));
}

// One case in one precision.
class GoldenCheck {
 public:
  static void run(const GoldenEntry& entry, const goldens::OpCase& golden, DType real) {
    SCOPED_TRACE(absl::StrCat(entry.file, "/", golden.name, " in ", to_string(real)));
    const double tolerance = real == DType::kF64 ? entry.tolerance_f64 : entry.tolerance_f32;
    GraphBuilder b(builtin_ops(), entry.file);
    GoldenCall call(b, golden, real);
    const std::vector<Value> outputs = entry.build(call);
    ASSERT_EQ(b.status(), absl::OkStatus());
    ASSERT_EQ(outputs.size(), golden.outputs.size());

    std::vector<const goldens::GoldenTensor*> expected;
    std::vector<Value> upstream;
    for (size_t i = 0; i < outputs.size(); ++i) {
      const goldens::GoldenTensor* flowing = golden.upstream_of(golden.outputs[i].name);
      upstream.push_back(flowing == nullptr ? Value() : b.constant(tensor_of(*flowing, real)));
      if (outputs[i].is_null()) continue;
      b.output(golden.outputs[i].name, outputs[i]);
      expected.push_back(&golden.outputs[i]);
    }
    std::vector<Value> wrt;
    for (const goldens::GoldenTensor& g : golden.input_grads) wrt.push_back(call.in(g.name));
    std::vector<Value> gradients = vjp(b, outputs, upstream, wrt);
    for (size_t i = 0; i < wrt.size(); ++i) {
      if (gradients[i].is_null()) gradients[i] = zeros_like(wrt[i]);
      b.output(absl::StrCat("gradient of ", golden.input_grads[i].name), gradients[i]);
      expected.push_back(&golden.input_grads[i]);
    }
    const absl::StatusOr<GraphRef> graph = b.build();
    ASSERT_TRUE(graph.ok()) << graph.status();

    std::vector<Tensor> inputs;
    for (const goldens::GoldenTensor& t : golden.inputs) inputs.push_back(tensor_of(t, real));
    const auto result = run_reference(*graph, inputs);
    ASSERT_TRUE(result.ok()) << result.status();
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(difference(result->outputs[i], tensor_of(*expected[i], real), tolerance), "")
          << (*graph)->outputs()[i].name;
    }
  }
};

void check_golden(const GoldenEntry& entry) {
  const auto golden =
      goldens::load_op_golden(absl::StrCat("tests/goldens/ops/", entry.file, ".json"));
  ASSERT_TRUE(golden.ok()) << golden.status();
  ASSERT_FALSE(golden->cases.empty());
  for (const goldens::OpCase& c : golden->cases) {
    if (std::find(entry.skip.begin(), entry.skip.end(), c.name) != entry.skip.end()) continue;
    GoldenCheck::run(entry, c, DType::kF64);
    GoldenCheck::run(entry, c, DType::kF32);
  }
}

}  // namespace modellib
