#include "modellib/passes/freeze.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "modellib/ops/registry.h"
#include "modellib/passes/pass_test_util.h"

namespace modellib {
namespace {

absl::StatusOr<Tensor> two_numbers(const Variable&) {
  const float numbers[] = {3, 4};
  return Tensor::of<float>({2}, numbers);
}

TEST(Freeze, VariablesBecomeConstants) {
  const GraphRef graph = testing::graph_of(R"(graph "g" (x: f32[2]) {
    w: var f32[2] "w"
    y = mul(x, w)
    assign "w" = y
    return y
  })");
  const auto frozen = freeze(*graph, builtin_ops(), two_numbers);
  ASSERT_TRUE(frozen.ok()) << frozen.status();
  testing::expect_graph(*frozen, R"(graph "g" (x: f32[2]) {
    w = constant() {value: f32[2] [3, 4]}
    y = mul(x, w)
    return y
  })");
}

TEST(Freeze, NothingToDo) {
  const GraphRef graph = testing::graph_of("graph \"g\" (x: f32[2]) { return y = exp(x) }");
  const auto frozen =
      freeze(*graph, builtin_ops(), [](const Variable& v) -> absl::StatusOr<Tensor> {
        ADD_FAILURE() << "asks for " << v.name;
        return Tensor();
      });
  ASSERT_TRUE(frozen.ok()) << frozen.status();
  testing::expect_graph(*frozen, "graph \"g\" (x: f32[2]) { return y = exp(x) }");
}

TEST(Freeze, ContentMustFitAndBeThere) {
  const GraphRef graph = testing::graph_of(R"(graph "g" (x: f32[3]) {
    w: var f32[3] "w"
    return y = mul(x, w)
  })");
  const absl::Status wrong = freeze(*graph, builtin_ops(), two_numbers).status();
  EXPECT_EQ(wrong.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(wrong.message()),
              ::testing::HasSubstr("variable 'w' is f32[3], its content f32[2]"));
  const auto missing = [](const Variable&) -> absl::StatusOr<Tensor> {
    return absl::NotFoundError("no such variable");
  };
  EXPECT_EQ(freeze(*graph, builtin_ops(), missing).status(),
            absl::NotFoundError("no such variable"));
}

}  // namespace
}  // namespace modellib
