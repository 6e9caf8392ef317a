// Activations, Clip, Softmax and its kin, Dropout.
#include "modellib/frontends/onnx/conversions.h"
#include "modellib/frontends/onnx/op_table.h"
#include "modellib/ops/activations.h"
#include "modellib/ops/index.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"
#include "modellib/ops/softmax.h"

namespace modellib::onnx {
namespace {

absl::StatusOr<Values> leaky(NodeView& n) {
  return Values{leaky_relu(n.in(0), {.negative_slope = n.real("alpha", 0.01)})};
}

// Slopes broadcast against x, unlike in our prelu.
absl::StatusOr<Values> learned_slopes(NodeView& n) {
  const Value x = n.in(0);
  return Values{where(less(x, 0), mul(x, n.in(1)), x)};
}

absl::StatusOr<Values> exponential(NodeView& n) {
  return Values{elu(n.in(0), {.alpha = n.real("alpha", 1)})};
}

absl::StatusOr<Values> scaled_exponential(NodeView& n) {
  const double alpha = n.real("alpha", 1.67326319217681884765625);
  const double gamma = n.real("gamma", 1.05070102214813232421875);
  return Values{mul(elu(n.in(0), {.alpha = alpha}), gamma)};
}

// max(0, x) + min(0, alpha (exp(x / alpha) - 1)): elu of another slope below 0.
absl::StatusOr<Values> continuous_exponential(NodeView& n) {
  const double alpha = n.real("alpha", 1);
  const Value x = n.in(0);
  return Values{where(greater(x, 0), x, expm1(div(x, alpha)) * alpha)};
}

absl::StatusOr<Values> hard_sigmoid_of(NodeView& n) {
  const double alpha = n.real("alpha", 0.2), beta = n.real("beta", 0.5);
  return Values{clamp(n.in(0) * alpha + beta, {.min = 0, .max = 1})};
}

absl::StatusOr<Values> thresholded(NodeView& n) {
  const Value x = n.in(0);
  return Values{where(greater(x, n.real("alpha", 1)), x, 0.0)};
}

absl::StatusOr<Values> shrink(NodeView& n) {
  const double bias = n.real("bias", 0), lambda = n.real("lambd", 0.5);
  const Value x = n.in(0);
  return Values{where(less(x, -lambda), x + bias, where(greater(x, lambda), x - bias, 0.0))};
}

absl::StatusOr<Values> gaussian(NodeView& n) {
  const std::string approximate = n.text("approximate", "none");
  if (approximate != "none" && approximate != "tanh") {
    return absl::InvalidArgumentError(
        absl::StrCat("approximate must be none or tanh, is '", approximate, "'"));
  }
  return Values{gelu(n.in(0), {.approximate = approximate})};
}

absl::StatusOr<Values> swish(NodeView& n) {
  const double alpha = n.real("alpha", 1);
  if (alpha == 1) return Values{silu(n.in(0))};
  return Values{n.in(0) * sigmoid(n.in(0) * alpha)};
}

Value log_of_one_and_exp(Value x) { return softplus(x); }

absl::StatusOr<Values> clip_by_attributes(NodeView& n) {
  ClampAttributes limits;
  if (n.has_attribute("min")) limits.min = n.real("min", 0);
  if (n.has_attribute("max")) limits.max = n.real("max", 0);
  if (!limits.min.has_value() && !limits.max.has_value()) return Values{n.in(0)};
  return Values{clamp(n.in(0), limits)};
}

absl::StatusOr<Values> clip(NodeView& n) {
  const Value x = n.in(0);
  const auto low = n.has(1) ? n.known_real(1) : absl::StatusOr<double>(0.0);
  const auto high = n.has(2) ? n.known_real(2) : absl::StatusOr<double>(0.0);
  const bool constant = low.ok() && high.ok() && is_real(x.dtype());
  // Where the limits cross, the upper one holds.
  if (constant && !(n.has(1) && n.has(2) && *low > *high)) {
    ClampAttributes limits;
    if (n.has(1)) limits.min = *low;
    if (n.has(2)) limits.max = *high;
    if (!n.has(1) && !n.has(2)) return Values{x};
    return Values{clamp(x, limits)};
  }
  Value y = x;
  if (n.has(1)) y = maximum(y, reshape(n.in(1), {}));
  if (n.has(2)) y = minimum(y, reshape(n.in(2), {}));
  return Values{y};
}

// Until version 12 an operand was seen as a matrix: the axes from `axis` on are one row.
template <Value (*kFunction)(Value, int64_t)>
absl::StatusOr<Values> over_rows(NodeView& n) {
  const Value x = n.in(0);
  MODELLIB_ASSIGN_OR_RETURN(const int64_t axis, n.axis("axis", 1, x.rank()));
  if (axis == x.rank() - 1) return Values{kFunction(x, axis)};
  const absl::Span<const Dim> shape = x.shape();
  const Dim rows = element_count(shape.first(static_cast<size_t>(axis)));
  const Dim columns = element_count(shape.subspan(static_cast<size_t>(axis)));
  const Shape& whole = x.shape();
  return Values{reshape(kFunction(reshape(x, {rows, columns}), 1), whole)};
}
template <Value (*kFunction)(Value, int64_t)>
absl::StatusOr<Values> over_axis(NodeView& n) {
  MODELLIB_ASSIGN_OR_RETURN(const int64_t axis, n.axis("axis", -1, n.in(0).rank()));
  return Values{kFunction(n.in(0), axis)};
}
Value soft(Value x, int64_t axis) { return softmax(x, {.axis = axis}); }
Value log_soft(Value x, int64_t axis) { return log_softmax(x, {.axis = axis}); }
Value hard(Value x, int64_t axis) {
  return one_hot(argmax(x, {.axis = axis}), x.dim(static_cast<int>(axis)),
                 {.axis = axis, .dtype = x.dtype()});
}

// For inference nothing is dropped. The mask says so, in versions before 10 with ones of x's type.
absl::StatusOr<Values> dropout(NodeView& n) {
  if (n.has(2)) {
    MODELLIB_ASSIGN_OR_RETURN(const double training, n.known_real(2));
    const auto ratio = n.has(1) ? n.known_real(1) : absl::StatusOr<double>(0.5);
    if (training != 0 && !(ratio.ok() && *ratio == 0)) {
      return absl::UnimplementedError("training_mode is not supported");
    }
  }
  const Value x = n.in(0);
  constexpr int kBoolSince = 10;
  const Value kept = n.builder().scalar(1, n.version() < kBoolSince ? x.dtype() : DType::kBool);
  return n.wants(1) ? Values{x, broadcast_to(kept, x.shape())} : Values{x};
}

constexpr OpEntry kEntries[] = {
    {"Celu", 12, kNow, 1, 1, Takes::kReal, continuous_exponential},
    {"Clip", 6, 11, 1, 1, Takes::kReal, clip_by_attributes},
    {"Clip", 11, kNow, 1, 3, Takes::kNumber, clip},
    {"Dropout", 7, kNow, 1, 3, Takes::kReal, dropout},
    {"Elu", 6, kNow, 1, 1, Takes::kReal, exponential},
    {"Gelu", 20, kNow, 1, 1, Takes::kReal, gaussian},
    {"HardSigmoid", 6, kNow, 1, 1, Takes::kReal, hard_sigmoid_of},
    {"HardSwish", 14, kNow, 1, 1, Takes::kReal, unary<hard_swish>},
    {"Hardmax", 1, 13, 1, 1, Takes::kReal, over_rows<hard>},
    {"Hardmax", 13, kNow, 1, 1, Takes::kReal, over_axis<hard>},
    {"LeakyRelu", 6, kNow, 1, 1, Takes::kReal, leaky},
    {"LogSoftmax", 1, 13, 1, 1, Takes::kReal, over_rows<log_soft>},
    {"LogSoftmax", 13, kNow, 1, 1, Takes::kReal, over_axis<log_soft>},
    {"Mish", 18, kNow, 1, 1, Takes::kReal, unary<mish>},
    {"PRelu", 7, kNow, 2, 2, Takes::kSigned, learned_slopes},
    {"Relu", 6, kNow, 1, 1, Takes::kSigned, unary<relu>},
    {"Selu", 6, kNow, 1, 1, Takes::kReal, scaled_exponential},
    {"Shrink", 9, kNow, 1, 1, Takes::kSigned, shrink},
    {"Sigmoid", 6, kNow, 1, 1, Takes::kReal, unary<sigmoid>},
    {"Softmax", 1, 13, 1, 1, Takes::kReal, over_rows<soft>},
    {"Softmax", 13, kNow, 1, 1, Takes::kReal, over_axis<soft>},
    {"Softplus", 1, kNow, 1, 1, Takes::kReal, unary<log_of_one_and_exp>},
    {"Softsign", 1, kNow, 1, 1, Takes::kReal, unary<softsign>},
    {"Swish", 24, kNow, 1, 1, Takes::kReal, swish},
    {"Tanh", 6, kNow, 1, 1, Takes::kReal, unary<tanh>},
    {"ThresholdedRelu", 10, kNow, 1, 1, Takes::kReal, thresholded},
};

}  // namespace

absl::Span<const OpEntry> activation_entries() { return kEntries; }

}  // namespace modellib::onnx
