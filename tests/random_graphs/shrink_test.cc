#include "modellib/tests/random_graphs/shrink.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "modellib/graph/op_def.h"

namespace modellib {
namespace {

std::string has_op(const GraphCase& c, absl::string_view op) {
  for (const Graph::Node& node : c.graph->nodes()) {
    if (node.op->name == op) return "it is there";
  }
  return "";
}

// A check that only one op fails: what remains is this op, with inputs as operands.
TEST(Shrink, LeavesTheCulprit) {
  int found = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const GraphCase c = random_graph(seed);
    const Check check = [](const GraphCase& g) { return has_op(g, "gather"); };
    if (check(c).empty()) continue;
    ++found;
    const GraphCase small = shrink(c, check);
    EXPECT_FALSE(check(small).empty());
    int nodes = 0;
    for (const Graph::Node& node : small.graph->nodes()) nodes += node.op->name != "constant";
    EXPECT_EQ(nodes, 1) << shrunk_failure(c, check);
    EXPECT_TRUE(run_reference(small.graph, small.inputs, small.variables).ok());
    EXPECT_TRUE(absl::StrContains(shrunk_failure(c, check), "it is there\nin\ngraph"));
  }
  EXPECT_GT(found, 5);
}

}  // namespace
}  // namespace modellib
