// Layers that drop: what they drop as a whole, call sites, and evaluation.
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "modellib/frontends/nn/nn.h"
#include "modellib/frontends/nn/random_state.h"
#include "modellib/ops/shape.h"
#include "modellib/tests/op_table/evaluate.h"

namespace modellib::nn {
namespace {

class DropoutLayers : public testing::Test {
 protected:
  void SetUp() override {
    b_.assign(random_seed(), b_.scalar(11, DType::kI64));
    b_.assign(step_count(), b_.scalar(2, DType::kI64));
  }
  Value ones(std::vector<int64_t> shape) {
    const int64_t count = *checked_elements(DType::kF32, shape);
    return constant(b_, DType::kF32, shape, std::vector<double>(static_cast<size_t>(count), 1.0));
  }
  // Of [a, b, c], the distinct values of each block of the last `block` elements.
  std::vector<std::set<double>> blocks(Value y, size_t block) {
    const std::vector<double> all = numbers_of(b_, y);
    std::vector<std::set<double>> sets;
    for (size_t i = 0; i < all.size(); i += block) {
      sets.emplace_back(all.begin() + static_cast<std::ptrdiff_t>(i),
                        all.begin() + static_cast<std::ptrdiff_t>(i + block));
    }
    return sets;
  }
  GraphBuilder b_{builtin_ops()};
};

void expect_whole(const std::vector<std::set<double>>& blocks, double kept) {
  std::set<double> seen;
  for (const auto& block : blocks) {
    EXPECT_EQ(block.size(), 1u);
    seen.insert(block.begin(), block.end());
  }
  EXPECT_EQ(seen, (std::set<double>{0.0, kept}));
}

TEST_F(DropoutLayers, Dropout2dDropsChannels) {
  expect_whole(blocks(Dropout2d(0.5).forward(ones({4, 8, 3, 2})), 6), 2.0);
}
TEST_F(DropoutLayers, DropPathDropsSamples) {
  expect_whole(blocks(DropPath(0.5).forward(ones({32, 3})), 3), 2.0);
}
TEST_F(DropoutLayers, DropPathNeedNotScale) {
  expect_whole(blocks(DropPath(0.5, false).forward(ones({32, 3})), 3), 1.0);
}
TEST_F(DropoutLayers, StochasticDepthByRowDropsSamples) {
  expect_whole(blocks(StochasticDepth(0.5).forward(ones({32, 3})), 3), 2.0);
}
TEST_F(DropoutLayers, StochasticDepthByBatchDropsAllOrNothing) {
  std::vector<Value> calls;
  StochasticDepth depth(0.5, StochasticDepth::Mode::kBatch);
  for (int i = 0; i < 24; ++i) calls.push_back(depth.forward(ones({4, 3})));
  expect_whole(blocks(stack(calls, 0), 12), 2.0);
}
TEST_F(DropoutLayers, AlphaDropoutKeepsTwoValues) {
  const auto values = blocks(AlphaDropout(0.5).forward(ones({64})), 64);
  EXPECT_EQ(values.at(0).size(), 2u);
}

TEST_F(DropoutLayers, OneModuleUsedTwiceDrawsTwice) {
  Dropout dropout(0.5);
  const Value x = ones({64});
  const auto results = evaluate(b_, {dropout.forward(x), dropout.forward(x)});
  ASSERT_EQ(results.size(), 2u);
  EXPECT_FALSE(results[0].identical(results[1]));
}

TEST_F(DropoutLayers, EvaluationAndProbabilityZeroAddNoNode) {
  const Value x = ones({4, 3, 2});
  Sequential all(Dropout(0.5), Dropout2d(0.5), AlphaDropout(0.5), DropPath(0.5),
                 StochasticDepth(0.5));
  all.eval();
  EXPECT_EQ(all.forward(x), x);
  Sequential none(Dropout(0.0), Dropout2d(0.0), AlphaDropout(0.0), DropPath(), StochasticDepth(0));
  EXPECT_EQ(none.forward(x), x);
}

// The layer norms then see the input alone.
TEST_F(DropoutLayers, TransformerLayersMayDropAll) {
  TransformerEncoderLayer layer(4, 2, {.dim_feedforward = 8, .dropout = 1.0});
  layer.name_parameters();
  const Value y = layer.forward(ones({3, 2, 4}));
  EXPECT_FALSE(y.is_poisoned());
  EXPECT_TRUE(b_.status().ok()) << b_.status();
}

}  // namespace
}  // namespace modellib::nn
