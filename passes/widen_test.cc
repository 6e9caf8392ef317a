#include "modellib/passes/widen.h"

#include <gtest/gtest.h>

#include "modellib/passes/pass_test_util.h"

namespace modellib {
namespace {

using testing::printed;
using testing::run_passes;

// Multiplies in f32 alone.
class OnlyF32 final : public testing::TestBackend {
 public:
  std::optional<DType> computes_in(const Graph& graph, const Graph::Node& node) const override {
    const bool narrow = graph.type(node.output(0)).dtype == DType::kF16;
    return node.op->name == "matmul" && narrow ? std::optional(DType::kF32) : std::nullopt;
  }
};

TEST(Widen, CastsOperandsAndResults) {
  const OnlyF32 backend;
  EXPECT_EQ(printed(run_passes({widen}, R"(graph "g" (x: f16[4,8], w: f16[8,8]) {
    p = matmul(x, w)
    y = relu(p)
    return y
  })",
                               &backend)),
            printed(R"(graph "g" (x: f16[4,8], w: f16[8,8]) {
    %0 = cast(x) {dtype: f32}
    %1 = cast(w) {dtype: f32}
    %2 = matmul(%0, %1)
    p = cast(%2) {dtype: f16}
    y = relu(p)
    return y
  })"));
}

TEST(Widen, LeavesWhatHasAKernel) {
  const OnlyF32 backend;
  constexpr char kText[] = R"(graph "g" (x: f32[4,8], w: f32[8,8], h: f16[4]) {
    p = matmul(x, w)
    y = relu(h)
    return p, y
  })";
  EXPECT_EQ(printed(run_passes({widen}, kText, &backend)), printed(kText));
}

}  // namespace
}  // namespace modellib
