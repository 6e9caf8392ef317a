// 500 random graphs on the CPU: what the reference computes, the same bits for 1, 2 and 4 workers,
// plans that verify_plan accepts.
#include <gtest/gtest.h>

#include "modellib/graph/builder.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/registry.h"
#include "modellib/tests/random_graphs/checks.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {
namespace {

constexpr uint64_t kGraphs = 500, kGroups = 20;

class RandomOnCpu : public testing::TestWithParam<uint64_t> {};

TEST_P(RandomOnCpu, EqualsTheReference) {
  for (uint64_t seed = GetParam(); seed < kGraphs; seed += kGroups) {
    const GraphCase c = random_graph(seed);
    for (const bool bounded : {false, true}) {
      const Check check = [&](const GraphCase& g) { return fault_on_cpu(g, bounded); };
      if (check(c).empty()) continue;
      ADD_FAILURE() << "graph " << seed << (bounded ? ", bounded: " : ": ")
                    << shrunk_failure(c, check);
      break;
    }
  }
}

// Found by a graph above: what lies beside an element, or beyond the end of a row, chose between
// two ways to compute its sine.
TEST(OnCpu, AnElementDoesNotDependOnItsNeighbours) {
  GraphBuilder b(builtin_ops());
  const Value x = b.input("x", {DType::kF32, {3, 5}});
  b.output("sin", sin(x));
  b.output("cos", cos(x));
  const GraphRef graph = *b.build();
  Tensor small = *Tensor::zeros(DType::kF32, {3, 5});
  Tensor mixed = *Tensor::zeros(DType::kF32, {3, 5});
  for (int64_t i = 0; i < 15; ++i) {
    small.set(i, 0.37 * static_cast<double>(i));
    mixed.set(i, i % 4 == 1 ? 1e6 : small.at(i));
  }
  const auto calm = run_on_cpu(graph, {small}), wild = run_on_cpu(graph, {mixed});
  ASSERT_TRUE(calm.ok() && wild.ok()) << calm.status() << wild.status();
  for (size_t out = 0; out < 2; ++out) {
    for (int64_t i = 0; i < 15; ++i) {
      if (i % 4 == 1) continue;
      EXPECT_EQ(calm->outputs[out].at(i), wild->outputs[out].at(i)) << out << " " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Groups, RandomOnCpu, testing::Range(uint64_t{0}, kGroups));

}  // namespace
}  // namespace modellib
