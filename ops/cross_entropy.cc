// cross_entropy: softmax, logarithm and choice of the target in one composite, so that its gradient
// is softmax - target and needs no more than the logits and one number for each row.
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/families.h"
#include "modellib/ops/gradients.h"
#include "modellib/ops/index.h"
#include "modellib/ops/losses.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"
#include "modellib/ops/softmax.h"

namespace modellib {
namespace {

int class_axis(int rank) { return rank == 1 ? 0 : 1; }

// The shape of the targets: that of the logits without the axis of classes.
Shape rows_of(Shape logits) {
  logits.erase(logits.begin() + class_axis(static_cast<int>(logits.size())));
  return logits;
}

// 1 everywhere but at `axis`, where it is x's extent.
Shape extents_along(const Value& x, int axis) {
  Shape shape(static_cast<size_t>(x.rank()), Dim(1));
  shape[static_cast<size_t>(axis)] = x.dim(axis);
  return shape;
}

// Targets, with those that do not count at class 0. A negative one is an error, not a class counted
// from the end: it is put out of range.
Value valid_target(Value target, Value counts, Value x, int axis) {
  const Value outside = dim_value(*x.builder(), x.dim(axis));
  return where(counts, where(less(target, 0.0), outside, target), 0.0);
}

// cross_entropy(logits, target, weight?) -> loss, lse
// lse, shaped like target, is log Σ exp(logits): the residual of the gradient.

absl::Status infer(InferenceContext& c) {
  const auto& a = c.attributes.as<CrossEntropyAttributes>();
  MODELLIB_RETURN_IF_ERROR(require_real(c, 0));
  MODELLIB_RETURN_IF_ERROR(require_dtype(c, 1, DType::kI64));
  MODELLIB_RETURN_IF_ERROR(require_between("label_smoothing", a.label_smoothing, 0.0, 1.0));
  const TensorType &logits = c.input(0), &target = c.input(1);
  if (logits.rank() == 0) return absl::InvalidArgumentError("logits need an axis of classes");
  const Dim classes = logits.shape[static_cast<size_t>(class_axis(logits.rank()))];
  const Shape rows = rows_of(logits.shape);
  const std::string expected = absl::StrCat("the target must have shape ", to_string(rows));
  if (target.rank() != static_cast<int>(rows.size())) return absl::InvalidArgumentError(expected);
  for (size_t i = 0; i < rows.size(); ++i) {
    MODELLIB_RETURN_IF_ERROR(c.require_equal(target.shape[i], rows[i], expected));
  }
  MODELLIB_RETURN_IF_ERROR(require_vector(c, 2, classes, "weight"));
  const DType dtype = accumulation_type(logits.dtype);
  if (a.reduction != "none" && a.reduction != "mean" && a.reduction != "sum") {
    return absl::InvalidArgumentError(
        absl::StrCat("reduction must be \"none\", \"mean\" or \"sum\", is \"", a.reduction, "\""));
  }
  c.outputs = {{dtype, a.reduction == "none" ? rows : Shape()}, {dtype, rows}};
  return absl::OkStatus();
}

// What loss and gradient are made of. Rows keep the axis of classes with extent 1.
struct Terms {
  const CrossEntropyAttributes& a;
  Value x;            // logits in the type of the sums
  int axis;           // of the classes
  Value target;       // i64, rows
  Value counts;       // bool, rows: the target is not ignored
  Value weight;       // [1, classes, 1, …] or null
  Value rows_weight;  // that of each row's target; null without weights

