#include "modellib/graph/drawing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "modellib/graph/testing_ops.h"
#include "modellib/graph/text.h"

namespace modellib {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Program sample() {
  return *parse_program(R"(
    graph "g" (x: f32[batch], q "say \"x\"": f32[batch]) {
      w: var f32[2] "fc.w"
      c = constant() {value: f32[2] [1, 2]}
      h = relu(x)  // encoder.layer0
      n = relu(h)  // node #3 'layer.1/Relu' (Relu)
      r = everything(h) {body: graph "inner" (in0: f32[batch]) { return relu(in0) }}  // encoder
      assign "fc.w" = c
      return y = r
    })",
                        testing::ops());
}

TEST(Drawing, ShowsScopesRegionsVariablesAndTypes) {
  const std::string dot = draw_dot(sample());
  for (const char* part :
       {"digraph", "label = \"encoder\"", "label = \"layer0\"",
        "label = \"node #3 'layer.1/Relu' (Relu)\"", "everything: body", "assign\\nfc.w",
        "g0n1 -> g0n3 [label = \"f32[batch]\"]", "say \\\"x\\\"", "g0v0 -> g0n1", "-> g0o0"}) {
    EXPECT_THAT(dot, HasSubstr(part));
  }
  EXPECT_EQ(std::count(dot.begin(), dot.end(), '{'), std::count(dot.begin(), dot.end(), '}'));
}

TEST(Drawing, LeavesOutWhatIsNotWanted) {
  const std::string dot = draw_dot(sample(), {.types = false, .constants = false});
  EXPECT_THAT(dot, Not(HasSubstr("constant")));
  EXPECT_THAT(dot, Not(HasSubstr("g0n0")));
  EXPECT_THAT(dot, HasSubstr("g0n1 -> g0n3;"));
}

}  // namespace
}  // namespace modellib
