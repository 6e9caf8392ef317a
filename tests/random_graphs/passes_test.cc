// All passes together keep the meaning of 500 random graphs, after each of them, and so does each
// pass alone; and each has something to do.
#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "modellib/passes/pipeline.h"
#include "modellib/tests/random_graphs/checks.h"

namespace modellib {
namespace {

constexpr uint64_t kGraphs = 500, kGroups = 20;

struct Pipeline {
  std::vector<std::string> passes;
  double tolerance = 0;
};

std::vector<Pipeline> runs() {
  std::vector<Pipeline> all = {{default_pipeline()},
                               // These round on purpose.
                               {default_pipeline({"autocast-f16"}), 4e-2},
                               {default_pipeline({"autocast-bf16"}), 3e-1}};
  for (const Pass& pass : all_passes()) {
    if (!pass.optional) all.push_back({{pass.name}});
  }
  return all;
}

class RandomPasses : public testing::TestWithParam<uint64_t> {};

TEST_P(RandomPasses, KeepTheMeaning) {
  for (uint64_t seed = GetParam(); seed < kGraphs; seed += kGroups) {
    const GraphCase c = random_graph(seed);
    for (const Pipeline& run : runs()) {
      const Check check = [&](const GraphCase& g) {
        return fault_of_passes(g, run.passes, run.tolerance);
      };
      if (check(c).empty()) continue;
      ADD_FAILURE() << "graph " << seed << ": " << shrunk_failure(c, check);
      break;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Groups, RandomPasses, testing::Range(uint64_t{0}, kGroups));

// A pass that never changes a graph would pass any test above.
TEST(RandomPassesTogether, EachPassHasSomethingToDo) {
  std::map<std::string, int64_t> changes;
  // A third of the graphs each: products in f16 leave nothing for bf16, nor for epilogues.
  const std::vector<std::string> pipelines[] = {
      default_pipeline(), default_pipeline({"autocast-f16"}), default_pipeline({"autocast-bf16"})};
  for (uint64_t seed = 0; seed < kGraphs; ++seed) {
    for (const auto& [pass, count] : changes_by_pass(random_graph(seed), pipelines[seed % 3])) {
      changes[pass] += count;
    }
  }
  for (const Pass& pass : all_passes()) {
    std::printf("%-16s changed %3lld of 500 graphs\n", pass.name,
                static_cast<long long>(changes[pass.name]));
    // Numbering anew is no change of a graph; what it brings is shown by OrderAndNamesDoNotShow.
    if (std::string(pass.name) != "order") EXPECT_GT(changes[pass.name], 0) << pass.name;
  }
}

}  // namespace
}  // namespace modellib
