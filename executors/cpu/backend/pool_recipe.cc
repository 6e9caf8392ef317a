// Pooling.
#include <algorithm>
#include <utility>
#include <vector>

#include "modellib/executors/cpu/backend/recipes.h"
#include "modellib/executors/cpu/backend/scalar_fields.h"
#include "modellib/executors/cpu/kernels/pool.h"
#include "modellib/graph/op_def.h"
#include "modellib/ops/pool.h"

namespace modellib::cpu {
namespace {

constexpr size_t kSpatial = 3;

int64_t entry(const std::vector<int64_t>& list, size_t i, int64_t otherwise) {
  return list.empty() ? otherwise : list[i];
}

PoolKind kind_of(absl::string_view op) {
  if (op == "avg_pool") return PoolKind::kAverage;
  if (op == "max_pool_select") return PoolKind::kMaxSelect;
  if (op == "max_pool_gradient") return PoolKind::kMaxGradient;
  if (op == "avg_pool_gradient") return PoolKind::kAverageGradient;
  return PoolKind::kMax;
}

}  // namespace

absl::StatusOr<NodeRecipe> pool_recipe(const RecipeSite& site) {
  const auto& a = site.node.attributes.as<PoolAttributes>();
  const PoolKind kind = kind_of(site.node.op->name);
  const bool is_gradient = kind == PoolKind::kMaxGradient || kind == PoolKind::kAverageGradient;
  const TensorType& x = is_gradient ? site.out(0) : site.in(0);
  const TensorType& y = !is_gradient                         ? site.out(0)
                        : kind == PoolKind::kAverageGradient ? site.in(0)
                                                             : site.in(1);
  const size_t spatial = x.shape.size() - 2;
  if ((x.dtype != DType::kF32 && x.dtype != DType::kF64) || spatial > kSpatial) {
    return no_kernel(site, "pooling is for f32 and f64 over at most three axes");
  }
  const bool channels_last = a.layout == "NHWC";
  const size_t first = channels_last ? 1 : 2;  // spatial axis of x
  const Dim outer = channels_last ? x.shape[0] : x.shape[0] * x.shape[1];
  const Dim inner = channels_last ? x.shape.back() : Dim(1);
  PoolScalars scalars;
  scalars.kind = static_cast<int64_t>(kind);
  scalars.dtype = static_cast<int64_t>(x.dtype);
  scalars.outer = site.max(outer);
  scalars.inner = site.max(inner);
  scalars.count_include_pad = a.count_include_pad;
  const size_t skip = kSpatial - spatial;
  for (size_t i = 0; i < spatial; ++i) {
    scalars.in[skip + i] = site.max(x.shape[first + i]);
    scalars.out[skip + i] = site.max(y.shape[first + i]);
    scalars.kernel[skip + i] = a.kernel[i];
    scalars.stride[skip + i] = entry(a.strides, i, a.kernel[i]);
    scalars.dilation[skip + i] = entry(a.dilations, i, 1);
    scalars.pad_low[skip + i] = entry(a.padding_low, i, 0);
    scalars.pad_high[skip + i] = entry(a.padding_high, i, 0);
  }
  choose_pool_grain(scalars);
  ScalarFields<PoolScalars> fields(scalars);
  fields.set(&PoolScalars::outer, outer);
  fields.set(&PoolScalars::inner, inner);
  Dim out01 = 1;
  for (size_t i = 0; i < spatial; ++i) {
    fields.set(&PoolScalars::in, skip + i, x.shape[first + i]);
    fields.set(&PoolScalars::out, skip + i, y.shape[first + i]);
    if (skip + i < kSpatial - 1) out01 = out01 * y.shape[first + i];
  }
  const Dim units = is_gradient ? outer * ceil_div(inner, Dim(64)) : outer * out01;
  StepRecipe step;
  step.kernel = "cpu.pool";
  step.outputs = all_outputs(site);
  step.inputs = all_inputs(site);
  step.scalars = fields.take();
  step.chunks = ceil_div(units, Dim(scalars.units_per_chunk));
  NodeRecipe recipe;
  recipe.steps.push_back(std::move(step));
  return recipe;
}

}  // namespace modellib::cpu
