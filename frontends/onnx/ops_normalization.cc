// Normalisation over the batch, over a sample and over channels.
#include <utility>

#include "modellib/frontends/onnx/conversions.h"
#include "modellib/frontends/onnx/element_types.h"
#include "modellib/frontends/onnx/op_table.h"
#include "modellib/ops/batch_norm.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/normalization.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/pool.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"
#include "modellib/ops/statistics.h"

namespace modellib::onnx {
namespace {

absl::StatusOr<Values> batch_norm(NodeView& n) {
  const Value x = n.in(0), scale = n.in(1), bias = n.in(2), mean = n.in(3), var = n.in(4);
  const BatchNormAttributes a{.eps = n.real("epsilon", 1e-5)};
  if (!n.flag("spatial", true)) return absl::UnimplementedError("spatial = 0");
  constexpr int kAttributeSince = 14;
  for (int i = 1; i < n.outputs() && n.version() < kAttributeSince; ++i) {
    if (n.wants(i)) return absl::UnimplementedError("training, which a second output stands for");
  }
  if (!n.flag("training_mode", false)) {
    return Values{batch_norm_inference(x, as_dtype(mean, scale.dtype()),
                                       as_dtype(var, scale.dtype()), scale, bias, a)};
  }
  const double momentum = n.real("momentum", 0.9);
  const BatchNormOutputs y = batch_norm_training(x, scale, bias, a);
  const auto running = [&](Value old, Value batch) {
    return old * momentum + as_dtype(batch, old.dtype()) * (1 - momentum);
  };
  return Values{y.y, running(mean, y.mean), running(var, y.var)};
}

absl::StatusOr<Values> instance(NodeView& n) {
  return Values{instance_norm(n.in(0), n.in(1), n.in(2), n.real("epsilon", 1e-5))};
}

absl::StatusOr<Values> layer(NodeView& n) {
  const Value x = n.in(0);
  MODELLIB_ASSIGN_OR_RETURN(const int64_t axis, n.axis("axis", -1, x.rank()));
  MODELLIB_ASSIGN_OR_RETURN(const DType stash, dtype_of_onnx(n.integer("stash_type", 1)));
  const LayerNormAttributes a{.normalized_rank = x.rank() - axis, .eps = n.real("epsilon", 1e-5)};
  const Shape row(x.shape().begin() + axis, x.shape().end());
  const bool fits = n.in(1).shape() == row && (!n.has(2) || n.in(2).shape() == row);
  if (fits) {
    const LayerNormOutputs y = layer_norm_with_statistics(x, n.in(1), n.in(2), a);
    return Values{y.y, cast(y.mean, stash), cast(y.rstd, stash)};
  }
  const LayerNormOutputs y = layer_norm_with_statistics(x, {}, {}, a);
  Value scaled = y.y * n.in(1);
  if (n.has(2)) scaled = scaled + n.in(2);
  return Values{scaled, cast(y.mean, stash), cast(y.rstd, stash)};
}

absl::StatusOr<Values> root_mean_square(NodeView& n) {
  const Value x = n.in(0);
  MODELLIB_ASSIGN_OR_RETURN(const int64_t axis, n.axis("axis", -1, x.rank()));
  const RmsNormAttributes a{.normalized_rank = x.rank() - axis, .eps = n.real("epsilon", 1e-5)};
  const Shape row(x.shape().begin() + axis, x.shape().end());
  if (n.in(1).shape() == row) return Values{rms_norm(x, n.in(1), a)};
  return Values{rms_norm(x, {}, a) * n.in(1)};
}

// In version 18 scale and bias belonged to groups, since 21 they belong to channels.
template <bool kByGroup>
absl::StatusOr<Values> group(NodeView& n) {
  const Value x = n.in(0);
  const int64_t groups = n.integer("num_groups", 0);
  if (x.rank() < 2 || !x.dim(1).is_static() || groups < 1 || x.dim(1).value() % groups != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("num_groups is ", groups, " for an operand ", to_string(x.type())));
  }
  const Dim channels = x.dim(1);
  const auto of_channels = [&](Value v) {
    if (!kByGroup) return v;
    return reshape(broadcast_to(reshape(v, {groups, 1}), {groups, channels / groups}), {channels});
  };
  return Values{group_norm(x, of_channels(n.in(1)), of_channels(n.in(2)),
                           {.num_groups = groups, .eps = n.real("epsilon", 1e-5)})};
}

absl::StatusOr<Values> by_norm(NodeView& n) {
  const Value x = n.in(0);
  MODELLIB_ASSIGN_OR_RETURN(const int64_t axis, n.axis("axis", -1, x.rank()));
  const int64_t p = n.integer("p", 2);
  if (p != 1 && p != 2) return absl::InvalidArgumentError(absl::StrCat("p is ", p));
  const ReduceAttributes over{.axes = {axis}, .keepdims = true};
  const Value length = p == 1 ? reduce_sum(abs(x), over) : sqrt(reduce_sum(square(x), over));
  // A row of zeros stays one.
  return Values{where(equal(length, 0), 0.0, x / length)};
}

// x / (bias + alpha / size Σ x²)^beta, the sum over `size` neighbouring channels.
absl::StatusOr<Values> local_response(NodeView& n) {
  const Value x = n.in(0);
  const int64_t size = n.integer("size", 0);
  if (x.rank() < 2 || size < 1 || size > kMostOfWindow) {
    return absl::InvalidArgumentError(absl::StrCat("size is ", size, " for ", to_string(x.type())));
  }
  const absl::Span<const Dim> shape = x.shape();
  const Dim rest = element_count(shape.subspan(2));
  const Value squares = reshape(square(x), {shape[0], 1, shape[1], rest});
  const Value mean = avg_pool(squares, {.kernel = {size, 1},
                                        .strides = {1, 1},
                                        .padding_low = {(size - 1) / 2, 0},
                                        .padding_high = {size / 2, 0}});
  const Value base = reshape(mean, x.shape()) * n.real("alpha", 1e-4) + n.real("bias", 1);
  return Values{x / pow(base, n.real("beta", 0.75))};
}

absl::StatusOr<Values> mean_variance(NodeView& n) {
  const Value x = n.in(0);
  const ReduceAttributes over{.axes = n.integers("axes", {0, 2, 3}), .keepdims = true};
  const Value centred = x - reduce_mean(x, over);
  const Value deviation = sqrt(reduce_mean(square(centred), over));
  return Values{centred / (deviation + 1e-9)};
}

constexpr OpEntry kEntries[] = {
    {"BatchNormalization", 7, kNow, 5, 5, Takes::kReal, batch_norm},
    {"GroupNormalization", 18, 21, 3, 3, Takes::kReal, group<true>},
    {"GroupNormalization", 21, kNow, 3, 3, Takes::kReal, group<false>},
    {"InstanceNormalization", 6, kNow, 3, 3, Takes::kReal, instance},
    {"LRN", 1, kNow, 1, 1, Takes::kReal, local_response},
    {"LayerNormalization", 17, kNow, 2, 3, Takes::kReal, layer},
    {"LpNormalization", 1, kNow, 1, 1, Takes::kReal, by_norm},
    {"MeanVarianceNormalization", 9, kNow, 1, 1, Takes::kReal, mean_variance},
    {"RMSNormalization", 23, kNow, 2, 2, Takes::kReal, root_mean_square},
};

}  // namespace

absl::Span<const OpEntry> normalization_entries() { return kEntries; }

}  // namespace modellib::onnx
