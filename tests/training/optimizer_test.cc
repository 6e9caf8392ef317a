// Options of optimizers, as they come to the graph.
#include "modellib/frontends/training/optimizer.h"

#include <gtest/gtest.h>

#include "modellib/graph/builder.h"
#include "modellib/ops/optimizers.h"
#include "modellib/ops/registry.h"

namespace modellib::training {
namespace {

// Of the one update that the optimizer emits.
AdamAttributes attributes_of(const Optimizer& optimizer) {
  GraphBuilder b(builtin_ops());
  const Value p = b.input("p", {DType::kF32, {3}}), lr = b.input("lr", {DType::kF32, {}});
  const OptimizerStep step{.lr = lr, .step = b.input("step", {DType::kI64, {}})};
  optimizer.update(p, {p, p}, p, step);
  EXPECT_TRUE(b.status().ok()) << b.status();
  return b.so_far().nodes().back().attributes.as<AdamAttributes>();
}

TEST(AdamW, DecaysUnlessToldNotTo) {
  EXPECT_EQ(attributes_of(AdamW()).weight_decay, 0.01);
  EXPECT_EQ(attributes_of(AdamW({.lr = 1e-4})).weight_decay, 0.01);
  EXPECT_EQ(attributes_of(AdamW({.weight_decay = 0})).weight_decay, 0.0);
  EXPECT_EQ(attributes_of(Adam({.lr = 1e-4})).weight_decay, 0.0);
}

TEST(AdamW, PassesItsOptionsOn) {
  const AdamW optimizer({.lr = 0.5, .beta1 = 0.25, .beta2 = 0.75, .eps = 0.125, .amsgrad = true});
  EXPECT_EQ(optimizer.learning_rate(), 0.5);
  EXPECT_EQ(optimizer.slots().size(), 3u);
  const AdamAttributes a = attributes_of(AdamW({.beta1 = 0.25, .beta2 = 0.75, .eps = 0.125}));
  EXPECT_EQ(a.beta1, 0.25);
  EXPECT_EQ(a.beta2, 0.75);
  EXPECT_EQ(a.eps, 0.125);
}

}  // namespace
}  // namespace modellib::training