  explicit Terms(const OpCall& c)
      : a(c.attributes.as<CrossEntropyAttributes>()),
        x(widened(c.in(0))),
        axis(class_axis(x.rank())) {
    const Value given = unsqueeze(c.in(1), {axis});
    counts = not_equal(given, static_cast<double>(a.ignore_index));
    target = valid_target(given, counts, x, axis);
    if (c.has(2)) {
      const Value flat = as_dtype(c.in(2), x.dtype());
      weight = reshape(flat, extents_along(x, axis));
      rows_weight = gather(flat, target, 0);
    }
  }
  // What the sum of the rows is divided by.
  Value denominator() const {
    const Value ones = cast(counts, x.dtype());
    return reduce_sum(rows_weight.is_null() ? ones : ones * rows_weight, {});
  }
  double smooth() const { return a.label_smoothing; }
  // The share of each class in the smoothed target, times its weight: [1, classes, 1, …] or a
  // scalar.
  Value spread() const {
    const Value share = smooth() / count_along(x, std::vector<int64_t>{axis});
    return weight.is_null() ? share : share * weight;
  }
};

std::vector<Value> decompose(OpCall& c) {
  const Terms t(c);
  const Value largest = stop_gradient(max_over(t.x, {t.axis}));
  const Value lse = largest + log(sum_over(exp(t.x - largest), {t.axis}));
  Value loss = lse - gather_elements(t.x, t.target, t.axis);
  if (!t.rows_weight.is_null()) loss = loss * t.rows_weight;
  if (t.smooth() > 0) {
    loss = loss * (1.0 - t.smooth()) + sum_over((lse - t.x) * t.spread(), {t.axis});
  }
  loss = where(t.counts, loss, 0.0);
  if (t.a.reduction == "none") {
    loss = squeeze(loss, {t.axis});
  } else {
    loss = reduce_sum(loss, {});
    if (t.a.reduction == "mean") loss = loss / t.denominator();
  }
  return {loss, squeeze(lse, {t.axis})};
}

std::vector<Value> gradient(OpCall& c, absl::Span<const Value> gradients) {
  const Terms t(c);
  const Value probabilities = exp(t.x - unsqueeze(c.out(1), {t.axis}));
  Value dx;
  if (!gradients[0].is_null()) {
    Value g = gradients[0];  // of each row's loss
    if (t.a.reduction == "none") g = unsqueeze(g, {t.axis});
    if (t.a.reduction == "mean") g = g / t.denominator();
    g = where(t.counts, g, 0.0);
    // Of the target's own term: its weight, less what smoothing takes.
    Value own = t.rows_weight.is_null() ? g : g * t.rows_weight;
    Value all = own;  // what the probabilities are multiplied by: the sum of the target's terms
    if (t.smooth() > 0) {
      own = own * (1.0 - t.smooth());
      const Value total = t.weight.is_null()
                              ? t.spread() * count_along(t.x, std::vector<int64_t>{t.axis})
                              : sum_over(t.spread(), {t.axis});
      all = own + g * total;
    }
    const Value classes = iota(c.builder, extents_along(t.x, t.axis), {.axis = t.axis});
    dx = probabilities * all - where(equal(classes, t.target), own, 0.0);
    if (t.smooth() > 0) dx = dx - g * t.spread();
  }
  if (!gradients[1].is_null()) {
    dx = add_gradients(dx, probabilities * unsqueeze(gradients[1], {t.axis}));
  }
  // Weights are seldom learned: their gradient may cost what that of the decomposition does.
  const Value dweight = c.has(2) ? decomposition_gradient(c, gradients)[2] : Value();
  return {as_dtype(dx, c.in(0).dtype()), Value(), dweight};
}

std::vector<OpSample> samples() {
  const auto sample = [](const char* name, std::vector<TensorType> inputs,
                         CrossEntropyAttributes attributes = {}, double tolerance = 1e-5) {
    OpSample s;
    s.name = name;
    s.inputs = std::move(inputs);
    s.attributes = Attributes::of(std::move(attributes));
    s.low = -4, s.high = 4;
    s.domains = {{1, 0, 4}, {2, 0.5, 2.0}};  // at least five classes everywhere
    s.tolerance = tolerance;
    return s;
  };
  const Dim batch = Dim::symbol("batch");
  const TensorType x = f32({6, 5}), y = i64({6}), w = f32({5});
  std::vector<OpSample> samples = {
      sample("mean", {x, y}),
      sample("sum", {x, y}, {.reduction = "sum"}),
      sample("none", {x, y}, {.reduction = "none"}),
      sample("weights", {x, y, w}),
      sample("ignore", {x, y}, {.ignore_index = 1}),
      sample("all_knobs", {x, y, w}, {.ignore_index = 1, .label_smoothing = 0.125}),
      sample("smoothing", {x, y}, {.reduction = "none", .label_smoothing = 0.25}),
      sample("spatial", {f32({2, 5, 3, 2}), i64({2, 3, 2})}),
      sample("one_row", {f32({7}), i64({})}),
      sample("many_classes", {f32({3, 100}), i64({3})}),
      sample("f16", {f16({4, 5}), i64({4})}, {}, 2e-3),
      sample("symbolic", {f32({batch, 5}), i64({batch})})};
  samples.back().binding = {{"batch", 3}};
  return samples;
}

// A factor for each class, in the type of x, or null; poisoned if it is something else.
Value class_weight(Value weight, const Value& x, int axis, absl::string_view function) {
  if (weight.is_null() || weight.is_poisoned()) return weight;
  if (!is_real(weight.dtype())) {
    return weight.builder()->poison(absl::InvalidArgumentError(
        absl::StrCat(function, ": the weight must be a float, is ", to_string(weight.type()))));
  }
  return as_dtype(with_shape(weight, {x.dim(axis)}, absl::StrCat(function, ": the weight")),
                  x.dtype());
}

// InvalidArgument for what targets that are probabilities cannot be asked for.
absl::Status check_soft(const Value& logits, const CrossEntropyAttributes& a) {
  if (logits.rank() == 0) return absl::InvalidArgumentError("logits need an axis of classes");
  if (a.ignore_index >= 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "ignore_index ", a.ignore_index, " is for targets that are classes, not probabilities"));
  }
  return require_between("label_smoothing", a.label_smoothing, 0.0, 1.0);
}

