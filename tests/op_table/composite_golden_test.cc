// The composites against PyTorch: a row for each golden file.
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "modellib/ops/activations.h"
#include "modellib/ops/attention.h"
#include "modellib/ops/batch_norm.h"
#include "modellib/ops/embedding.h"
#include "modellib/ops/linear.h"
#include "modellib/ops/losses.h"
#include "modellib/ops/normalization.h"
#include "modellib/ops/optimizers.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/recurrent.h"
#include "modellib/ops/shape.h"
#include "modellib/ops/softmax.h"
#include "modellib/ops/statistics.h"
#include "modellib/tests/op_table/golden_check.h"

namespace modellib {
namespace {

using Values = std::vector<Value>;

// A function of input "x" alone.
GoldenBuild of_x(Value (*f)(Value)) {
  return [f](GoldenCall& c) { return Values{f(c.in("x"))}; };
}
// A loss of "input" and "target".
template <class F>
GoldenBuild of_pair(F f) {
  return [f](GoldenCall& c) { return Values{f(c, c.in("input"), c.in("target"))}; };
}
GoldenBuild variance_of(double correction) {
  return [correction](GoldenCall& c) {
    return Values{variance(
        c.in("x"),
        {.axes = c.integers("dim"), .keepdims = c.flag("keepdim"), .correction = correction})};
  };
}

RecurrentWeights weights(GoldenCall& c) {
  return {c.in("weight_ih"), c.in("weight_hh"), c.in("bias_ih"), c.in("bias_hh")};
}

Values batch_norm(GoldenCall& c) {
  const BatchNormAttributes attributes{c.real("eps")};
  const RunningStatistics running{c.in("running_mean"), c.in("running_var")};
  const Value x = c.in("x"), weight = c.in("weight"), bias = c.in("bias");
  if (!c.flag("training")) {
    const Value y = batch_norm_inference(x, running.mean, running.var, weight, bias, attributes);
    return {y, running.mean, running.var};
  }
  const BatchNormOutputs batch = batch_norm_training(x, weight, bias, attributes);
  const RunningStatistics next = update_running_statistics(running, batch, x, c.real("momentum"));
  return {batch.y, next.mean, next.var};
}

Values attention_case(GoldenCall& c) {
  AttentionAttributes attributes{.is_causal = c.flag("is_causal")};
  if (c.attrs().has("scale")) attributes.scale = c.real("scale");
  return {attention(c.in("query"), c.in("key"), c.in("value"), attributes,
                    {.mask = c.in("attn_mask"), .lengths = {}, .key = {}})};
}

Values cross_entropy_case(GoldenCall& c) {
  return {cross_entropy(c.in("logits"), c.in("target"), c.in("weight"),
                        {.ignore_index = c.integer("ignore_index"),
                         .reduction = c.text("reduction"),
                         .label_smoothing = c.real("label_smoothing")})};
}

// The golden's optimizers take five steps; the slots come after the last.
constexpr int kSteps = 5;
template <class F>
Values five_steps(GoldenCall& c, F update) {
  Values trace;
  for (int i = 0; i < kSteps; ++i) {
    const Value grad = squeeze(slice_axis(c.in("grads"), 0, i, i + 1), {0});
    const OptimizerStep step{.lr = c.builder().scalar(c.real("lr"), grad.dtype()),
                             .step = c.builder().scalar(i + 1, DType::kI64),
                             .ok = {},
                             .scale = {}};
    trace.push_back(update(grad, step));
  }
  return {stack(trace, 0)};
}

Values sgd(GoldenCall& c) {
  const SgdAttributes attributes{c.real("momentum"), c.real("dampening"), c.real("weight_decay"),
                                 c.flag("nesterov")};
  SgdSlots slots{c.in("param")};
  if (attributes.momentum != 0) slots.momentum_buffer = zeros_like(slots.param);
  Values outputs = five_steps(c, [&](Value grad, const OptimizerStep& step) {
    slots = sgd_update(slots, grad, step, attributes);
    return slots.param;
  });
  if (attributes.momentum != 0) outputs.push_back(slots.momentum_buffer);
  return outputs;
}

template <AdamSlots (*update)(const AdamSlots&, Value, const OptimizerStep&, AdamAttributes, Value)>
Values adam(GoldenCall& c) {
  const AdamAttributes attributes{c.real("beta1"), c.real("beta2"), c.real("eps"),
                                  c.real("weight_decay")};
  const Value zeros = zeros_like(c.in("param"));
  AdamSlots slots{c.in("param"), zeros, zeros};
  if (c.flag("amsgrad")) slots.max_exp_avg_sq = zeros;
  Values outputs = five_steps(c, [&](Value grad, const OptimizerStep& step) {
    slots = update(slots, grad, step, attributes, {});
    return slots.param;
  });
  outputs.insert(outputs.end(), {slots.exp_avg, slots.exp_avg_sq});
  if (c.flag("amsgrad")) outputs.push_back(slots.max_exp_avg_sq);
  return outputs;
}

const std::vector<GoldenEntry>& entries() {
  static const auto* const all = new std::vector<GoldenEntry>{
      {"gelu", [](GoldenCall& c) { return Values{gelu(c.in("x"), {c.text("approximate")})}; }},
      {"silu", of_x(silu)},
      {"mish", of_x(mish)},
      {"selu", of_x(selu)},
      {"softsign", of_x(softsign)},
      {"log_sigmoid", of_x(log_sigmoid)},
      {"hard_sigmoid", of_x(hard_sigmoid)},
      {"hardswish", of_x(hard_swish)},
      {"relu6", of_x(relu6)},
      {"elu", [](GoldenCall& c) { return Values{elu(c.in("x"), {c.real("alpha")})}; }},
      {"leaky_relu",
       [](GoldenCall& c) { return Values{leaky_relu(c.in("x"), {c.real("negative_slope")})}; }},
      {"softplus",
       [](GoldenCall& c) {
         return Values{softplus(c.in("x"), {c.real("beta"), c.real("threshold")})};
       }},
      {"hard_tanh",
       [](GoldenCall& c) {
         return Values{hard_tanh(c.in("x"), {c.real("min_val"), c.real("max_val")})};
       }},
      {"clamp",
       [](GoldenCall& c) {
         ClampAttributes limits;
         if (c.attrs().has("min")) limits.min = c.real("min");
         if (c.attrs().has("max")) limits.max = c.real("max");
         return Values{clamp(c.in("x"), limits)};
       }},
      {"softmax", [](GoldenCall& c) { return Values{softmax(c.in("x"), {c.integer("dim")})}; }},
      {"log_softmax",
       [](GoldenCall& c) { return Values{log_softmax(c.in("x"), {c.integer("dim")})}; }},
      {"logsumexp",
       [](GoldenCall& c) {
         return Values{logsumexp(c.in("x"), {c.integers("dim"), c.flag("keepdim")})};
       }},
      {"var_sample", variance_of(1)},
      {"var_population", variance_of(0)},
      {"layer_norm",
       [](GoldenCall& c) {
         const auto rank = static_cast<int64_t>(c.integers("normalized_shape").size());
         return Values{layer_norm(c.in("x"), c.in("weight"), c.in("bias"), {rank, c.real("eps")})};
       }},
      {"rms_norm",
       [](GoldenCall& c) {
         const auto rank = static_cast<int64_t>(c.integers("normalized_shape").size());
         return Values{rms_norm(c.in("x"), c.in("weight"), {rank, c.real("eps")})};
       }},
      {"group_norm",
       [](GoldenCall& c) {
         return Values{group_norm(c.in("x"), c.in("weight"), c.in("bias"),
                                  {c.integer("num_groups"), c.real("eps")})};
       }},
      {"batch_norm", batch_norm},
      {"scaled_dot_product_attention", attention_case},
      {"linear",
       [](GoldenCall& c) { return Values{linear(c.in("x"), c.in("weight"), c.in("bias"))}; }},
      {"embedding",
       [](GoldenCall& c) {
         EmbeddingAttributes attributes;
         if (c.attrs().has("padding_idx")) attributes.padding_idx = c.integer("padding_idx");
         return Values{embedding(c.in("weight"), c.in("indices"), attributes)};
       }},
      {"lstm_cell",
       [](GoldenCall& c) {
         const LstmState next = lstm_cell(c.in("x"), {c.in("h0"), c.in("c0")}, weights(c));
         return Values{next.h, next.c};
       }},
      {"gru_cell",
       [](GoldenCall& c) { return Values{gru_cell(c.in("x"), c.in("h0"), weights(c))}; }},
      {"rnn_cell",
       [](GoldenCall& c) { return Values{rnn_cell(c.in("x"), c.in("h0"), weights(c))}; }},
      {"cross_entropy", cross_entropy_case},
      {"nll_loss",
       [](GoldenCall& c) {
         return Values{nll_loss(c.in("log_probs"), c.in("target"), c.in("weight"),
                                {c.integer("ignore_index"), c.text("reduction")})};
       }},
      {"mse_loss", of_pair([](GoldenCall& c, Value x, Value t) {
         return mse_loss(x, t, c.text("reduction"));
       })},
      {"l1_loss",
       of_pair([](GoldenCall& c, Value x, Value t) { return l1_loss(x, t, c.text("reduction")); })},
      {"smooth_l1_loss", of_pair([](GoldenCall& c, Value x, Value t) {
         return smooth_l1_loss(x, t, c.real("beta"), c.text("reduction"));
       })},
      {"huber_loss", of_pair([](GoldenCall& c, Value x, Value t) {
         return huber_loss(x, t, c.real("delta"), c.text("reduction"));
       })},
      {"kl_div",
       of_pair([](GoldenCall& c, Value x, Value t) { return kl_div(x, t, c.text("reduction")); })},
      {"binary_cross_entropy",
       [](GoldenCall& c) {
         return Values{
             binary_cross_entropy(c.in("probs"), c.in("target"), {}, c.text("reduction"))};
       }},
      {"binary_cross_entropy_with_logits",
       [](GoldenCall& c) {
         return Values{binary_cross_entropy_with_logits(
             c.in("logits"), c.in("target"), {}, c.in("pos_weight"),
             c.attrs().has("reduction") ? c.text("reduction") : "none")};
       }},
      {"sgd", sgd},
      {"adam", adam<adam_update>},
      {"adamw", adam<adamw_update>},
  };
  return *all;
}

class CompositeGolden : public testing::TestWithParam<GoldenEntry> {};

TEST_P(CompositeGolden, ValuesAndGradientsArePyTorchs) { check_golden(GetParam()); }

INSTANTIATE_TEST_SUITE_P(File, CompositeGolden, testing::ValuesIn(entries()),
                         [](const auto& info) { return info.param.file; });

}  // namespace

// For gtest's messages: a std::function has no text.
std::ostream& operator<<(std::ostream& out, const GoldenEntry& e) { return out << e.file; }

}  // namespace modellib
