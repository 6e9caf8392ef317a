// First values from named tensors.
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "modellib/frontends/nn/nn.h"
#include "modellib/tests/op_table/evaluate.h"

namespace modellib::nn {
namespace {

// 0, 1, 2, … from `start`.
Tensor counting(std::vector<int64_t> shape, float start = 0) {
  std::vector<float> values(static_cast<size_t>(*checked_elements(DType::kF32, shape)));
  std::iota(values.begin(), values.end(), start);
  return *Tensor::of<float>(shape, values);
}

std::vector<double> first_value(const Parameter& p) {
  GraphBuilder b(builtin_ops());
  return numbers_of(b, p.initializer()(b, b.scalar(0, DType::kI64),
                                       {p.dtype(), Shape(p.shape().begin(), p.shape().end())}));
}

TEST(LoadState, GivesParametersAndBuffersTheirFirstValues) {
  Sequential net(Linear(2, 3), BatchNorm1d(3));
  ASSERT_EQ(load_state(net, {{"0.weight", counting({3, 2})},
                             {"0.bias", counting({3}, 10)},
                             {"1.weight", counting({3}, 20)},
                             {"1.bias", counting({3}, 30)},
                             {"1.running_mean", counting({3}, 40)},
                             {"1.running_var", counting({3}, 50)},
                             {"1.num_batches_tracked", Tensor::scalar<int64_t>(7)}}),
            absl::OkStatus());
  EXPECT_EQ(first_value(net.named_parameters()[0].second), (std::vector<double>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(first_value(net.named_buffers()[1].second), (std::vector<double>{50, 51, 52}));
}

TEST(LoadState, SplitsStackedProjections) {
  struct Holder : Module {
    Holder() : attention(2, 1) { register_module("attention", attention); }
    MultiHeadAttention attention;
  } holder;
  ASSERT_EQ(load_state(holder, {{"attention.in_proj_weight", counting({6, 2})},
                                {"attention.in_proj_bias", counting({6}, 100)},
                                {"attention.out_proj.weight", counting({2, 2})},
                                {"attention.out_proj.bias", counting({2})}}),
            absl::OkStatus());
  EXPECT_EQ(first_value(holder.attention.k_proj.weight), (std::vector<double>{4, 5, 6, 7}));
  EXPECT_EQ(first_value(holder.attention.v_proj.bias), (std::vector<double>{104, 105}));
}

TEST(LoadState, TakesATiedWeightUnderAnyOfItsNames) {
  struct Tied : Module {
    Tied() : wte(3, 2), head(2, 3, false) {
      register_module("wte", wte);
      register_module("head", head);
      head.weight = wte.weight;
    }
    Embedding wte;
    Linear head;
  };
  const std::vector<double> expected = {5, 6, 7, 8, 9, 10};
  for (const StateDict& state :
       {StateDict{{"wte.weight", counting({3, 2}, 5)}},
        StateDict{{"head.weight", counting({3, 2}, 5)}},
        StateDict{{"wte.weight", counting({3, 2}, 5)}, {"head.weight", counting({3, 2}, 5)}}}) {
    Tied model;
    ASSERT_EQ(load_state(model, state), absl::OkStatus());
    EXPECT_EQ(first_value(model.wte.weight), expected);
    EXPECT_EQ(first_value(model.head.weight), expected);
  }
  Tied model;
  const std::vector<double> before = first_value(model.wte.weight);
  const absl::Status status =
      load_state(model, {{"wte.weight", counting({3, 2})}, {"head.weight", counting({3, 2}, 1)}});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(status.message(), "'head.weight' is tied to 'wte.weight'"))
      << status;
  EXPECT_EQ(first_value(model.wte.weight), before);
  EXPECT_TRUE(absl::StrContains(load_state(model, {}).message(), "'wte.weight' is missing"));
}

TEST(LoadState, ListsAllFaultsAndChangesNothing) {
  Sequential net(Linear(2, 3), Linear(3, 1));
  const std::vector<double> before = first_value(net.named_parameters()[0].second);
  const absl::Status status = load_state(net, {{"0.weight", counting({3, 2})},
                                               {"0.bias", counting({4})},
                                               {"1.weight", counting({1, 3})},
                                               {"2.weight", counting({1})}});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  for (const char* part : {"'0.bias' is f32[4], expected f32[3]", "'1.bias' is missing: f32[1]",
                           "'2.weight' is unknown"}) {
    EXPECT_TRUE(absl::StrContains(status.message(), part)) << status;
  }
  EXPECT_EQ(first_value(net.named_parameters()[0].second), before);
}

TEST(LoadState, RefusesAProjectionThatIsGivenTwice) {
  MultiHeadAttention attention(2, 1, 0.0, false);
  const absl::Status status = load_state(attention, {{"in_proj_weight", counting({6, 2})},
                                                     {"q_proj.weight", counting({2, 2}, 50)},
                                                     {"out_proj.weight", counting({2, 2})}});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(status.message(), "both 'in_proj_weight' and 'q_proj.weight'"))
      << status;
}

TEST(LoadState, RefusesWhatCannotBeSplit) {
  MultiHeadAttention attention(2, 1, 0.0, false);
  const absl::Status status = load_state(
      attention, {{"in_proj_weight", counting({5, 2})}, {"out_proj.weight", counting({2, 2})}});
  EXPECT_TRUE(absl::StrContains(status.message(), "in_proj_weight cannot be split")) << status;
}

}  // namespace
}  // namespace modellib::nn