Value soft_cross_entropy(Value logits, Value target, Value weight,
                         const CrossEntropyAttributes& a) {
  if (!usable("cross_entropy", {logits, target})) return poisoned({logits, target});
  if (absl::Status s = check_soft(logits, a); !s.ok()) {
    return logits.builder()->poison(
        absl::Status(s.code(), absl::StrCat("cross_entropy: ", s.message())));
  }
  const Value x = widened(logits);
  const int axis = class_axis(x.rank());
  const std::vector<int64_t> classes = {axis};
  Value share =
      as_dtype(with_shape(target, x.shape(), "cross_entropy: the probabilities"), x.dtype());
  if (a.label_smoothing > 0) {
    share = share * (1.0 - a.label_smoothing) + a.label_smoothing / count_along(x, classes);
  }
  Value terms = share * log_softmax(x, {.axis = axis});
  const Value w = class_weight(weight, x, axis, "cross_entropy");
  if (!w.is_null()) terms = terms * (x.rank() == 1 ? w : per_channel(w, x.rank()));
  const Value rows = neg(reduce_sum(terms, {.axes = classes}));
  return reduced(rows, a.reduction, "cross_entropy");
}

}  // namespace

std::vector<OpDef> cross_entropy_ops() {
  OpDef op = composite("cross_entropy", 2, 3, infer, decompose, samples);
  op.attributes = AttributesSchema::of<CrossEntropyAttributes>();
  op.differentiable = OpDef::Gradient::kRule;
  op.gradient = gradient;
  return {op};
}

Value cross_entropy(Value logits, Value target, Value weight, CrossEntropyAttributes attributes) {
  if (is_real(target.dtype())) return soft_cross_entropy(logits, target, weight, attributes);
  return emit_op_one("cross_entropy", {logits, target, weight},
                     Attributes::of(std::move(attributes)));
}

Value nll_loss(Value log_probs, Value target, Value weight, const NllOptions& options) {
  if (!usable("nll_loss", {log_probs, target})) return poisoned({log_probs, target});
  if (log_probs.rank() == 0) {
    return log_probs.builder()->poison(
        absl::InvalidArgumentError("nll_loss: log_probs need an axis of classes"));
  }
  const int axis = class_axis(log_probs.rank());
  const Value x = widened(log_probs);
  // gather_elements would take a shorter target, as torch.gather does.
  const Value given =
      unsqueeze(with_shape(target, rows_of(x.shape()), "nll_loss: the target"), {axis});
  const Value counts = not_equal(given, static_cast<double>(options.ignore_index));
  const Value safe = valid_target(given, counts, x, axis);
  Value each = cast(counts, x.dtype());
  const Value w = class_weight(weight, x, axis, "nll_loss");
  if (!w.is_null()) each = each * gather(w, safe, 0);
  // What is ignored may be -inf, which no weight makes 0.
  const Value own = where(counts, neg(gather_elements(x, safe, axis)), 0.0);
  const Value loss = squeeze(own * each, {axis});
  if (options.reduction != "mean") return reduced(loss, options.reduction, "nll_loss");
  return reduce_sum(loss, {}) / reduce_sum(each, {});
}

}  // namespace modellib
