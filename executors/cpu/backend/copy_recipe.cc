// Ops that move elements: transpose, slice, concat, pad, broadcast, repeat.
#include <bit>
#include <cstring>
#include <utility>
#include <vector>

#include "modellib/executors/cpu/backend/recipes.h"
#include "modellib/executors/cpu/backend/scalar_fields.h"
#include "modellib/executors/cpu/kernels/strided.h"
#include "modellib/graph/op_def.h"
#include "modellib/ops/repeat.h"
#include "modellib/ops/shape.h"

namespace modellib::cpu {
namespace {

bool all_static(const Walk& w) {
  return is_static(w.extents) && is_static(w.source) && is_static(w.target) &&
         w.source_base.is_static() && w.target_base.is_static();
}

std::vector<int64_t> numbers(const std::vector<Dim>& dims) {
  std::vector<int64_t> values;
  for (const Dim& d : dims) values.push_back(d.value());
  return values;
}

absl::StatusOr<NodeRecipe> one_copy(const RecipeSite& site, const Walk& walk) {
  NodeRecipe recipe;
  const absl::Status added =
      add_copy(site, recipe, site.out(0).dtype, walk, input_operand(0), output_operand());
  if (!added.ok()) return added;
  return recipe;
}

// Elements of an operand at its largest extents; 0 for what only the recipe sees.
int64_t max_elements(const RecipeSite& site, DType dtype, StepOperand operand) {
  const bool is_input = operand.kind == StepOperand::Kind::kInput;
  if (!is_input && operand.kind != StepOperand::Kind::kOutput) return 0;
  const TensorType& type = is_input ? site.in(operand.index) : site.out(operand.index);
  return type.dtype == dtype ? site.max(element_count(type.shape)) : 0;
}

// Each axis that is repeated is two: the elements, and the places of each.
Walk repeat_walk(const Graph& graph, const Graph::Node& node) {
  const Shape& from = graph.type(node.inputs[0]).shape;
  const auto& repeats = node.attributes.as<RepeatInterleaveAttributes>().repeats;
  const std::vector<Dim> source = dense_strides(from);
  const std::vector<Dim> target = dense_strides(graph.type(node.output(0)).shape);
  Walk walk;
  for (size_t i = 0; i < from.size(); ++i) {
    if (!(from[i] == Dim(1))) {
      walk.extents.push_back(from[i]);
      walk.source.push_back(source[i]);
      walk.target.push_back(target[i] * repeats[i]);
    }
    if (repeats[i] != 1) {
      walk.extents.emplace_back(repeats[i]);
      walk.source.emplace_back(0);
      walk.target.push_back(target[i]);
    }
  }
  return walk;
}

PadMode pad_mode_of(absl::string_view mode) {
  if (mode == "reflect") return PadMode::kReflect;
  if (mode == "edge") return PadMode::kEdge;
  if (mode == "wrap") return PadMode::kWrap;
  return PadMode::kConstant;
}

}  // namespace

Walk broadcast_walk(const Shape& from, const Shape& to) {
  const std::vector<Dim> source = dense_strides(from), target = dense_strides(to);
  const size_t added = to.size() - from.size();
  Walk walk;
  for (size_t i = 0; i < to.size(); ++i) {
    if (to[i] == Dim(1)) continue;
    const bool repeats = i < added || from[i - added] == Dim(1);
    const Dim stride = repeats ? Dim(0) : source[i - added];
    if (walk.extents.empty() || !(walk.source.back() == stride * to[i])) {
      walk.extents.push_back(to[i]);
      walk.source.push_back(stride);
      walk.target.push_back(target[i]);
      continue;
    }
    walk.extents.back() = walk.extents.back() * to[i];
    walk.source.back() = stride;
    walk.target.back() = target[i];
  }
  return walk;
}

bool takes_repeat(const Graph& graph, const Graph::Node& node) {
  const int bits = bits_of(graph.type(node.inputs[0]).dtype);
  return bits % 8 == 0 && bits <= 64 && repeat_walk(graph, node).extents.size() <= kCopyDims;
}

absl::StatusOr<NodeRecipe> repeat_recipe(const RecipeSite& site) {
  return one_copy(site, repeat_walk(site.graph, site.node));
}

absl::StatusOr<StepRecipe> copy_step(const RecipeSite& site, DType dtype, const Walk& walk,
                                     StepOperand from, StepOperand to) {
  const int bits = bits_of(dtype);
  if (bits % 8 != 0 || bits > 64) return no_kernel(site, "packed elements cannot be moved apart");
  if (walk.extents.size() > kCopyDims) return no_kernel(site, "more than 8 dimensions");
  StepRecipe step;
  step.kernel = "cpu.copy";
  step.outputs = {to};
  step.inputs = {from};
  if (all_static(walk)) {
    const CopyScalars scalars =
        plan_copy(bits / 8, numbers(walk.extents), numbers(walk.source), numbers(walk.target),
                  walk.source_base.value(), walk.target_base.value());
    step.scalars = ScalarFields<CopyScalars>(scalars).take();
    step.chunks = copy_chunks(scalars);
    return step;
  }
  CopyScalars scalars;
  scalars.element_bytes = bits / 8;
  const size_t skip = kCopyDims - walk.extents.size();
  for (size_t i = 0; i < walk.extents.size(); ++i) {
    scalars.extent[skip + i] = site.max(walk.extents[i]);
  }
  scalars.src_elements = max_elements(site, dtype, from);
  scalars.dst_elements = max_elements(site, dtype, to);
  choose_copy_grain(scalars);
  ScalarFields<CopyScalars> fields(scalars);
  Dim outer = 1;
  for (size_t i = 0; i < walk.extents.size(); ++i) {
    fields.set(&CopyScalars::extent, skip + i, walk.extents[i]);
    fields.set(&CopyScalars::src_stride, skip + i, walk.source[i]);
    fields.set(&CopyScalars::dst_stride, skip + i, walk.target[i]);
    if (skip + i < kCopyDims - 2) outer = outer * walk.extents[i];
  }
  fields.set(&CopyScalars::src_base, walk.source_base);
  fields.set(&CopyScalars::dst_base, walk.target_base);
  const Dim rows = walk.extents.size() >= 2 ? walk.extents[walk.extents.size() - 2] : Dim(1);
  step.scalars = fields.take();
  step.chunks =
      ceil_div(outer * ceil_div(rows, Dim(scalars.tile_rows)), Dim(scalars.units_per_chunk));
  return step;
}

absl::Status add_copy(const RecipeSite& site, NodeRecipe& recipe, DType dtype, const Walk& walk,
                      StepOperand from, StepOperand to) {
  absl::StatusOr<StepRecipe> step = copy_step(site, dtype, walk, from, to);
  if (!step.ok()) return step.status();
  recipe.steps.push_back(*std::move(step));
  return absl::OkStatus();
}

absl::StatusOr<NodeRecipe> transpose_recipe(const RecipeSite& site) {
  const std::vector<Dim> strides = dense_strides(site.in(0).shape);
  Walk walk;
  walk.extents = site.out(0).shape;
  walk.target = dense_strides(walk.extents);
  for (int64_t p : perm_of(site.node, site.in(0).rank())) {
    walk.source.push_back(strides[static_cast<size_t>(p)]);
  }
  return one_copy(site, walk);
}

absl::StatusOr<NodeRecipe> slice_recipe(const RecipeSite& site) {
  const auto& a = site.node.attributes.as<SliceAttributes>();
  const std::vector<Dim> strides = dense_strides(site.in(0).shape);
  Walk walk;
  walk.extents = site.out(0).shape;
  walk.target = dense_strides(walk.extents);
  for (size_t i = 0; i < strides.size(); ++i) {
    walk.source.push_back(strides[i] * (a.steps.empty() ? 1 : a.steps[i]));
    walk.source_base = walk.source_base + a.starts[i] * strides[i];
  }
  return one_copy(site, walk);
}

absl::StatusOr<NodeRecipe> broadcast_recipe(const RecipeSite& site) {
  return one_copy(site, broadcast_walk(site.in(0).shape, site.out(0).shape));
}

// Each operand is written into its place by a copy of its own.
absl::StatusOr<NodeRecipe> concat_recipe(const RecipeSite& site) {
  const int rank = site.out(0).rank();
  const int64_t given = site.node.attributes.as<AxisAttributes>().axis;
  const auto axis = static_cast<size_t>(given < 0 ? given + rank : given);
  const std::vector<Dim> target = dense_strides(site.out(0).shape);
  NodeRecipe recipe;
  Dim at = 0;
  for (size_t i = 0; i < site.node.inputs.size(); ++i) {
    Walk walk;
    walk.extents = site.in(static_cast<int>(i)).shape;
    walk.source = dense_strides(walk.extents);
    walk.target = target;
    walk.target_base = at * target[axis];
    at = at + walk.extents[axis];
    absl::StatusOr<StepRecipe> step =
        copy_step(site, site.out(0).dtype, walk, {StepOperand::Kind::kInput, static_cast<int>(i)},
                  {StepOperand::Kind::kOutput, 0});
    if (!step.ok()) return step.status();
    recipe.steps.push_back(*std::move(step));
  }
  return recipe;
}

absl::StatusOr<NodeRecipe> pad_recipe(const RecipeSite& site) {
  const auto& a = site.node.attributes.as<PadAttributes>();
  const TensorType& type = site.in(0);
  const int bits = bits_of(type.dtype);
  if (bits % 8 != 0 || type.rank() > kCopyDims)
    return no_kernel(site, "packed elements or too many axes");
  PadScalars scalars;
  scalars.element_bytes = bits / 8;
  scalars.mode = static_cast<int64_t>(pad_mode_of(a.mode));
  absl::StatusOr<Tensor> element = Tensor::zeros(type.dtype, {});
  if (!element.ok()) return element.status();
  element->set(0, a.value);
  std::memcpy(&scalars.value, element->data(), static_cast<size_t>(bits / 8));
  const auto rank = static_cast<size_t>(type.rank());
  const size_t skip = kCopyDims - rank;
  for (size_t i = 0; i < rank; ++i) {
    scalars.extent[skip + i] = site.max(type.shape[i]);
    scalars.low[skip + i] = a.low[i];
    scalars.high[skip + i] = a.high[i];
  }
  choose_pad_grain(scalars);
  ScalarFields<PadScalars> fields(scalars);
  Dim rows = 1;
  for (size_t i = 0; i < rank; ++i) {
    fields.set(&PadScalars::extent, skip + i, type.shape[i]);
    if (i + 1 < rank) rows = rows * site.out(0).shape[i];
  }
  StepRecipe step;
  step.kernel = "cpu.pad";
  step.outputs = all_outputs(site);
  step.inputs = all_inputs(site);
  step.scalars = fields.take();
  step.chunks = ceil_div(rows, Dim(scalars.rows_per_chunk));
  NodeRecipe recipe;
  recipe.steps.push_back(std::move(step));
  return recipe;
}

}  // namespace modellib::cpu
