// Pooling and convolution.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/executors/cpu/backend/recipes.h"
#include "modellib/executors/cpu/backend/scalar_fields.h"
#include "modellib/executors/cpu/kernels/conv.h"
#include "modellib/executors/cpu/kernels/plain.h"
#include "modellib/executors/cpu/kernels/pool.h"
#include "modellib/graph/constant.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/conv.h"
#include "modellib/ops/pool.h"

namespace modellib::cpu {
namespace {

constexpr size_t kSpatial = 3;

int64_t entry(const std::vector<int64_t>& list, size_t i, int64_t otherwise) {
  return list.empty() ? otherwise : list[i];
}

// The operands of a convolution and its gradients by their part in it.
struct ConvOperands {
  ConvKind kind;
  const TensorType &x, &filter, &y;
};
ConvOperands conv_operands(const RecipeSite& site) {
  if (site.node.op->name == "conv_input_gradient") {
    return {ConvKind::kInputGradient, site.out(0), site.in(1), site.in(0)};
  }
  if (site.node.op->name == "conv_filter_gradient") {
    return {ConvKind::kFilterGradient, site.in(0), site.out(0), site.in(1)};
  }
  return {ConvKind::kForward, site.in(0), site.in(1), site.out(0)};
}

PoolKind kind_of(absl::string_view op) {
  if (op == "avg_pool") return PoolKind::kAverage;
  if (op == "max_pool_select") return PoolKind::kMaxSelect;
  if (op == "max_pool_gradient") return PoolKind::kMaxGradient;
  if (op == "avg_pool_gradient") return PoolKind::kAverageGradient;
  return PoolKind::kMax;
}

absl::StatusOr<NodeRecipe> plain_conv_recipe(const RecipeSite& site) {
  const auto& a = site.node.attributes.as<ConvAttributes>();
  const TensorType &x = site.in(0), &filter = site.in(1), &y = site.out(0);
  const size_t spatial = x.shape.size() - 2;
  if ((x.dtype != DType::kF32 && x.dtype != DType::kF64) || spatial > kSpatial ||
      a.layout != "NCHW") {
    return no_kernel(site, "convolution is for channels-first f32 and f64 over at most three axes");
  }
  PlainConvScalars scalars;
  scalars.dtype = static_cast<int64_t>(x.dtype);
  scalars.groups = a.groups;
  const size_t skip = kSpatial - spatial;
  for (size_t i = 0; i < spatial; ++i) {
    scalars.stride[skip + i] = entry(a.strides, i, 1);
    scalars.dilation[skip + i] = entry(a.dilations, i, 1);
    scalars.pad_low[skip + i] = entry(a.padding_low, i, 0);
  }
  ScalarFields<PlainConvScalars> fields(scalars);
  fields.set(&PlainConvScalars::batch, x.shape[0]);
  fields.set(&PlainConvScalars::in_channels, x.shape[1]);
  fields.set(&PlainConvScalars::out_channels, y.shape[1]);
  for (size_t i = 0; i < spatial; ++i) {
    fields.set(&PlainConvScalars::in, skip + i, x.shape[2 + i]);
    fields.set(&PlainConvScalars::out, skip + i, y.shape[2 + i]);
    fields.set(&PlainConvScalars::kernel, skip + i, filter.shape[2 + i]);
  }
  StepRecipe step;
  step.kernel = "cpu.plain_conv";
  step.outputs = all_outputs(site);
  step.inputs = {{StepOperand::Kind::kInput, 0}, {StepOperand::Kind::kInput, 1}, {}};
  step.scalars = fields.take();
  step.chunks = x.shape[0] * y.shape[1];
  NodeRecipe recipe;
  recipe.steps.push_back(std::move(step));
  return recipe;
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

absl::StatusOr<NodeRecipe> conv_recipe(const RecipeSite& site) {
  const auto& a = site.node.attributes.as<ConvAttributes>();
  const auto [kind, x, filter, y] = conv_operands(site);
  const size_t spatial = x.shape.size() - 2;
  const bool channels_last = a.layout == "NHWC";
  const size_t first = channels_last ? 1 : 2;
  const bool is_fixed = is_static({x.shape.data() + 1, x.shape.size() - 1}) &&
                        is_static({y.shape.data() + 1, y.shape.size() - 1}) &&
                        is_static(filter.shape);
  if (x.dtype != DType::kF32 || spatial > 2 || !is_fixed) {
    if (kind == ConvKind::kForward) return plain_conv_recipe(site);
    return no_kernel(site, "gradients of convolutions are for f32 images of fixed extents");
  }
  ConvScalars scalars;
  scalars.kind = static_cast<int64_t>(kind);
  scalars.layout = static_cast<int64_t>(channels_last ? ImageLayout::kChannelsLast
                                                      : ImageLayout::kChannelsFirst);
  scalars.in_channels = site.max(channels_last ? x.shape.back() : x.shape[1]);
  scalars.out_channels = site.max(channels_last ? y.shape.back() : y.shape[1]);
  scalars.groups = a.groups;
  const size_t skip = 2 - spatial;
  for (size_t i = 0; i < spatial; ++i) {
    scalars.in[skip + i] = site.max(x.shape[first + i]);
    scalars.out[skip + i] = site.max(y.shape[first + i]);
    scalars.kernel[skip + i] = site.max(filter.shape[2 + i]);
    scalars.stride[skip + i] = entry(a.strides, i, 1);
    scalars.dilation[skip + i] = entry(a.dilations, i, 1);
    scalars.pad_low[skip + i] = entry(a.padding_low, i, 0);
    scalars.pad_high[skip + i] = entry(a.padding_high, i, 0);
  }
  const Dim batch = x.shape[0];
  const bool pack =
      kind == ConvKind::kForward && constant_value(site.graph, site.node.inputs[1]) != nullptr;
  MODELLIB_RETURN_IF_ERROR(plan_conv(site.max(batch), pack, scalars));

  NodeRecipe recipe;
  StepRecipe step;
  step.kernel = "cpu.conv2d";
  step.outputs = {{StepOperand::Kind::kOutput, 0}};
  step.inputs = all_inputs(site);
  step.scalars = ScalarFields<ConvScalars>(scalars).take();
  step.chunks = batch * scalars.pieces;
  if (kind == ConvKind::kForward) {
    step.inputs.resize(2);
    step.inputs.resize(4);  // no bias, nothing to accumulate on
    if (scalars.filter_bytes != 0) {
      recipe.constants.push_back(
          {1,
           absl::StrCat("conv filter layout ", scalars.filter_layout, " groups ", scalars.groups),
           [scalars](const Tensor& source) -> absl::StatusOr<Tensor> {
             MODELLIB_ASSIGN_OR_RETURN(const std::vector<std::byte> packed,
                                       pack_conv_filter(scalars, source.as<float>()));
             return Tensor::copy_of(DType::kU8, {static_cast<int64_t>(packed.size())},
                                    packed.data(), packed.size());
           }});
      step.inputs[1] = {StepOperand::Kind::kConstant, 0};
    }
  }
  if (kind != ConvKind::kFilterGradient) {
    step.workspace_bytes = step.chunks * scalars.scratch_bytes;
    recipe.steps.push_back(std::move(step));
    return recipe;
  }
  // Each part sums over some images; the parts are summed by a reduction.
  const Dim parts = batch / Dim(scalars.images_per_part);
  step.chunks = parts;
  step.workspace_bytes = parts * scalars.scratch_bytes;
  if (!(parts == Dim(1))) {
    recipe.temporaries.push_back(parts * element_count(filter.shape) * sizeof(float));
    step.outputs = {{StepOperand::Kind::kTemporary, 0}};
  }
  recipe.steps.push_back(std::move(step));
  if (!(parts == Dim(1))) {
    add_reduction(site, recipe, {1, parts, element_count(filter.shape)},
                  {StepOperand::Kind::kTemporary, 0}, {StepOperand::Kind::kOutput, 0});
  }
  return recipe;
}

}  // namespace modellib::cpu
