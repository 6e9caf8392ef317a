#include "modellib/ops/losses.h"

#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/activations.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/families.h"
#include "modellib/ops/index.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"
#include "modellib/ops/statistics.h"
#include "modellib/ops/sum_to.h"

namespace modellib {
namespace {

// binary_cross_entropy(p, target) -> loss, element by element. An op for the sake of its gradient:
// that of the clamped logarithms would be 0 · inf at p = 0 and 1.

absl::Status infer_bce(InferenceContext& c) {
  MODELLIB_RETURN_IF_ERROR(require_same_dtype(c, 0, 1));
  MODELLIB_RETURN_IF_ERROR(require_shape(c, 1, c.input(0).shape, "the target"));
  return infer_same_real(c);
}

struct Logarithms {
  explicit Logarithms(Value p)
      : of_p(maximum(log(p), -100.0)), of_rest(maximum(log1p(neg(p)), -100.0)) {}
  Value of_p, of_rest;
};

std::vector<Value> decompose_bce(OpCall& c) {
  const Value p = widened(c.in(0)), t = widened(c.in(1));
  const Logarithms logs(p);
  return {as_dtype((t - 1.0) * logs.of_rest - t * logs.of_p, c.in(0).dtype())};
}

std::vector<Value> bce_gradient(OpCall& c, absl::Span<const Value> gradients) {
  const Value p = widened(c.in(0)), t = widened(c.in(1)), g = widened(gradients[0]);
  const Logarithms logs(p);
  const Value dp = g * (p - t) / maximum(p * (1.0 - p), 1e-12);
  return {as_dtype(dp, c.in(0).dtype()), as_dtype(g * (logs.of_rest - logs.of_p), c.in(1).dtype())};
}

std::vector<OpSample> bce_samples() {
  const auto sample = [](const char* name, TensorType type, double tolerance = 1e-5) {
    OpSample s;
    s.name = name;
    s.inputs = {type, type};
    s.low = 0.05, s.high = 0.95;
    s.tolerance = tolerance;
    return s;
  };
  std::vector<OpSample> samples = {sample("f32", f32({3, 37})), sample("f16", f16({2, 9}), 2e-3),
                                   sample("symbolic", f32({Dim::symbol("batch"), 5}))};
  samples.back().binding = {{"batch", 3}};
  return samples;
}

// `loss` times `factor`, which broadcasts against it but does not make it larger. A null factor: 1.
Value weighed(Value loss, Value factor, absl::string_view what) {
  if (factor.is_null()) return loss;
  return with_shape(loss * as_dtype(factor, loss.dtype()), loss.shape(), what);
}

absl::Status require_one_rank(absl::string_view function, const Value& a, const Value& b,
                              const Value& c) {
  if (a.rank() == b.rank() && a.rank() == c.rank()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(function, ": operands must be of one rank, are ",
                                                 to_string(a.type()), ", ", to_string(b.type()),
                                                 " and ", to_string(c.type())));
}

}  // namespace

std::vector<OpDef> loss_ops() {
  OpDef bce = composite("binary_cross_entropy", 2, 2, infer_bce, decompose_bce, bce_samples);
  bce.pointwise = true;
  bce.differentiable = OpDef::Gradient::kRule;
  bce.gradient = bce_gradient;
  return {bce};
}

Value mse_loss(Value input, Value target, absl::string_view reduction) {
  return reduced(square(widened(input) - widened(target)), reduction, "mse_loss");
}

Value l1_loss(Value input, Value target, absl::string_view reduction) {
  return reduced(abs(widened(input) - widened(target)), reduction, "l1_loss");
}

Value smooth_l1_loss(Value input, Value target, double beta, absl::string_view reduction) {
  if (!usable("smooth_l1_loss", {input, target})) return poisoned({input, target});
  if (!(beta >= 0)) {
    return input.builder()->poison(absl::InvalidArgumentError(
        absl::StrCat("smooth_l1_loss: beta must be at least 0, is ", beta)));
  }
  if (beta == 0.0) return l1_loss(input, target, reduction);
  const Value d = widened(input) - widened(target), size = abs(d);
  return reduced(where(less(size, beta), square(d) * (0.5 / beta), size - 0.5 * beta), reduction,
                 "smooth_l1_loss");
}

Value huber_loss(Value input, Value target, double delta, absl::string_view reduction) {
  if (!usable("huber_loss", {input, target})) return poisoned({input, target});
  if (!(delta > 0)) {
    return input.builder()->poison(absl::InvalidArgumentError(
        absl::StrCat("huber_loss: delta must be larger than 0, is ", delta)));
  }
  const Value d = widened(input) - widened(target), size = abs(d);
  return reduced(where(less_equal(size, delta), square(d) * 0.5, (size - 0.5 * delta) * delta),
                 reduction, "huber_loss");
}

Value kl_div(Value input, Value target, absl::string_view reduction) {
  if (!usable("kl_div", {input, target})) return poisoned({input, target});
  const Value t = widened(target);
  // t log t, 0 at 0; the logarithm that is differentiated never sees a 0.
  const Value positive = greater(t, 0.0);
  const Value entropy = where(positive, t * log(where(positive, t, 1.0)), 0.0);
  // An impossible class, whose log probability is -inf, counts for nothing either.
  const Value loss = entropy - t * where(equal(t, 0.0), 0.0, widened(input));
  if (reduction != "batchmean") return reduced(loss, reduction, "kl_div");
  if (loss.rank() == 0) return loss;
  return reduce_sum(loss, {}) / count_along(loss, std::vector<int64_t>{0});
}

Value binary_cross_entropy(Value p, Value target, Value weight, absl::string_view reduction) {
  const Value loss =
      emit_op_one("binary_cross_entropy", {widened(p), as_dtype(target, widened(p).dtype())});
  return reduced(weighed(loss, weight, "binary_cross_entropy: the weighted loss"), reduction,
                 "binary_cross_entropy");
}

Value binary_cross_entropy_with_logits(Value logits, Value target, Value weight, Value pos_weight,
                                       absl::string_view reduction) {
  if (!usable("binary_cross_entropy_with_logits", {logits, target})) {
    return poisoned({logits, target});
  }
  const Value x = widened(logits);
  const Value t = as_dtype(
      with_shape(target, x.shape(), "binary_cross_entropy_with_logits: the target"), x.dtype());
  Value of_positive = log_sigmoid(x);
  if (!pos_weight.is_null()) {
    const Value factor = (as_dtype(pos_weight, x.dtype()) - 1.0) * t + 1.0;
    of_positive =
        weighed(of_positive, factor, "binary_cross_entropy_with_logits: the weighted positives");
  }
  const Value loss = weighed((1.0 - t) * x - of_positive, weight,
                             "binary_cross_entropy_with_logits: the weighted loss");
  return reduced(loss, reduction, "binary_cross_entropy_with_logits");
}

Value focal_loss(Value logits, Value target, double alpha, double gamma,
                 absl::string_view reduction) {
  const Value ce = cross_entropy(logits, target, {}, {.reduction = "none"});
  // 1 - p, p = exp(-ce), without cancellation.
  const Value rest = neg(expm1(neg(ce)));
  Value weight;
  if (gamma > 0.0 && gamma < 1.0) {
    // The power has no derivative at 0: there it is kept from 0.
    const Value perfect = less_equal(rest, 0.0);
    weight = where(perfect, 0.0, pow(where(perfect, 1.0, rest), gamma));
  } else if (gamma != 0.0) {
    weight = pow(rest, gamma);
  }
  const Value loss = weight.is_null() ? ce : weight * ce;
  return reduced(loss * alpha, reduction, "focal_loss");
}

Value margin_ranking_loss(Value a, Value b, Value target, double margin,
                          absl::string_view reduction) {
  if (!usable("margin_ranking_loss", {a, b, target})) return poisoned({a, b, target});
  if (absl::Status s = require_one_rank("margin_ranking_loss", a, b, target); !s.ok()) {
    return a.builder()->poison(std::move(s));
  }
  const Value x = widened(a);
  const Value loss = margin - as_dtype(target, x.dtype()) * (x - widened(b));
  return reduced(clamp(loss, {.min = 0.0, .max = {}}), reduction, "margin_ranking_loss");
}

Value triplet_margin_loss(Value anchor, Value positive, Value negative,
                          const TripletMarginOptions& o) {
  if (!usable("triplet_margin_loss", {anchor, positive, negative})) {
    return poisoned({anchor, positive, negative});
  }
  if (absl::Status s = require_one_rank("triplet_margin_loss", anchor, positive, negative);
      !s.ok()) {
    return anchor.builder()->poison(std::move(s));
  }
  const auto distance = [&](Value a, Value b) {
    return norm(widened(a) - widened(b) + o.eps, {.p = o.p, .axes = {-1}});
  };
  Value far = distance(anchor, negative);
  if (o.swap) far = minimum(far, distance(positive, negative));
  const Value loss = distance(anchor, positive) - far + o.margin;
  return reduced(clamp(loss, {.min = 0.0, .max = {}}), o.reduction, "triplet_margin_loss");
}

Value contrastive_loss(Value a, Value b, Value labels, double margin, double temperature) {
  if (!usable("contrastive_loss", {a, b, labels})) return poisoned({a, b, labels});
  if (!(temperature >= 0)) {
    return a.builder()->poison(absl::InvalidArgumentError(
        absl::StrCat("contrastive_loss: temperature must be at least 0, is ", temperature)));
  }
  const Value other = with_shape(b, a.shape(), "contrastive_loss: the other rows");
  const Value d = norm(widened(a) - widened(other), {.p = 2, .axes = {-1}});
  const Value gap = margin - d;
  const Value hinge = temperature == 0 ? clamp(gap, {.min = 0.0, .max = {}})
                                       : softplus(gap / temperature) * temperature;
  const Value y =
      as_dtype(with_shape(labels, d.shape(), "contrastive_loss: the labels"), d.dtype());
  return reduce_mean(y * square(d) + (1.0 - y) * square(hinge), {});
}

Value info_nce_loss(Value features, double temperature, bool normalize) {
  if (!usable("info_nce_loss", {features})) return poisoned({features});
  GraphBuilder& b = *features.builder();
  const Dim rows = features.dim(0), half = rows / 2;
  if (features.rank() != 2 || (rows.is_static() && rows.value() % 2 != 0)) {
    return b.poison(absl::InvalidArgumentError(absl::StrCat(
        "info_nce_loss: expected features [2n, size], got ", to_string(features.type()))));
  }
  if (!(temperature > 0)) {
    return b.poison(absl::InvalidArgumentError(
        absl::StrCat("info_nce_loss: temperature must be larger than 0, is ", temperature)));
  }
  b.require_equal(rows, half * 2, "info_nce_loss takes an even number of rows");
  const Value f = normalize ? l2_normalize(widened(features), -1) : widened(features);
  const Value similarity = matmul(f, f, {.transpose_b = true}) / temperature;
  const Value row = iota(b, {rows, 1}, {.axis = 0}), column = iota(b, {1, rows}, {.axis = 1});
  const Value logits =
      where(equal(row, column), -std::numeric_limits<double>::infinity(), similarity);
  // Row i's partner: i + n, or i - n in the second half.
  const Value n = dim_value(b, half), index = reshape(row, {rows});
  const Value partner = where(less(index, n), index + n, index - n);
  return cross_entropy(logits, partner);
}

}  // namespace modellib
