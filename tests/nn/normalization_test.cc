// Defaults, and running statistics of batches that have none of their own.
#include <gtest/gtest.h>

#include <vector>

#include "modellib/frontends/nn/nn.h"
#include "modellib/tests/op_table/evaluate.h"

namespace modellib::nn {
namespace {

struct Statistics {
  std::vector<double> mean, var;
};

// What they are after a training step on `x`, whose extents `type` leaves free; 0 and 1 before.
Statistics statistics_after(Module& layer, const TensorType& type, const Tensor& x) {
  layer.name_parameters();
  GraphBuilder b(builtin_ops());
  b.output("y", layer.forward(b.input("x", type)));
  const auto graph = b.build();
  EXPECT_TRUE(graph.ok()) << graph.status();
  const auto result = run_reference(*graph, {x},
                                    {{"weight", *Tensor::of<float>({2}, {1, 1})},
                                     {"bias", *Tensor::of<float>({2}, {0, 0})},
                                     {"running_mean", *Tensor::of<float>({2}, {0, 0})},
                                     {"running_var", *Tensor::of<float>({2}, {1, 1})}});
  EXPECT_TRUE(result.ok()) << result.status();
  if (!result.ok()) return {};
  return {numbers(result->assigned.at("running_mean")),
          numbers(result->assigned.at("running_var"))};
}

TEST(BatchNorm, ABatchOfOneValueDoesNotMoveTheVariance) {
  BatchNorm1d layer(2, {.momentum = 0.5});
  const TensorType type = {DType::kF32, {Dim::symbol("batch"), 2}};
  const Statistics two = statistics_after(layer, type, *Tensor::of<float>({2, 2}, {1, 0, 3, 4}));
  EXPECT_EQ(two.mean, (std::vector<double>{1, 1}));
  EXPECT_EQ(two.var, (std::vector<double>{1.5, 4.5}));
  const Statistics one = statistics_after(layer, type, *Tensor::of<float>({1, 2}, {1, 4}));
  EXPECT_EQ(one.mean, (std::vector<double>{0.5, 2}));
  EXPECT_EQ(one.var, (std::vector<double>{1, 1}));
  const Statistics none = statistics_after(layer, type, *Tensor::zeros(DType::kF32, {0, 2}));
  EXPECT_EQ(none.mean, (std::vector<double>{0, 0}));
  EXPECT_EQ(none.var, (std::vector<double>{1, 1}));
}

TEST(InstanceNorm, SamplesOfOneValueDoNotMoveTheVariance) {
  InstanceNorm1d layer(2, {.momentum = 0.5, .track_running_stats = true});
  const TensorType type = {DType::kF32, {2, 2, Dim::symbol("length")}};
  const Statistics one = statistics_after(layer, type, *Tensor::of<float>({2, 2, 1}, {1, 4, 3, 0}));
  EXPECT_EQ(one.mean, (std::vector<double>{1, 1}));
  EXPECT_EQ(one.var, (std::vector<double>{1, 1}));
}

TEST(InstanceNorm, LearnsAndGathersNothingUnlessToldSo) {
  const InstanceNorm2d plain(3), with_eps(3, {.eps = 1e-3});
  EXPECT_TRUE(plain.named_parameters().empty() && plain.named_buffers().empty());
  EXPECT_TRUE(with_eps.named_parameters().empty() && with_eps.named_buffers().empty());
  EXPECT_EQ(with_eps.options.eps, 1e-3);
  EXPECT_EQ(InstanceNorm2d(3, {.affine = true}).named_parameters().size(), 2u);
}

}  // namespace
}  // namespace modellib::nn
