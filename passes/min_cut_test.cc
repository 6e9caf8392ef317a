#include "modellib/passes/min_cut.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <utility>

namespace modellib {
namespace {

TEST(MinCut, CutsWhereItIsCheapest) {
  MinCut cut;
  const int a = cut.add_node(), b = cut.add_node(), c = cut.add_node();
  cut.add_edge(cut.source(), a, 10);
  cut.add_edge(a, b, 3);
  cut.add_edge(b, c, 7);
  cut.add_edge(c, cut.sink(), MinCut::kInfinite);
  const std::vector<bool> side = cut.source_side();
  EXPECT_TRUE(side[static_cast<size_t>(a)]);
  EXPECT_FALSE(side[static_cast<size_t>(b)]);
  EXPECT_FALSE(side[static_cast<size_t>(c)]);
}

TEST(MinCut, KeepsTheSourcesSideSmall) {
  MinCut cut;
  const int a = cut.add_node();
  cut.add_edge(cut.source(), a, 5);
  cut.add_edge(a, cut.sink(), 5);
  EXPECT_FALSE(cut.source_side()[static_cast<size_t>(a)]);
}

// Against all ways to split, on random networks.
TEST(MinCut, IsTheCheapestOfAllSplits) {
  std::mt19937 rng(1);
  for (int round = 0; round < 200; ++round) {
    const int nodes = 1 + static_cast<int>(rng() % 7);
    MinCut cut;
    for (int i = 0; i < nodes; ++i) cut.add_node();
    struct Edge {
      int from, to;
      int64_t cost;
    };
    std::vector<Edge> edges;
    for (int i = 0; i < 3 * nodes; ++i) {
      const Edge e = {static_cast<int>(rng() % static_cast<uint32_t>(nodes + 2)),
                      static_cast<int>(rng() % static_cast<uint32_t>(nodes + 2)),
                      static_cast<int64_t>(rng() % 9)};
      if (e.from == e.to) continue;
      edges.push_back(e);
      cut.add_edge(e.from, e.to, e.cost);
    }
    const auto cost = [&](const auto& side) {
      int64_t sum = 0;
      for (const Edge& e : edges) sum += side(e.from) && !side(e.to) ? e.cost : 0;
      return sum;
    };
    int64_t best = MinCut::kInfinite;
    for (int mask = 0; mask < 1 << nodes; ++mask) {
      best = std::min(best, cost([&](int n) { return n == 0 || (n > 1 && mask >> (n - 2) & 1); }));
    }
    const std::vector<bool> side = cut.source_side();
    EXPECT_TRUE(side[0]);
    EXPECT_FALSE(side[1]);
    EXPECT_EQ(cost([&](int n) { return side[static_cast<size_t>(n)]; }), best);
  }
}

}  // namespace
}  // namespace modellib
