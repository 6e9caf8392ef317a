// Every pass, and all of them together, keep the meaning of 500 random graphs.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "modellib/passes/pipeline.h"
#include "modellib/tests/random_graphs/checks.h"

namespace modellib {
namespace {

constexpr uint64_t kGraphs = 500, kGroups = 20;

class RandomPasses : public testing::TestWithParam<uint64_t> {};

TEST_P(RandomPasses, KeepTheMeaning) {
  std::vector<std::vector<std::string>> runs = {default_pipeline()};
  for (const Pass& pass : all_passes()) {
    // The optional ones round on purpose; they have tests of their own.
    if (!pass.optional) runs.push_back({pass.name});
  }
  for (uint64_t seed = GetParam(); seed < kGraphs; seed += kGroups) {
    const GraphCase c = random_graph(seed);
    for (const std::vector<std::string>& passes : runs) {
      const Check check = [&](const GraphCase& g) { return fault_of_passes(g, passes); };
      if (check(c).empty()) continue;
      ADD_FAILURE() << "graph " << seed << ": " << shrunk_failure(c, check);
      break;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Groups, RandomPasses, testing::Range(uint64_t{0}, kGroups));

}  // namespace
}  // namespace modellib
